// One link: all that is known of it, its address and QR code, and the way to revoke it.

import { ask, read, root, token } from "./api.js";
import { listed, reload } from "./browse.js";
import { top } from "./dialogs.js";
import { amount, badge, delivery, email, failure, h, moment, plural, say, sharing, state } from "./dom.js";
import { confirmation } from "./revoke.js";
import { close, here, open, replace } from "./route.js";

const dialog = document.getElementById("detail");
const result = dialog.querySelector(".result");
let link = null, made = null, step, message, asked = 0;

/** Shows the link and the step that `route` names; closes where it names none. */
export function showLink(route) {
  if (!route.link) {
    asked += 1;
    link = made = step = message = null;
    if (dialog.open) dialog.close();
    return;
  }
  if (dialog.open && link?.id === route.link && step === route.over) return;
  step = route.over;
  if (link?.id !== route.link) link = made?.id === route.link ? made : listed(route.link);
  if (!dialog.open) dialog.showModal();
  if (link) show();
  else load(route);
}

/** Shows a link that was made just now as such. */
export function showMade(found) {
  link = made = found;
  replace({ ...here(), over: "link", link: found.id });
  say("Link created");
}

async function load(route) {
  const mine = ++asked;
  fill(top("Payment link", "detail-title"), h("p", { class: "soft" }, "Loading"));
  try {
    const found = await ask(`/payment-links/${route.link}`);
    if (mine !== asked) return;
    if (found.org_id !== route.org) return misled(found);
    link = found;
    show();
  } catch (problem) {
    if (mine !== asked || problem.status === 401) return;
    if (problem.status === 404 || problem.status === 403) missing(route);
    else fill(top("Payment link", "detail-title"), failure(problem, () => load(route)));
  }
}

/** The address names a link of another organization. */
function misled(found) {
  if (read(token())?.role === "internal-admin") replace({ ...here(), org: found.org_id, status: "", cursor: "" });
  else missing(here());
}

function missing(route) {
  fill(top("Payment link", "detail-title"), state("link", `There is no such link of ${route.org}`, "Its address may be cut short, or it ended long ago and is gone."));
}

function fill(...content) {
  result.replaceChildren(...content.filter(Boolean));
  dialog.querySelector("h2").focus();
}

function show() {
  if (made) return fill(...created());
  if (step === "link" || (step === "revoke" && link.status !== "active")) return fill(...details());
  fill(...confirmation(link, step, revoked));
}

function created() {
  const total = amount(link.payment_amount, link.currency);
  const mail = { none: "It is not e-mailed: share it yourself.", queued: `Its e-mail to ${link.email} is on its way.` };
  const later = h("span", {}, `Its e-mail to ${link.email} will be sent `, moment(link.scheduled_at), ".");
  const another = () => replace({ ...here(), over: "new", link: null });
  return [
    top("Link created", "detail-title"),
    h("p", {}, total && h("strong", { class: "sum" }, total), mail[link.delivery.state] ?? later),
    sharing(link, root),
    h("div", { class: "buttons" }, h("button", { type: "button", "data-close": true }, "Done"), h("button", { type: "button", onclick: another }, "Create another")),
  ];
}

function details() {
  const go = (over) => () => open({ ...here(), over });
  const revoke = h("button", { type: "button", class: "danger", onclick: go("revoke") }, "Revoke this link");
  const all = h("button", { type: "button", class: "danger", onclick: go("revoke-all") }, "Revoke all of this recipient");
  return [
    top(amount(link.payment_amount, link.currency) || "Payment link", "detail-title"),
    message && h("p", { class: "notice good" }, message),
    sharing(link, root),
    h("dl", {}, facts()),
    h("div", { class: "buttons plain" }, link.status === "active" && revoke, all),
  ];
}

function facts() {
  const rows = [
    ["Status", badge(link.status)],
    ["Recipient", h("span", {}, email(link.email))],
    ["Organization", link.org_id],
    ["Reference", link.transaction_id],
    ["E-mail", h("span", {}, delivery(link))],
    ["Tries", link.delivery.attempts || null],
    ["Scheduled for", link.delivery.state !== "scheduled" && moment(link.scheduled_at)],
    ["Created", moment(link.created_at)],
    ["Expires", moment(link.expires_at)],
    ["Revoked", moment(link.revoked_at)],
    ["One-time password", link.otp_required ? "Asked for" : "Not asked for"],
    ["Customer’s language", link.locale],
    ["Id", h("code", {}, link.id)],
  ];
  return rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

/** Shows what became of it. */
async function revoked(answer) {
  message = answer.revoked ? `${plural(answer.revoked, "link was", "links were")} revoked.` : "Nothing was active any more: no link was revoked.";
  link = await ask(`/payment-links/${link.id}`).catch(() => link);
  reload();
  close();
  say(message);
}
