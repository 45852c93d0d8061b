// The form with a link's fields: for a new link, one that supersedes another, and changes.

import { Form } from "./form.js";
import { h } from "./dom.js";
import { ReminderRows } from "./reminders.js";
import { CURRENCIES, findFault, parseAmount, typedAmount } from "./validation.js";

const TEXTS = ["email", "payment_amount", "currency", "transaction_id", "description", "locale"];
const TIMES = ["scheduled_at", "expires_at"];
const CHECKS = ["notify", "otp_required", "accept_partial"];
const dialog = document.getElementById("create");
const notice = document.getElementById("create-notice");
const locale = document.getElementById("locale");
const reminders = new ReminderRows(
  document.getElementById("reminders"),
  document.getElementById("reminder-rows"),
);

export const linkForm = new Form(dialog, {
  question: ["Discard this link?", "It is not created yet, and what you typed will be lost."],
  findFault,
});

/**
 * Shows the form with the `values` of its fields, as `readValues` returns them. `locked` names the
 * fields that are shown and cannot be changed, `hidden` those that are not shown. The other options
 * are those of `Form.open`.
 */
export function openLinkForm({ title, action, text, zone, values, locked, hidden, ...options }) {
  document.getElementById("create-title").textContent = title;
  linkForm.button.textContent = action;
  document.getElementById("zone").textContent =
    `In your own time (${Intl.DateTimeFormat().resolvedOptions().timeZone}). ${zone}`;
  linkForm.clear();
  writeValues(values);
  arrange({ text, locked, hidden });
  linkForm.open(options);
  [...linkForm.form.elements].find((input) => input.matches("input:enabled"))?.focus();
}

/** Shows `text` above the fields, and which of these can be changed. */
export function arrange({ text = "", locked = [], hidden = [] }) {
  notice.replaceChildren(text);
  notice.hidden = !text;
  for (const name of [...TEXTS, ...TIMES, ...CHECKS]) {
    const field = linkForm.field(name);
    field.disabled = locked.includes(name) || hidden.includes(name);
    field.closest(".field").hidden = hidden.includes(name);
  }
}

/** The values of all fields; times are ISO 8601, and an empty field is "". */
export function readValues() {
  const field = (name) => linkForm.field(name);
  const time = (name) => field(name).value && new Date(field(name).value).toISOString();
  return {
    ...Object.fromEntries(TEXTS.map((name) => [name, field(name).value.trim()])),
    ...Object.fromEntries(TIMES.map((name) => [name, time(name)])),
    ...Object.fromEntries(CHECKS.map((name) => [name, field(name).checked])),
    currency: field("currency").value.trim().toUpperCase(),
    payment_amount: parseAmount(field("payment_amount").value) ?? field("payment_amount").value,
    reminders: reminders.value,
  };
}

/** Fills the fields that `values` names. */
export function writeValues(values) {
  for (const [name, value] of Object.entries(values)) {
    if (name === "reminders") reminders.value = value;
    else if (CHECKS.includes(name)) linkForm.field(name).checked = value;
    else linkForm.field(name).value = TIMES.includes(name) ? localTime(value) : value;
    if (name === "locale" && locale.value !== value) {
      locale.append(h("option", { value }, value)); // one that the service has no texts for
      locale.value = value;
    }
  }
}

/** The values of a new link. */
export const EMPTY = {
  ...Object.fromEntries([...TEXTS, ...TIMES].map((name) => [name, ""])),
  notify: true,
  otp_required: false,
  accept_partial: false,
  reminders: null,
};

/** The values of `link`. Its times are those of whole minutes. */
export const valuesOf = (link) => ({
  ...Object.fromEntries([...TEXTS, ...TIMES].map((name) => [name, link[name] ?? ""])),
  payment_amount: typedAmount(link.payment_amount, link.currency),
  otp_required: link.otp_required,
  accept_partial: link.accept_partial,
  reminders: link.reminders ?? null,
});

/** An ISO 8601 time as a field of the reader's own time shows it. */
function localTime(text) {
  if (!text) return "";
  const time = new Date(text);
  return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Whether `amount` is a number, and not what the user typed instead of one. */
export const isAmount = (amount) => amount !== "" && parseAmount(amount) !== null;

document
  .getElementById("currencies")
  .append(...[...CURRENCIES.keys()].map((code) => h("option", { value: code })));
