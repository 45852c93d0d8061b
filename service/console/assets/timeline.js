// What happened to a link: its events, newest first, a page at a time.

import { callApi } from "./api.js";
import { h } from "./dom.js";
import { fieldLabel } from "./edit.js";
import { formatAmount, formatTime } from "./format.js";
import { linkTo } from "./link_facts.js";

const LIMIT = 10;
const ACTORS = { customer: "the customer", system: "the service" };
const MAILS = { reminder: "Reminder", receipt: "Receipt" };

/** What an event of each type says. */
const WORDS = {
  created: () => ["Created"],
  sent: () => ["E-mail sent"],
  delivery_failed: ({ data }) => [
    `${MAILS[data.mail] ?? "E-mail"} failed${data.error ? `: ${data.error}` : ""}`,
  ],
  resent: () => ["E-mail requested again"],
  code_verified: () => ["One-time password verified"],
  checkout_started: () => ["Went on to the checkout"],
  updated: ({ data }) => [`Changed: ${(data.changed ?? []).map(fieldLabel).join(", ")}`],
  revoked: () => ["Revoked"],
  superseded: ({ data }, link) => [
    "Superseded by ",
    data.superseded_by ? linkTo(link, data.superseded_by) : "a newer link",
  ],
  expired: () => ["Expired"],
  payment_recorded: (event, link) => [describePayment("Payment", " recorded", event, link)],
  paid: () => ["Paid"],
  payment_voided: (event, link) => [describePayment("Payment", " voided", event, link)],
  duplicate_payment: (event, link) => [describePayment("Duplicate payment", "", event, link)],
  reminded: () => ["Reminder sent"],
  reminders_stopped: () => ["Reminders stopped"],
};

/** The section with the events of `link`, which it loads. */
export function timeline(link) {
  const list = h("ol", { class: "lines timeline" });
  const more = h("button", { type: "button", hidden: true }, "Show earlier events");
  const status = h("p", { class: "soft", role: "status" }, "Loading");
  let cursor = null;
  const load = async () => {
    if (more.hasAttribute("aria-busy")) return;
    more.setAttribute("aria-busy", "true");
    try {
      const query = new URLSearchParams({ limit: LIMIT, ...(cursor && { cursor }) });
      const page = await callApi(`/payment-links/${link.id}/events?${query}`);
      const lines = page.events.map((event) => line(event, link));
      list.append(...lines);
      cursor = page.next_cursor;
      status.textContent = "";
      more.textContent = "Show earlier events";
      if (!cursor && more === document.activeElement) lines[0]?.focus();
      more.hidden = !cursor;
    } catch (problem) {
      const reason = problem.status === 401 ? "sign in again" : problem.message;
      status.textContent = `The events cannot be shown: ${reason}.`;
      more.textContent = "Try again";
      more.hidden = false;
    } finally {
      more.removeAttribute("aria-busy");
    }
  };
  more.addEventListener("click", load);
  load();
  return h(
    "section",
    { class: "part", "aria-labelledby": "timeline-title" },
    h("h3", { id: "timeline-title" }, "Timeline"),
    list,
    status,
    more,
  );
}

function line(event, link) {
  const words = WORDS[event.type]?.(event, link) ?? [event.type.replaceAll("_", " ")];
  const actor = event.actor && `by ${ACTORS[event.actor] ?? event.actor}`;
  return h(
    "li",
    { tabindex: "-1" },
    h("span", { class: "grow" }, ...words),
    h("span", { class: "reference" }, formatTime(event.at), actor && [", ", actor]),
  );
}

/** “Payment of NGN 500.00 recorded: bank-7”. */
function describePayment(what, happened, { data }, link) {
  const amount = formatAmount(data.amount, data.currency ?? link.currency);
  return `${what}${amount && ` of ${amount}`}${happened}: ${data.payment_id}`;
}
