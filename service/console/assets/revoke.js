// Asks for confirmation before one link, or all links of a recipient, are revoked.

import { callApi, readClaims, token } from "./api.js";
import { dialogHeader } from "./dialogs.js";
import { h } from "./dom.js";
import { formatAmount, breakableEmail, formatTime, plural } from "./format.js";
import { closeTop } from "./route.js";

const PAGE_SIZE = 1000;
const MAX_ORGS = 200;
const MAX_MORE_PAGES = 20;
const MAX_NAMED_LINKS = 5;

/** Confirms revoking `link` or, in the step "revoke-all", all links of its recipient. */
export function confirmRevocation(link, step, done) {
  return step === "revoke" ? confirmOne(link, done) : confirmAll(link, done);
}

function confirmOne(link, done) {
  const facts = [
    ["Recipient", h("span", {}, breakableEmail(link.email))],
    ["Amount", formatAmount(link.payment_amount, link.currency) || "no amount"],
    ["Reference", link.transaction_id ?? "no reference"],
    ["Expires", formatTime(link.expires_at)],
  ];
  const row = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const isSent = link.delivery.state === "sent";
  const mail = isSent ? "" : ", and an e-mail that is not out yet is not sent";
  const text = [
    h("dl", { class: "facts" }, facts.map(row)),
    h("p", {}, `The customer can no longer pay with it${mail}. This cannot be undone.`),
  ];
  return dialogContent(
    "Revoke this link?",
    text,
    revokeButton("Revoke this link", `/payment-links/${link.id}`, null, done),
  );
}

function confirmAll(link, done) {
  const isInternal = readClaims(token())?.role === "internal-admin";
  const found = h(
    "div",
    { class: "found", role: "status" },
    `Counting the active links to ${link.email}…`,
  );
  const text = [
    found,
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
  revoke.button.disabled = true;
  countLinks(link, isInternal, found, revoke.button);
  return dialogContent("Revoke all of this recipient?", text, revoke);
}

/** Shows in `found` how many and which links there are, and then enables `button`. */
async function countLinks(link, isInternal, found, button) {
  const where = isInternal ? "of every organization" : `of ${link.org_id}`;
  try {
    const orgs = isInternal
      ? await findOrgs(link.org_id)
      : { ids: [link.org_id], isComplete: true };
    const { links, isComplete } = await findActiveLinks(link.email, orgs, () => found.isConnected);
    const number = plural(links.length, "active link", "active links");
    if (isComplete && !links.length) {
      found.replaceChildren(
        `There is no active link ${where} to ${link.email}: nothing to revoke.`,
      );
      button.hidden = true;
      return;
    }
    const sentence = isComplete
      ? `${number} ${where} to ${link.email} will be revoked:`
      : `At least ${number} ${where} to ${link.email} will be revoked. There are too many links ` +
        `to look through all of them.`;
    found.replaceChildren(h("strong", {}, sentence), linkList(links, isInternal));
    if (isComplete) button.textContent = `Revoke ${plural(links.length, "link", "links")}`;
  } catch (problem) {
    if (problem.status === 401) return;
    found.replaceChildren(
      h("strong", {}, `Every active link ${where} to ${link.email} will be revoked. `),
      `How many there are is not known: ${problem.message}.`,
    );
  }
  button.disabled = false;
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
  return { ids: [...new Set([first, ...page.orgs])], isComplete: page.total <= page.orgs.length };
}

/**
 * The active links to `email`, on the first page of each organization and at most 20 more pages.
 * `isComplete`: these are all. It stops when `isWanted` returns false.
 */
async function findActiveLinks(email, { ids, isComplete }, isWanted) {
  const links = [],
    wanted = canonical(email);
  let more = 0;
  for (const org of ids.slice(0, MAX_ORGS)) {
    let cursor = "";
    do {
      if (cursor && more++ === MAX_MORE_PAGES) return { links, isComplete: false };
      const parameters = { status: "active", limit: PAGE_SIZE, ...(cursor && { cursor }) };
      const query = new URLSearchParams(parameters);
      const page = await callApi(`/orgs/${org}/payment-links?${query}`);
      if (!isWanted()) return { links, isComplete: false };
      links.push(...page.links.filter((link) => canonical(link.email) === wanted));
      cursor = page.next_cursor;
    } while (cursor);
  }
  return { links, isComplete: isComplete && ids.length <= MAX_ORGS };
}

/** An e-mail as the service compares it: in lower case, with its domain in ASCII. */
function canonical(email) {
  const [, mailbox, domain] = /^(.*)@(.*)$/s.exec(email.toLowerCase());
  return `${mailbox}@${URL.parse?.(`http://${domain}`)?.hostname ?? domain}`;
}

function revokeButton(text, path, body, done) {
  const error = h("p", { class: "notice", role: "alert", hidden: true });
  const button = h("button", { type: "button", class: "danger solid" }, text);
  button.addEventListener("click", async () => {
    if (button.hasAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      await done(await callApi(path, { method: "DELETE", body: body && JSON.stringify(body) }));
    } catch (problem) {
      error.textContent = describeFailure(problem);
      error.hidden = false;
      error.scrollIntoView({ block: "nearest" });
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return { button, error };
}

function describeFailure(problem) {
  if (problem.status === 401) return "Sign in again, and then once more.";
  if (problem.isRefusal) return `Nothing was revoked: ${problem.message}.`;
  return (
    "The service did not answer, so it is not known whether anything was revoked. Try " +
    "again: it is not done twice."
  );
}

function dialogContent(title, text, { button, error }) {
  const cancel = h("button", { type: "button", onclick: closeTop }, "Keep");
  return [
    dialogHeader(title, "detail-title"),
    h("div", {}, text.filter(Boolean)),
    error,
    h("div", { class: "buttons" }, button, cancel),
  ];
}
