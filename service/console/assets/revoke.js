// The question before a link, or all links of a recipient, are revoked: it names them, and how many they are.

import { ask, read, token } from "./api.js";
import { top } from "./dialogs.js";
import { amount, email, h, moment, plural } from "./dom.js";
import { close } from "./route.js";

const STEP = 1000;
const MAX_ORGS = 200;
const MAX_MORE_PAGES = 20;
const NAMED = 5;

/** Asks whether to revoke `link`, or, as the `step` "revoke-all", all of its recipient. Calls `done` with the answer. */
export function confirmation(link, step, done) {
  return step === "revoke" ? forOne(link, done) : forAll(link, done);
}

function forOne(link, done) {
  const facts = [["Recipient", h("span", {}, email(link.email))], ["Amount", amount(link.payment_amount, link.currency) || "no amount"], ["Reference", link.transaction_id ?? "no reference"], ["Expires", moment(link.expires_at)]];
  const row = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const text = [
    h("dl", { class: "facts" }, facts.map(row)),
    h("p", {}, `The customer can no longer pay with it${link.delivery.state === "sent" ? "" : ", and an e-mail that is not out yet is not sent"}. This cannot be undone.`),
  ];
  return question("Revoke this link?", text, act("Revoke this link", `/payment-links/${link.id}`, null, done));
}

function forAll(link, done) {
  const far = read(token())?.role === "internal-admin";
  const found = h("div", { class: "found", role: "status" }, `Counting the active links to ${link.email}…`);
  const text = [
    found,
    far && h("p", { class: "notice" }, `You are an internal-admin: this reaches beyond ${link.org_id}, to the links of every organization.`),
    h("p", {}, "Customers can no longer pay with them, and e-mails that are not out yet are not sent. This cannot be undone."),
  ];
  const revoke = act("Revoke all of them", "/payment-links", { email: link.email }, done);
  revoke.button.disabled = true;
  count(link, far, found, revoke.button);
  return question("Revoke all of this recipient?", text, revoke);
}

/** Says in `found` how many links there are and which, and only then lets them be revoked. */
async function count(link, far, found, button) {
  const where = far ? "of every organization" : `of ${link.org_id}`;
  try {
    const orgs = far ? await organizations(link.org_id) : { ids: [link.org_id], whole: true };
    const { links, whole } = await activeLinks(link.email, orgs, () => found.isConnected);
    const number = plural(links.length, "active link", "active links");
    if (whole && !links.length) {
      found.replaceChildren(`There is no active link ${where} to ${link.email}: nothing to revoke.`);
      button.hidden = true;
      return;
    }
    const sentence = whole ? `${number} ${where} to ${link.email} will be revoked:` : `At least ${number} ${where} to ${link.email} will be revoked. There are too many links to look through all of them.`;
    found.replaceChildren(h("strong", {}, sentence), list(links, far));
    if (whole) button.textContent = `Revoke ${plural(links.length, "link", "links")}`;
  } catch (problem) {
    if (problem.status === 401) return;
    found.replaceChildren(h("strong", {}, `Every active link ${where} to ${link.email} will be revoked. `), `How many there are is not known: ${problem.message}.`);
  }
  button.disabled = false;
}

function list(links, far) {
  const name = (link) => [amount(link.payment_amount, link.currency) || "no amount", link.transaction_id ?? "no reference", far && link.org_id].filter(Boolean).join(" · ");
  const rest = links.length - NAMED;
  return h("ul", {}, links.slice(0, NAMED).map((link) => h("li", {}, name(link))), rest > 0 && h("li", {}, `and ${plural(rest, "other", "others")}`));
}

async function organizations(first) {
  const page = await ask(`/orgs?limit=${STEP}`);
  return { ids: [...new Set([first, ...page.orgs])], whole: page.total <= page.orgs.length };
}

/** The active links to `email`, in the first page of each organization and at most 20 more; `whole` where those are all. Stops where `isWanted` says no. */
async function activeLinks(email, { ids, whole }, isWanted) {
  const links = [], wanted = canonical(email);
  let more = 0;
  for (const org of ids.slice(0, MAX_ORGS)) {
    let cursor = "";
    do {
      if (cursor && more++ === MAX_MORE_PAGES) return { links, whole: false };
      const page = await ask(`/orgs/${org}/payment-links?${new URLSearchParams({ status: "active", limit: STEP, ...(cursor && { cursor }) })}`);
      if (!isWanted()) return { links, whole: false };
      links.push(...page.links.filter((link) => canonical(link.email) === wanted));
      cursor = page.next_cursor;
    } while (cursor);
  }
  return { links, whole: whole && ids.length <= MAX_ORGS };
}

/** As the service compares e-mails: in lower case, the domain as DNS knows it. */
function canonical(email) {
  const [, mailbox, domain] = /^(.*)@(.*)$/s.exec(email.toLowerCase());
  return `${mailbox}@${URL.parse?.(`http://${domain}`)?.hostname ?? domain}`;
}

function act(text, path, body, done) {
  const wrong = h("p", { class: "notice", role: "alert", hidden: true });
  const button = h("button", { type: "button", class: "danger solid" }, text);
  button.addEventListener("click", async () => {
    if (button.hasAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      await done(await ask(path, { method: "DELETE", body: body && JSON.stringify(body) }));
    } catch (problem) {
      wrong.textContent = refusal(problem);
      wrong.hidden = false;
      wrong.scrollIntoView({ block: "nearest" });
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return { button, wrong };
}

function refusal(problem) {
  if (problem.status === 401) return "Sign in again, and then once more.";
  if (problem.isRefusal) return `Nothing was revoked: ${problem.message}.`;
  return "The service did not answer, so it is not known whether anything was revoked. Try again: it is not done twice.";
}

function question(title, text, { button, wrong }) {
  const keep = h("button", { type: "button", onclick: close }, "Keep");
  return [top(title, "detail-title"), h("div", {}, text.filter(Boolean)), wrong, h("div", { class: "buttons" }, button, keep)];
}
