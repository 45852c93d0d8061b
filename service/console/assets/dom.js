// Creates elements, and formats amounts and times. Text is never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  copy: "M8 8V5.5A1.5 1.5 0 0 1 9.5 4h9A1.5 1.5 0 0 1 20 5.5v9a1.5 1.5 0 0 1-1.5 1.5H16M5.5 8h9A1.5 1.5 0 0 1 16 9.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 4 18.5v-9A1.5 1.5 0 0 1 5.5 8Z",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  alert:
    "M12 8v5m0 3.5v.01M10.3 4.6 3.2 17a2 2 0 0 0 1.7 3h14.2a2 2 0 0 0 1.7-3L13.7 4.6a2 2 0 0 0-3.4 0Z",
};
/** The page, its numbers and its times are in English: in the reader's if there is one. */
const locale = navigator.languages.find((tag) => tag.startsWith("en")) ?? "en-GB";
const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
const times = new Intl.DateTimeFormat(locale, {
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "short",
});
const numbers = new Intl.NumberFormat(locale);

/**
 * Creates an element. Properties that begin with "on" are listeners, the others are attributes;
 * false and null are left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Announces `text` to screen readers and, if `shown`, as a toast; in the top dialog if any. */
export function announce(text, { shown = false } = {}) {
  const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
  const status = dialog?.querySelector("[role=status]") ?? document.getElementById("status");
  status.textContent = "";
  requestAnimationFrame(() => (status.textContent = text));
  status.classList.toggle("shown", shown);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => status.classList.remove("shown"), 6000);
}

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
  expired: "Expired",
  revoked: "Revoked",
  none: "Not e-mailed",
  scheduled: "Scheduled",
  queued: "Sending",
  sent: "Sent",
  failed: "Failed",
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

/** Copies `text`, or selects it in `field` if the browser does not allow that. */
export async function copyLink(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Link copied", { shown: true });
  } catch {
    field?.select();
    announce(
      field
        ? "Select and copy the address: this browser does not let us"
        : "This browser does not let us copy: open the link’s details",
      {
        shown: true,
      },
    );
  }
}

/** The link's address, to be copied, and its QR code. */
export function shareBox(link, root) {
  const field = h("input", {
    type: "text",
    readonly: true,
    value: link.url,
    "aria-label": "Address of the link",
    class: "url",
  });
  const qr = `${root}/payment-links/${link.id}/qr`;
  return h(
    "div",
    { class: "sharing" },
    h("img", { class: "qr", src: qr, width: "148", height: "148", alt: "QR code of the link" }),
    h(
      "div",
      { class: "grow" },
      h(
        "div",
        { class: "copy" },
        field,
        h(
          "button",
          { type: "button", class: "primary", onclick: () => copyLink(link.url, field) },
          icon("copy"),
          "Copy link",
        ),
      ),
      h(
        "p",
        { class: "hint" },
        "The QR code leads there too. ",
        h(
          "a",
          { href: `${qr}?format=png&size=1024`, download: `${link.id}.png` },
          "Download it as PNG",
        ),
      ),
    ),
  );
}

export function emptyState(name, title, text, ...actions) {
  return h(
    "div",
    { class: "state" },
    h("span", { class: "state-icon" }, icon(name)),
    h("h2", {}, title),
    h("p", {}, text),
    h("div", { class: "buttons" }, ...actions),
  );
}

/** Seconds until the next try, longer each time; null if another try would be in vain. */
export function retryDelay(problem, tries) {
  return problem.status === 0 || problem.status >= 429
    ? Math.max(problem.retryAfter ?? 2, Math.min(30, 2 ** tries))
    : null;
}

/** Replaces a view that failed. A click calls `retry`; the view does so in `seconds`, if any. */
export function errorState(problem, retry, seconds) {
  const text = problem.status
    ? `${problem.message}. `
    : "The service cannot be reached. Are you offline? ";
  const again = seconds ? `We try again every ${seconds} s.` : "";
  return emptyState(
    "alert",
    "This cannot be shown right now",
    text + again,
    h("button", { type: "button", class: "primary", onclick: retry }, "Try again now"),
  );
}
