// Formats amounts, times, e-mails and states.

import { h } from "./dom.js";

/** The page, its numbers and its times are in English: in the reader's if there is one. */
const locale = navigator.languages.find((tag) => tag.startsWith("en")) ?? "en-GB";
const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
const times = new Intl.DateTimeFormat(locale, {
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "short",
});
const numbers = new Intl.NumberFormat(locale);
const percents = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });

/**
 * An amount with its currency's code, since several currencies share a sign. It keeps all digits:
 * `text` is never converted to a float.
 */
export function formatAmount(text, currency) {
  if (text == null) return "";
  const style = currency
    ? { style: "currency", currency, currencyDisplay: "code" }
    : { minimumFractionDigits: 2 };
  const usual = new Intl.NumberFormat(locale, style).resolvedOptions().maximumFractionDigits;
  const digits = Math.max(currency ? usual : 2, (text.split(".")[1] ?? "").length);
  const parts = new Intl.NumberFormat(locale, {
    ...style,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).formatToParts(text);
  // A line breaks only at the code.
  return parts.map(({ type, value }) => (type === "literal" ? " " : value)).join("");
}

export const formatNumber = (value) => numbers.format(value);
export const formatPercent = (share) => percents.format(share);
export const plural = (count, one, many) => `${formatNumber(count)} ${count === 1 ? one : many}`;

/** A time in the reader's time zone, with its name. A line breaks only after the date. */
export function formatTime(text) {
  const parts =
    text && [dates, times].map((format) => format.format(new Date(text)).replace(/\s/g, "\u00a0"));
  return text ? h("time", { datetime: text }, parts.join(", ")) : "";
}

/** 4 s, 12 min, 3 h, 2 days. */
export function formatDuration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800
    ? `${Math.floor(seconds / 3600)} h`
    : plural(Math.floor(seconds / 86400), "day", "days");
}

/** An e-mail that breaks only after its @ and its dots. */
export function breakableEmail(text) {
  return text.split(/(?<=[@.])/).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));
}

export function badge(state) {
  return h("span", { class: `badge ${state}` }, LABELS[state] ?? state);
}

const LABELS = {
  active: "Active",
  paid: "Paid",
  expired: "Expired",
  revoked: "Revoked",
  none: "Not e-mailed",
  scheduled: "Scheduled",
  queued: "Sending",
  sent: "Sent",
  failed: "Failed",
  voided: "Voided",
  duplicate: "Duplicate",
  late: "Late",
};

/** The state of a link's e-mail, with its time, and with the reason if it failed. */
export function deliveryCells({ status, scheduled_at, delivery: { state, sent_at, error } }) {
  const when =
    state === "sent"
      ? [formatTime(sent_at)]
      : state === "scheduled" && status === "active"
        ? ["will be sent ", formatTime(scheduled_at)]
        : null;
  return [
    badge(state),
    when && h("span", { class: "reference" }, ...when),
    error && h("span", { class: "reason" }, error),
  ].filter(Boolean);
}
