// Asks for confirmation before one link, or all links of a recipient, are revoked.

import { countedQuestion, PAGE_SIZE } from "./active_links.js";
import { callApi, readClaims, token } from "./api.js";
import { actionButton, cancelButton, linkFacts, question } from "./confirm.js";
import { h } from "./dom.js";
import { formatAmount, formatTime, plural } from "./format.js";

const MAX_NAMED_LINKS = 5;

/** Confirms revoking `link` or, in the step "revoke-all", all links of its recipient. */
export function confirmRevocation(link, step, done) {
  return step === "revoke" ? confirmOne(link, done) : confirmAll(link, done);
}

function confirmOne(link, done) {
  const isSent = link.delivery.state === "sent";
  const mail = isSent ? "" : ", and an e-mail that is not out yet is not sent";
  const text = [
    linkFacts(link, ["Expires", formatTime(link.expires_at)]),
    h("p", {}, `The customer can no longer pay with it${mail}. This cannot be undone.`),
  ];
  const revoke = revokeButton("Revoke this link", `/payment-links/${link.id}`, null, done);
  return question("Revoke this link?", "detail-title", text, revoke, cancelButton("Keep"));
}

function confirmAll(link, done) {
  const isInternal = readClaims(token())?.role === "internal-admin";
  const text = [
    isInternal &&
      h(
        "p",
        { class: "notice" },
        `You are an internal-admin: this reaches beyond ${link.org_id}, to the links of every ` +
          `organization.`,
      ),
    h(
      "p",
      {},
      "Customers can no longer pay with them, and e-mails that are not out yet are not sent. " +
        "This cannot be undone.",
    ),
  ];
  const revoke = revokeButton("Revoke all of them", "/payment-links", { email: link.email }, done);
  const wanted = canonical(link.email);
  const where = `${isInternal ? "of every organization" : `of ${link.org_id}`} to ${link.email}`;
  return countedQuestion("Revoke all of this recipient?", "detail-title", text, revoke, "Keep", {
    counting: `Counting the active links to ${link.email}…`,
    orgs: () => (isInternal ? findOrgs(link.org_id) : { ids: [link.org_id], isComplete: true }),
    matches: ({ email }) => canonical(email) === wanted,
    noun: "active link",
    nouns: "active links",
    rest: `${where} will be revoked`,
    none: `There is no active link ${where}: nothing to revoke.`,
    label: (number) => `Revoke ${plural(number, "link", "links")}`,
    details: (links) => linkList(links, isInternal),
  });
}

function linkList(links, isInternal) {
  const name = (link) =>
    [
      formatAmount(link.payment_amount, link.currency) || "no amount",
      link.transaction_id ?? "no reference",
      isInternal && link.org_id,
    ]
      .filter(Boolean)
      .join(" · ");
  const rest = links.length - MAX_NAMED_LINKS;
  return h(
    "ul",
    {},
    links.slice(0, MAX_NAMED_LINKS).map((link) => h("li", {}, name(link))),
    rest > 0 && h("li", {}, `and ${plural(rest, "other", "others")}`),
  );
}

async function findOrgs(first) {
  const page = await callApi(`/orgs?limit=${PAGE_SIZE}`);
  const isComplete = page.total <= page.orgs.length && !page.unavailable.length;
  return { ids: [...new Set([first, ...page.orgs])], isComplete };
}

/** An e-mail as the service compares it: in lower case, with its domain in ASCII. */
function canonical(email) {
  const [, mailbox, domain] = /^(.*)@(.*)$/s.exec(email.toLowerCase());
  return `${mailbox}@${URL.parse?.(`http://${domain}`)?.hostname ?? domain}`;
}

function revokeButton(text, path, body, done) {
  const run = () => callApi(path, { method: "DELETE", body: body && JSON.stringify(body) });
  return actionButton(text, "danger solid", { run, done, describe: describeFailure });
}

function describeFailure(problem) {
  if (problem.isRefusal) return `Nothing was revoked: ${problem.message}.`;
  return (
    "The service did not answer, so it is not known whether anything was revoked. Try " +
    "again: it is not done twice."
  );
}
