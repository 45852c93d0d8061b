// Elements, icons, and how amounts and times are written. Text only ever becomes text: nothing here, or elsewhere, takes HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  copy: "M8 8V5.5A1.5 1.5 0 0 1 9.5 4h9A1.5 1.5 0 0 1 20 5.5v9a1.5 1.5 0 0 1-1.5 1.5H16M5.5 8h9A1.5 1.5 0 0 1 16 9.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 4 18.5v-9A1.5 1.5 0 0 1 5.5 8Z",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  alert: "M12 8v5m0 3.5v.01M10.3 4.6 3.2 17a2 2 0 0 0 1.7 3h14.2a2 2 0 0 0 1.7-3L13.7 4.6a2 2 0 0 0-3.4 0Z",
};
/** The page is in English, whatever the browser speaks: an English way to write numbers and times, the reader's if there is one. */
const locale = navigator.languages.find((tag) => tag.startsWith("en")) ?? "en-GB";
const dates = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
const times = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const numbers = new Intl.NumberFormat(locale);

/** An element. Properties that begin with "on" are listeners, all others attributes; false and null leave one out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
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

/** Tells everybody: for a moment on the screen, and to screen readers, in the dialog that is on top where there is one. */
export function say(text, { shown = false } = {}) {
  const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
  const status = dialog?.querySelector("[role=status]") ?? document.getElementById("said");
  status.textContent = "";
  requestAnimationFrame(() => (status.textContent = text));
  status.classList.toggle("shown", shown);
  clearTimeout(say.timer);
  say.timer = setTimeout(() => status.classList.remove("shown"), 6000);
}

/** An amount with its currency's code, for a sign may be any of several; digit for digit: `text` is never made a float. */
export function amount(text, currency) {
  if (text == null) return "";
  const style = currency ? { style: "currency", currency, currencyDisplay: "code" } : { minimumFractionDigits: 2 };
  const usual = new Intl.NumberFormat(locale, style).resolvedOptions().maximumFractionDigits;
  const digits = Math.max(currency ? usual : 2, (text.split(".")[1] ?? "").length);
  const parts = new Intl.NumberFormat(locale, { ...style, minimumFractionDigits: digits, maximumFractionDigits: digits }).formatToParts(text);
  return parts.map(({ type, value }) => (type === "literal" ? " " : value)).join(""); // a line may break at the code, and nowhere else
}

export const number = (value) => numbers.format(value);
export const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

/** In the reader's own time zone, which it names; a line may break after the date, and nowhere else. */
export function moment(text) {
  const parts = text && [dates, times].map((format) => format.format(new Date(text)).replace(/\s/g, "\u00a0"));
  return text ? h("time", { datetime: text }, parts.join(", ")) : "";
}

/** 4 s, 12 min, 3 h, 2 days. */
export function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : plural(Math.floor(seconds / 86400), "day", "days");
}

/** An e-mail that may be broken where it would be read as broken: after its @ and its dots. */
export function email(text) {
  return text.split(/(?<=[@.])/).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));
}

export function badge(state) {
  return h("span", { class: `badge ${state}` }, WORDS[state] ?? state);
}

const WORDS = {
  active: "Active",
  expired: "Expired",
  revoked: "Revoked",
  none: "Not e-mailed",
  scheduled: "Scheduled",
  queued: "Sending",
  sent: "Sent",
  failed: "Failed",
};

/** What became of a link's e-mail and when, with the reason for all to read where it failed. */
export function delivery({ status, scheduled_at, delivery: { state, sent_at, error } }) {
  const when = state === "sent" ? [moment(sent_at)] : state === "scheduled" && status === "active" ? ["will be sent ", moment(scheduled_at)] : null;
  return [badge(state), when && h("span", { class: "reference" }, ...when), error && h("span", { class: "reason" }, error)].filter(Boolean);
}

/** Puts `text` on the clipboard, or selects it in `field` where the browser does not let us. */
export async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    say("Link copied", { shown: true });
  } catch {
    field?.select();
    say(field ? "Select and copy the address: this browser does not let us" : "This browser does not let us copy: open the link’s details", {
      shown: true,
    });
  }
}

/** The link's address to copy, and its QR code. */
export function sharing(link, root) {
  const field = h("input", { type: "text", readonly: true, value: link.url, "aria-label": "Address of the link", class: "url" });
  const qr = `${root}/payment-links/${link.id}/qr`;
  return h(
    "div",
    { class: "sharing" },
    h("img", { class: "qr", src: qr, width: "148", height: "148", alt: "QR code of the link" }),
    h(
      "div",
      { class: "grow" },
      h("div", { class: "copy" }, field, h("button", { type: "button", class: "primary", onclick: () => copy(link.url, field) }, icon("copy"), "Copy link")),
      h("p", { class: "hint" }, "The QR code leads there too. ", h("a", { href: `${qr}?format=png&size=1024`, download: `${link.id}.png` }, "Download it as PNG")),
    ),
  );
}

export function state(name, title, text, ...actions) {
  return h("div", { class: "state" }, h("span", { class: "state-icon" }, icon(name)), h("h2", {}, title), h("p", {}, text), h("div", { class: "buttons" }, ...actions));
}

/** How many seconds a view waits before it tries again: as long as the service said, and ever longer. Null where that is in vain. */
export function pause(problem, tries) {
  return problem.status === 0 || problem.status >= 429 ? Math.max(problem.retryAfter ?? 2, Math.min(30, 2 ** tries)) : null;
}

/** A view that could not be shown. `retry` is called at a click; in `seconds`, where there are any, by the view, which may be left before. */
export function failure(problem, retry, seconds) {
  const text = problem.status ? `${problem.message}. ` : "The service cannot be reached. Are you offline? ";
  const again = seconds ? `We try again every ${seconds} s.` : "";
  return state("alert", "This cannot be shown right now", text + again, h("button", { type: "button", class: "primary", onclick: retry }, "Try again now"));
}
