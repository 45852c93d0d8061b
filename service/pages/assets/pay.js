// Enhances the pages of a link. Without it, all but the countdowns works too.
"use strict";

const DAY_MS = 24 * 60 * 60 * 1000;
const main = document.querySelector("main");
const announcer = document.getElementById("announcer");

/** Fetches a page. `served` is false if the server failed. */
async function fetchPage(url, options = {}) {
  main.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { ...options, headers: { Accept: "text/html" } });
    return { text: await answer.text(), served: answer.status < 500 };
  } finally {
    main.removeAttribute("aria-busy");
  }
}

const STYLE = /<style[^]*?<\/style>/;

/** Parses a page, without its style, which our policy forbids, and without its autofocus. */
function parsePage(text) {
  const page = new DOMParser().parseFromString(text.replace(STYLE, ""), "text/html");
  page.querySelectorAll("[autofocus]").forEach((element) => element.removeAttribute("autofocus"));
  return page;
}

/** Parses a page of ours. Opens the current page again if a proxy answered instead. */
function parseOwnPage(text) {
  const page = parsePage(text);
  if (page.getElementById("announcer")) return page;
  location.replace(location.href);
}

/** Copies the page's language and direction to the element. */
function copyLanguage(element, page) {
  for (const name of ["lang", "dir"]) element[name] = page.documentElement[name];
}

/** Replaces the content of the current page by that of another. */
function showPage(text) {
  const page = parseOwnPage(text);
  if (!page) return;
  copyLanguage(document.documentElement, page);
  for (const [, name, value] of STYLE.exec(text)[0].matchAll(/(--[\w-]+): (#?\w+)/g))
    document.documentElement.style.setProperty(name, value);
  main.replaceChildren(...page.querySelector("main").childNodes);
  document.querySelector("footer").replaceWith(page.querySelector("footer"));
  document.title = page.title;
  activate();
  announcer.textContent = main.querySelector("[role=alert]")
    ? ""
    : (main.querySelector("[data-announce]")?.textContent ?? "");
  main.querySelector("[data-focus]")?.focus();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-swap]")) return;
  event.preventDefault();
  if (main.hasAttribute("aria-busy")) return;
  const body = new URLSearchParams(new FormData(form));
  const done = ({ text, served }) => (served ? showPage(text) : showError(form, text));
  fetchPage(form.action, { method: "POST", body }).then(done, () =>
    HTMLFormElement.prototype.submit.call(form),
  );
});

/** Shows the text of an error page in the form, which can be sent again. */
function showError(form, text) {
  const page = parseOwnPage(text);
  if (!page) return;
  const note =
    form.querySelector(".error") ??
    form.insertBefore(document.createElement("p"), form.querySelector("button"));
  copyLanguage(note, page);
  note.className = "error";
  note.textContent = "";
  note.setAttribute("role", "alert");
  note.textContent = [...page.querySelectorAll("main p")]
    .map((element) => element.textContent)
    .join(" ");
}

// Where /checkout shows the page, the address becomes the page's: reloading starts no checkout.
if (location.pathname.endsWith("/checkout"))
  history.replaceState(null, "", location.pathname.replace(/\/checkout$/, ""));

// A page that Back restores from memory does not show yet that the payment has started.
addEventListener("pageshow", (event) => event.persisted && location.reload());

const SEPARATORS = /[\p{Z}\p{Dash}\p{Cf}\t\n\v\f\r]/gu; // spaces, dashes, format characters

/** The value of a decimal digit of any script. Unicode orders each script's digits from zero. */
function digitValue(digit) {
  let zero = digit.codePointAt();
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return (digit.codePointAt() - zero) % 10;
}

/** A code or its start in ASCII digits, as `otps/model.py` reads it. Other text stays as it is. */
function readCode(text) {
  const typed = text.replace(SEPARATORS, "");
  return /^\p{Nd}*$/u.test(typed) ? typed.replace(/\p{Nd}/gu, digitValue) : text;
}

function handleCodeInput({ target, isComposing }) {
  if (target.id !== "otp" || isComposing) return;
  const code = readCode(target.value);
  if (code !== target.value) target.value = code;
  if (/^[0-9]{6}$/.test(code)) target.form.requestSubmit();
}

document.addEventListener("input", handleCodeInput);
document.addEventListener("compositionend", handleCodeInput);

function formatClock(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** Counts the seconds of a day down. The server says how many days it is, and what follows. */
function countDown(element) {
  // A clock that is wrong here still runs at the right speed.
  const until = Date.now() + Number(element.dataset.left) * 1000;
  const days = Math.floor((until - Date.now()) / DAY_MS);
  const words = days > 0 ? `${element.textContent} ` : "";
  const tick = () => {
    const left = until - Date.now();
    const isOver = Math.floor(left / DAY_MS) !== days;
    if (!isOver) element.textContent = words + formatClock(left % DAY_MS);
    else if (left <= 0) element.textContent = formatClock(0);
    if (isOver) setTimeout(() => refreshCountdown(element), 1000);
    if (isOver || !element.isConnected) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  tick();
}

/** The text of a page, with times as the server has them and without what is counted down. */
function readText(page) {
  const copy = page.querySelector("main").cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.textContent = time.dateTime;
  for (const timer of copy.querySelectorAll("[data-left]")) timer.textContent = "";
  return copy.textContent;
}

/** Fetches the next day's text, or the page if it has changed. Retries until the server answers. */
async function refreshCountdown(element) {
  const { text, served } = await fetchPage(location.href).catch(() => ({ served: false }));
  if (!element.isConnected) return;
  if (!served) return setTimeout(() => refreshCountdown(element), 5000);
  const page = parsePage(text);
  const next = page.querySelector("[data-left]");
  if (!next || readText(page) !== readText(document)) return showPage(text);
  element.replaceWith(next);
  countDown(next);
}

/** Disables the form until the server would accept it, and then announces that it is ready. */
function disableUntilReady(button) {
  const until = Date.now() + Number(button.dataset.wait) * 1000;
  const note = document.getElementById(button.getAttribute("aria-describedby"));
  const number = note.querySelector("bdi");
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    for (const control of button.form.elements) control.disabled = left > 0;
    if (number) number.textContent = formatClock(left * 1000).replace(/^00:/, "");
    if (left > 0 && button.isConnected) return;
    clearInterval(timer);
    if (!button.isConnected) return;
    note.style.minHeight = `${note.offsetHeight}px`; // the layout below stays
    note.textContent = button.dataset.ready;
    note.className = "note";
    if (!note.matches("[role=alert]")) announcer.textContent = button.dataset.ready;
  };
  const timer = setInterval(tick, 1000);
  tick();
}

/** Writes a time in the reader's time zone, with its name, unless it is in that zone already. */
function localizeTime(element) {
  if (element.dataset.zone === Intl.DateTimeFormat().resolvedOptions().timeZone) return;
  const { lang } = document.documentElement;
  const language = lang === "en" ? "en-GB" : lang; // as on the server
  // An unknown language would be replaced by the browser's own.
  const known = Intl.DateTimeFormat.supportedLocalesOf(language).length > 0;
  const write = (style) =>
    new Intl.DateTimeFormat(known ? language : "en-GB", {
      numberingSystem: "latn",
      calendar: "gregory",
      ...style,
    });
  const moment = new Date(element.dateTime);
  const date = write({ dateStyle: known ? "long" : "short" }).format(moment);
  const time = write({ hour: "numeric", minute: "2-digit", timeZoneName: "short" }).format(moment);
  const text = element.querySelector("bdi");
  if (element.dataset.local === "time") return (text.textContent = time);
  const parts = write({ dateStyle: "medium", timeStyle: "short" }).formatToParts(moment);
  // The separator that the server writes.
  const comma = parts[parts.findIndex(({ type }) => type === "hour") - 1].value;
  text.textContent = `${date}${comma}${time}`;
}

function activate() {
  main.querySelectorAll("[data-left]").forEach(countDown);
  main.querySelectorAll("[data-wait]").forEach(disableUntilReady);
  main.querySelectorAll("[data-local]").forEach(localizeTime);
}

activate();
