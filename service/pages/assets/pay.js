// What the pages of a link do beyond HTML: all of it works without, but for the counting.
"use strict";

const DAY = 24 * 60 * 60 * 1000;
const main = document.querySelector("main");
const said = document.getElementById("said");

/** What the server answers, and whether it could serve. */
async function ask(url, options = {}) {
  main.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { ...options, headers: { Accept: "text/html" } });
    return { text: await answer.text(), served: answer.status < 500 };
  } finally {
    main.removeAttribute("aria-busy");
  }
}

const STYLE = /<style[^]*?<\/style>/;

/** A page without its style, which may not be applied: ``show`` minds its variables, and the focus. */
function parse(text) {
  const page = new DOMParser().parseFromString(text.replace(STYLE, ""), "text/html");
  page.querySelectorAll("[autofocus]").forEach((element) => element.removeAttribute("autofocus"));
  return page;
}

/** A page of ours, or none where it is a proxy's: this one is opened anew then, and no form is sent again for it. */
function ours(text) {
  const page = parse(text);
  if (page.getElementById("said")) return page;
  location.replace(location.href);
}

/** Has the element be read, and read out, as the page is. */
function speak(element, page) {
  for (const name of ["lang", "dir"]) element[name] = page.documentElement[name];
}

/** Replaces the page's content by that of another, without a new page. */
function show(text) {
  const page = ours(text);
  if (!page) return;
  speak(document.documentElement, page);
  for (const [, name, value] of STYLE.exec(text)[0].matchAll(/(--[\w-]+): (#?\w+)/g)) document.documentElement.style.setProperty(name, value);
  main.replaceChildren(...page.querySelector("main").childNodes);
  document.querySelector("footer").replaceWith(page.querySelector("footer"));
  document.title = page.title;
  begin();
  said.textContent = main.querySelector("[role=alert]") ? "" : main.querySelector("[data-say]")?.textContent ?? "";
  main.querySelector("[data-focus]")?.focus();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-swap]")) return;
  event.preventDefault();
  if (main.hasAttribute("aria-busy")) return;
  const body = new URLSearchParams(new FormData(form));
  const done = ({ text, served }) => (served ? show(text) : complain(form, text));
  ask(form.action, { method: "POST", body }).then(done, () => HTMLFormElement.prototype.submit.call(form));
});

/** Says in the form, in whatever language the page speaks, why it could not be served: it may be sent again as it is. */
function complain(form, text) {
  const page = ours(text);
  if (!page) return;
  const note = form.querySelector(".error") ?? form.insertBefore(document.createElement("p"), form.querySelector("button"));
  speak(note, page);
  note.className = "error";
  note.textContent = "";
  note.setAttribute("role", "alert");
  note.textContent = [...page.querySelectorAll("main p")].map((element) => element.textContent).join(" ");
}

const SEPARATORS = /[\p{Z}\p{Dash}\p{Cf}\t\n\v\f\r]/gu; // spaces, dashes and invisible format characters

/** The value of a decimal digit in any script: Unicode has each script's ten in a row, from zero. */
function valueOf(digit) {
  let zero = digit.codePointAt();
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return (digit.codePointAt() - zero) % 10;
}

/** A code, or its beginning, in ASCII digits, however it was written; text with anything else in it as it is. As otp.py reads it. */
function readCode(text) {
  const typed = text.replace(SEPARATORS, "");
  return /^\p{Nd}*$/u.test(typed) ? typed.replace(/\p{Nd}/gu, valueOf) : text;
}

function takeCode({ target, isComposing }) {
  if (target.id !== "otp" || isComposing) return;
  const code = readCode(target.value);
  if (code !== target.value) target.value = code;
  if (/^[0-9]{6}$/.test(code)) target.form.requestSubmit();
}

document.addEventListener("input", takeCode);
document.addEventListener("compositionend", takeCode);

function clock(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** Counts down by the second, without a word; the server says how many days it is, in words, and what comes after the end. */
function count(element) {
  const until = Date.now() + Number(element.dataset.left) * 1000; // the clock here may be wrong, but not in how fast it goes
  const days = Math.floor((until - Date.now()) / DAY);
  const words = days > 0 ? `${element.textContent} ` : "";
  const tick = () => {
    const left = until - Date.now();
    const isOver = Math.floor(left / DAY) !== days;
    if (!isOver) element.textContent = words + clock(left % DAY);
    else if (left <= 0) element.textContent = clock(0);
    if (isOver) setTimeout(() => turn(element), 1000);
    if (isOver || !element.isConnected) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  tick();
}

/** A day less: only the words for it change, unless the link has ended. Asks until it is told. */
async function turn(element) {
  const { text, served } = await ask(location.href).catch(() => ({ served: false }));
  if (!element.isConnected) return;
  if (!served) return setTimeout(() => turn(element), 5000);
  const next = parse(text).querySelector("[data-left]");
  if (!next) return show(text);
  element.replaceWith(next);
  count(next);
}

/** Keeps the button, and the field beside it, back until the server would do what it says, and says then that it would. */
function wait(button) {
  const until = Date.now() + Number(button.dataset.wait) * 1000;
  const note = document.getElementById(button.getAttribute("aria-describedby"));
  const number = note.querySelector("bdi");
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    for (const control of button.form.elements) control.disabled = left > 0;
    if (number) number.textContent = clock(left * 1000).replace(/^00:/, "");
    if (left > 0 && button.isConnected) return;
    clearInterval(timer);
    if (!button.isConnected) return;
    note.style.minHeight = `${note.offsetHeight}px`; // what is below it stays where it is
    note.textContent = button.dataset.ready;
    note.className = "note";
    if (!note.matches("[role=alert]")) said.textContent = button.dataset.ready;
  };
  const timer = setInterval(tick, 1000);
  tick();
}

/** Writes a time in the zone of whoever reads it, with its name, unless it stands in that zone already. */
function local(element) {
  if (element.dataset.zone === Intl.DateTimeFormat().resolvedOptions().timeZone) return;
  const { lang } = document.documentElement;
  const language = lang === "en" ? "en-GB" : lang; // as the server has it: the English of no country is not American
  const known = Intl.DateTimeFormat.supportedLocalesOf(language).length > 0; // or it would be written in the browser's language
  const write = (style) => new Intl.DateTimeFormat(known ? language : "en-GB", { numberingSystem: "latn", calendar: "gregory", ...style });
  const moment = new Date(element.dateTime);
  const date = write({ dateStyle: known ? "long" : "short" }).format(moment);
  const time = write({ hour: "numeric", minute: "2-digit", timeZoneName: "short" }).format(moment);
  const text = element.querySelector("bdi");
  if (element.dataset.local === "time") return (text.textContent = time);
  const parts = write({ dateStyle: "medium", timeStyle: "short" }).formatToParts(moment);
  const comma = parts[parts.findIndex(({ type }) => type === "hour") - 1].value; // between them, as the server writes it
  text.textContent = `${date}${comma}${time}`;
}

function begin() {
  main.querySelectorAll("[data-left]").forEach(count);
  main.querySelectorAll("[data-wait]").forEach(wait);
  main.querySelectorAll("[data-local]").forEach(local);
}

begin();
