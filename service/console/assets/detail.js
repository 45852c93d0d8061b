// The dialog of one link: its address, QR code, facts, payments and timeline, and what can be done.

import { callApi, readClaims, root, token } from "./api.js";
import { canSupersede, openSupersede } from "./create.js";
import { findListed, reloadList } from "./link_list.js";
import { dialogHeader } from "./dialogs.js";
import { errorState, factList, h, announce, shareBox, emptyState } from "./dom.js";
import { canEdit, openEdit } from "./edit.js";
import { formatAmount, formatTime, plural } from "./format.js";
import { linkRows, paymentSection } from "./link_facts.js";
import { confirmVoid, findPayment, openPayment, paymentText } from "./payment.js";
import { canResend, confirmResend, resendText } from "./resend.js";
import { confirmRevocation } from "./revoke.js";
import { closeTop, currentRoute, formatHash, pushRoute, replaceRoute } from "./route.js";
import { timeline } from "./timeline.js";

/** What has a form of its own, over the list: whether `link` allows it, and what opens it. */
const FORMS = {
  "mark-paid": { isPossible: () => true, open: openPayment },
  edit: { isPossible: canEdit, open: openEdit },
  supersede: { isPossible: canSupersede, open: openSupersede },
};
const dialog = document.getElementById("detail");
const result = dialog.querySelector(".result");
let link = null,
  newLink = null,
  shown,
  stale,
  message,
  requestId = 0;

/** Shows the link and the step that `route` names. */
export function showLink(route) {
  if (!route.link) {
    requestId += 1;
    link = newLink = shown = message = null;
    return;
  }
  const wanted = formatHash({ ...route, status: "", cursor: "" });
  if (shown === wanted && document.querySelector("dialog.sheet[open]")) return;
  shown = wanted;
  requestId += 1; // what is being loaded is for another view
  if (newLink?.id !== route.link) newLink = null;
  if (link?.id !== route.link) {
    message = null;
    link = newLink ?? findKnown(route.link);
    if (link && !newLink && route.over === "link") refresh(route);
  }
  if (link) show(route);
  else load(route);
}

/** Shows the link anew if it is no longer as the list has it. */
async function refresh(route) {
  const id = requestId;
  const found = await callApi(`/payment-links/${route.link}`).catch(() => null);
  if (!found || id !== requestId || JSON.stringify(found) === JSON.stringify(link)) return;
  link = found;
  show(route);
  reloadList();
}

/** The link as the list has it, unless it was superseded since. */
const findKnown = (id) => (id === stale ? null : findListed(id));

/** Shows a link that was just created if its form `wasShown`. */
export function showCreated(created, wasShown) {
  stale = created.supersedes;
  if (wasShown) {
    link = newLink = created;
    replaceRoute({ ...currentRoute(), over: "link", link: created.id });
  }
  announce("Link created", { shown: !wasShown });
}

async function load(route) {
  const id = ++requestId;
  render(dialogHeader("Payment link", "detail-title"), h("p", { class: "soft" }, "Loading"));
  try {
    const found = await callApi(`/payment-links/${route.link}`);
    if (id !== requestId) return;
    if (found.org_id !== route.org) return showForeign(found);
    link = found;
    show(route);
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
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  dialog.querySelector("h2").focus();
}

function show({ over: step, payment }) {
  if (newLink) return render(...createdContent());
  const acted = link; // by the time of an answer, `link` may be another one
  const done = (...result) => report(acted, ...result);
  const resent = (_, isShown) => reportAndRead(acted, describeResent(acted), isShown);
  const revoked = (answer, isShown) =>
    reportAndRead(acted, describeRevoked(acted, answer), isShown, answer.unavailable.length > 0);
  if (FORMS[step]?.isPossible(link)) {
    dialog.close();
    return FORMS[step].open(link, step === "supersede" ? showCreated : done);
  }
  if (step === "resend" && canResend(link)) return render(...confirmResend(link, resent));
  if (step === "revoke-all" || (step === "revoke" && link.status === "active"))
    return render(...confirmRevocation(link, step, revoked));
  const voided = step === "void" && findPayment(link, payment);
  if (voided) return render(...confirmVoid(link, voided, done));
  render(...detailContent());
  if (message?.isNew) announce(message.text);
  message &&= { ...message, isNew: false };
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
    link.supersedes && h("p", {}, "It supersedes the earlier link, which is revoked."),
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
  const confirmVoiding = (payment) => () =>
    pushRoute({ ...currentRoute(), over: "void", payment: payment.payment_id });
  return [
    dialogHeader(
      formatAmount(link.payment_amount, link.currency) || "Payment link",
      "detail-title",
    ),
    message && h("p", { class: message.isWarning ? "notice" : "notice good" }, message.text),
    shareBox(link, root),
    factList(linkRows(link)),
    link.payments?.length > 0 && paymentSection(link, confirmVoiding),
    timeline(link),
    h("div", { class: "buttons" }, actions()),
  ];
}

function actions() {
  const go = (over, text, style) =>
    h(
      "button",
      { type: "button", class: style, onclick: () => pushRoute({ ...currentRoute(), over }) },
      text,
    );
  return [
    go("mark-paid", paymentText(link)),
    canEdit(link) && go("edit", "Edit"),
    canSupersede(link) && go("supersede", "Supersede"),
    canResend(link) && go("resend", resendText(link)),
    link.status === "active" && go("revoke", "Revoke this link", "danger"),
    go("revoke-all", "Revoke all of this recipient", "danger"),
  ];
}

const describeResent = ({ email }) => `The e-mail to ${email} is on its way.`;

function describeRevoked({ email }, { revoked: count, unavailable }) {
  const text = count
    ? `${plural(count, "link was", "links were")} revoked.`
    : "Nothing was active any more: no link was revoked.";
  if (!unavailable.length) return text;
  return (
    `${count ? text : "No link was revoked."} A part of the service does not answer: links to ` +
    `${email} may still be active there. Revoke all of this recipient again later.`
  );
}

/** Reports the result of an action whose answer is not the link. */
async function reportAndRead(acted, text, isShown, isWarning) {
  const changed = await callApi(`/payment-links/${acted.id}`).catch(() => acted);
  report(acted, text, isShown(), { changed, isWarning });
}

/**
 * Tells the result of an action: `text`, and the link `acted` as it is `changed`. Only the view that
 * asked for it is closed, if it `wasShown` until then.
 */
function report(acted, text, wasShown, { changed, isWarning = false }) {
  const route = currentRoute();
  const isLinkShown = route.over === "link" && route.link === acted.id;
  if (link?.id === acted.id) {
    link = changed;
    message = { text, isWarning, isNew: wasShown || isLinkShown };
  }
  reloadList();
  if (wasShown) closeTop();
  else if (isLinkShown) show(route);
  else announce(text, { shown: true });
}
