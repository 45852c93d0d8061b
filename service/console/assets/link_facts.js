// What is known of a link, in words: its facts and its payments.

import { h } from "./dom.js";
import {
  formatAmount,
  badge,
  deliveryCells,
  breakableEmail,
  formatNumber,
  formatTime,
} from "./format.js";
import { describeReminder } from "./reminders.js";
import { formatHash } from "./route.js";

/** The facts of `link` that it has, as pairs of a name and its text or element. */
export function linkRows(link) {
  const rows = [
    ["Status", badge(link.status)],
    ["Recipient", h("span", {}, breakableEmail(link.email))],
    ["Organization", link.org_id],
    ["Reference", link.transaction_id],
    ["Description", link.description],
    ...amountRows(link),
    ["E-mail", h("span", {}, deliveryCells(link))],
    ["Tries", link.delivery.attempts || null],
    ["E-mail requested", link.delivery.sends > 1 && `${formatNumber(link.delivery.sends)} times`],
    ["Scheduled for", link.delivery.state !== "scheduled" && formatTime(link.scheduled_at)],
    ["Reminders", describeOwn(link.reminders)],
    ["Created", formatTime(link.created_at)],
    ["Expires", formatTime(link.expires_at)],
    ["Payment started", formatTime(link.checkout_started_at)],
    ["Paid", formatTime(link.paid_at)],
    ["Revoked", formatTime(link.revoked_at)],
    ["Supersedes", link.supersedes && linkTo(link, link.supersedes)],
    ["Superseded by", link.superseded_by && linkTo(link, link.superseded_by)],
    ["One-time password", link.otp_required ? "Asked for" : "Not asked for"],
    ["Customer’s language", link.locale],
    ["Metadata", metadataList(link.metadata)],
    ["Id", h("code", {}, link.id)],
  ];
  return rows.filter(([, value]) => value);
}

/** What was paid and what is due, where that is not told by the status alone. */
function amountRows(link) {
  const { currency, payments } = link;
  if (!payments?.length && !link.accept_partial) return [];
  return [
    ["Amount paid", formatAmount(link.amount_paid, currency ?? payments?.[0]?.currency)],
    ["Still due", formatAmount(link.amount_due, currency)],
    ["Partial payments", link.accept_partial && "Accepted"],
  ];
}

/** The reminders, one a line; null where the organization's default is not known yet. */
function describeOwn(reminders) {
  if (!reminders) return null;
  if (!reminders.length) return "None";
  return h(
    "ul",
    { class: "plain" },
    reminders.map((reminder) => h("li", {}, describeReminder(reminder))),
  );
}

const metadataList = (metadata) =>
  Object.keys(metadata ?? {}).length > 0 &&
  h(
    "ul",
    { class: "plain" },
    Object.entries(metadata).map(([key, value]) => h("li", {}, `${key}: ${value}`)),
  );

/** A reference to another link of the same organization. */
export const linkTo = ({ org_id: org }, id) =>
  h("a", { href: formatHash({ org, over: "link", link: id }) }, h("code", {}, id));

/** The payments of `link`, each with a button whose listener `onVoid` returns. */
export const paymentSection = (link, onVoid) =>
  h(
    "section",
    { class: "part", "aria-labelledby": "payments-title" },
    h("h3", { id: "payments-title" }, "Payments"),
    h(
      "ul",
      { class: "lines" },
      link.payments.map((payment) => paymentLine(link, payment, onVoid(payment))),
    ),
  );

function paymentLine(link, payment, onclick) {
  const name = [payment.method, payment.payment_id].filter(Boolean).join(" · ");
  const marks = [
    payment.voided_at && "voided",
    !payment.voided_at && payment.duplicate && "duplicate",
    payment.late && "late",
  ].filter(Boolean);
  return h(
    "li",
    { class: payment.voided_at ? "voided" : null },
    h(
      "div",
      { class: "grow" },
      h("strong", {}, formatAmount(payment.amount, payment.currency ?? link.currency)),
      marks.map((mark) => [" ", badge(mark)]).flat(),
      h("span", { class: "reference" }, name),
      h("span", { class: "reference" }, formatTime(payment.paid_at)),
    ),
    !payment.voided_at &&
      h(
        "button",
        { type: "button", class: "danger", onclick, "aria-label": `Void ${payment.payment_id}` },
        "Void",
      ),
  );
}
