// One link: all that is known of it, its address and QR code, and the ways to revoke it.

import { ask, read, root, token } from "./api.js";
import { amount, badge, delivery, h, icon, moment, plural, say, sharing } from "./dom.js";

const dialog = document.getElementById("detail");
const result = dialog.querySelector(".result");
let link, changed;

/** Opens the link's details; `whenChanged` is called where something was revoked. */
export function openDetail(found, whenChanged) {
  [link, changed] = [found, whenChanged];
  show();
  dialog.showModal();
  dialog.querySelector("h2").focus();
}

function top(title) {
  return h(
    "div",
    { class: "top" },
    h("h2", { id: "detail-title", tabindex: "-1" }, title),
    h("button", { type: "button", class: "icon", "data-close": true, "aria-label": "Close" }, icon("close")),
  );
}

function show(message) {
  const title = amount(link.payment_amount, link.currency) || "Payment link";
  const revoke = h("button", { type: "button", class: "danger", onclick: () => confirm(one()) }, "Revoke this link");
  const all = h("button", { type: "button", class: "danger", onclick: () => confirm(every()) }, "Revoke all of this recipient");
  result.replaceChildren(
    top(title),
    message ? h("p", { class: "notice good" }, message) : "",
    sharing(link, root),
    h("dl", {}, facts()),
    h("div", { class: "buttons" }, link.status === "active" && revoke, all),
  );
}

function facts() {
  const rows = [
    ["Status", badge(link.status)],
    ["Recipient", link.email],
    ["Organization", link.org_id],
    ["Reference", link.transaction_id],
    ["E-mail", h("span", {}, delivery(link).filter(Boolean))],
    ["Tries", link.delivery.attempts || null],
    ["Sent", moment(link.delivery.sent_at)],
    ["Scheduled for", moment(link.scheduled_at)],
    ["Created", moment(link.created_at)],
    ["Expires", moment(link.expires_at)],
    ["Revoked", moment(link.revoked_at)],
    ["One-time password", link.otp_required ? "Asked for" : "Not asked for"],
    ["Customer’s language", link.locale],
    ["Id", h("code", {}, link.id)],
  ];
  return rows.filter(([, value]) => value != null && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

const one = () => ({
  title: "Revoke this link?",
  text: [`${link.email} can no longer pay with it, and an e-mail that is not out yet is not sent. This cannot be undone.`],
  button: "Revoke this link",
  path: `/payment-links/${link.id}`,
});

function every() {
  const far = read(token())?.role === "internal-admin";
  return {
    title: "Revoke all of this recipient?",
    text: [
      h("strong", {}, far ? `Every active link to ${link.email}, of every organization, ` : `Every active link of ${link.org_id} to ${link.email} `),
      "is revoked; e-mails that are not out yet are not sent. This cannot be undone.",
      far && h("span", { class: "notice" }, `You are an internal-admin: this reaches beyond ${link.org_id}.`),
    ],
    button: "Revoke all of them",
    path: "/payment-links",
    body: JSON.stringify({ email: link.email }),
  };
}

/** Names what will happen, and does it only then. */
function confirm({ title, text, button, path, body }) {
  const wrong = h("p", { class: "notice", role: "alert", hidden: true });
  const act = h("button", { type: "button", class: "danger solid" }, button);
  act.addEventListener("click", async () => {
    if (act.hasAttribute("aria-busy")) return;
    act.setAttribute("aria-busy", "true");
    try {
      await revoked(await ask(path, { method: "DELETE", body }));
    } catch (problem) {
      wrong.textContent = problem.status === 401 ? "Sign in again, and then once more." : `Nothing is known to be revoked: ${problem.message}.`;
      wrong.hidden = false;
    } finally {
      act.removeAttribute("aria-busy");
    }
  });
  const keep = h("button", { type: "button", onclick: back }, "Keep");
  result.replaceChildren(top(title), h("p", {}, text.filter(Boolean)), wrong, h("div", { class: "buttons" }, act, keep));
  dialog.querySelector("h2").focus();
}

function back() {
  show();
  dialog.querySelector("h2").focus();
}

async function revoked(answer) {
  const text = answer.revoked ? `${plural(answer.revoked, "link was", "links were")} revoked.` : "Nothing was active any more: no link was revoked.";
  link = await ask(`/payment-links/${link.id}`).catch(() => link);
  changed();
  show(text);
  dialog.querySelector("h2").focus();
  say(text);
}
