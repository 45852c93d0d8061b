// The dialog of one link: its address, QR code and details, and the buttons to revoke it.

import { callApi, readClaims, root, token } from "./api.js";
import { findListed, reloadList } from "./link_list.js";
import { dialogHeader } from "./dialogs.js";
import { errorState, h, announce, shareBox, emptyState } from "./dom.js";
import {
  formatAmount,
  badge,
  deliveryCells,
  breakableEmail,
  formatTime,
  plural,
} from "./format.js";
import { confirmRevocation } from "./revoke.js";
import { closeTop, currentRoute, pushRoute, replaceRoute } from "./route.js";

const dialog = document.getElementById("detail");
const result = dialog.querySelector(".result");
let link = null,
  newLink = null,
  step,
  message,
  requestId = 0;

/** Shows the link and the step that `route` names, and closes the dialog if it names none. */
export function showLink(route) {
  if (!route.link) {
    requestId += 1;
    link = newLink = step = message = null;
    if (dialog.open) dialog.close();
    return;
  }
  if (dialog.open && link?.id === route.link && step === route.over) return;
  step = route.over;
  if (link?.id !== route.link) link = newLink?.id === route.link ? newLink : findListed(route.link);
  if (!dialog.open) dialog.showModal();
  if (link) show();
  else load(route);
}

/** Shows a link that was just created. */
export function showCreated(created) {
  link = newLink = created;
  replaceRoute({ ...currentRoute(), over: "link", link: created.id });
  announce("Link created");
}

async function load(route) {
  const id = ++requestId;
  render(dialogHeader("Payment link", "detail-title"), h("p", { class: "soft" }, "Loading"));
  try {
    const found = await callApi(`/payment-links/${route.link}`);
    if (id !== requestId) return;
    if (found.org_id !== route.org) return showForeign(found);
    link = found;
    show();
  } catch (problem) {
    if (id !== requestId || problem.status === 401) return;
    if (problem.status === 404 || problem.status === 403) showNotFound(route);
    else
      render(
        dialogHeader("Payment link", "detail-title"),
        errorState(problem, () => load(route)),
      );
  }
}

/** Shows a link of another organization than the one in the address, if the user may see it. */
function showForeign(found) {
  if (readClaims(token())?.role === "internal-admin")
    replaceRoute({ ...currentRoute(), org: found.org_id, status: "", cursor: "" });
  else showNotFound(currentRoute());
}

function showNotFound(route) {
  render(
    dialogHeader("Payment link", "detail-title"),
    emptyState(
      "link",
      `There is no such link of ${route.org}`,
      "Its address may be cut short, or it ended long ago and is gone.",
    ),
  );
}

function render(...content) {
  result.replaceChildren(...content.filter(Boolean));
  dialog.querySelector("h2").focus();
}

function show() {
  if (newLink) return render(...createdContent());
  if (step === "link" || (step === "revoke" && link.status !== "active"))
    return render(...detailContent());
  render(...confirmRevocation(link, step, revoked));
}

function createdContent() {
  const total = formatAmount(link.payment_amount, link.currency);
  const mail = {
    none: "It is not e-mailed: share it yourself.",
    queued: `Its e-mail to ${link.email} is on its way.`,
  };
  const later = h(
    "span",
    {},
    `Its e-mail to ${link.email} will be sent `,
    formatTime(link.scheduled_at),
    ".",
  );
  const another = () => replaceRoute({ ...currentRoute(), over: "new", link: null });
  return [
    dialogHeader("Link created", "detail-title"),
    h("p", {}, total && h("strong", { class: "sum" }, total), mail[link.delivery.state] ?? later),
    shareBox(link, root),
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "button", "data-close": true }, "Done"),
      h("button", { type: "button", onclick: another }, "Create another"),
    ),
  ];
}

function detailContent() {
  const go = (over) => () => pushRoute({ ...currentRoute(), over });
  const revoke = h(
    "button",
    { type: "button", class: "danger", onclick: go("revoke") },
    "Revoke this link",
  );
  const all = h(
    "button",
    { type: "button", class: "danger", onclick: go("revoke-all") },
    "Revoke all of this recipient",
  );
  return [
    dialogHeader(
      formatAmount(link.payment_amount, link.currency) || "Payment link",
      "detail-title",
    ),
    message && h("p", { class: "notice good" }, message),
    shareBox(link, root),
    h("dl", {}, factRows()),
    h("div", { class: "buttons plain" }, link.status === "active" && revoke, all),
  ];
}

function factRows() {
  const rows = [
    ["Status", badge(link.status)],
    ["Recipient", h("span", {}, breakableEmail(link.email))],
    ["Organization", link.org_id],
    ["Reference", link.transaction_id],
    ["E-mail", h("span", {}, deliveryCells(link))],
    ["Tries", link.delivery.attempts || null],
    ["Scheduled for", link.delivery.state !== "scheduled" && formatTime(link.scheduled_at)],
    ["Created", formatTime(link.created_at)],
    ["Expires", formatTime(link.expires_at)],
    ["Revoked", formatTime(link.revoked_at)],
    ["One-time password", link.otp_required ? "Asked for" : "Not asked for"],
    ["Customer’s language", link.locale],
    ["Id", h("code", {}, link.id)],
  ];
  return rows
    .filter(([, value]) => value)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
}

/** Shows the result of a revocation. */
async function revoked(answer) {
  message = answer.revoked
    ? `${plural(answer.revoked, "link was", "links were")} revoked.`
    : "Nothing was active any more: no link was revoked.";
  link = await callApi(`/payment-links/${link.id}`).catch(() => link);
  reloadList();
  closeTop();
  announce(message);
}
