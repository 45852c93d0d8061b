// Creates elements. Text is never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  copy: "M8 8V5.5A1.5 1.5 0 0 1 9.5 4h9A1.5 1.5 0 0 1 20 5.5v9a1.5 1.5 0 0 1-1.5 1.5H16M5.5 8h9A1.5 1.5 0 0 1 16 9.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 4 18.5v-9A1.5 1.5 0 0 1 5.5 8Z",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  alert:
    "M12 8v5m0 3.5v.01M10.3 4.6 3.2 17a2 2 0 0 0 1.7 3h14.2a2 2 0 0 0 1.7-3L13.7 4.6a2 2 0 0 0-3.4 0Z",
};

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

/** A list of facts: pairs of a name and its text or element. */
export const factList = (facts, style) =>
  h(
    "dl",
    { class: style },
    facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

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
  const own = dialog?.querySelector(":scope > [role=status]");
  const status = own ?? document.getElementById("status");
  status.textContent = "";
  requestAnimationFrame(() => (status.textContent = text));
  status.classList.toggle("shown", shown);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => status.classList.remove("shown"), 6000);
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
