// The form for a new link. Its Idempotency-Key is made with it, so that a click which is repeated makes no second link.

import { ask, encode } from "./api.js";
import { reload } from "./browse.js";
import { CURRENCIES, digits, fault } from "./check.js";
import { showMade } from "./detail.js";
import { h, say } from "./dom.js";
import { protect } from "./route.js";

const FIELDS = ["email", "payment_amount", "currency", "transaction_id", "scheduled_at", "expires_at", "locale"];
const dialog = document.getElementById("create");
const form = dialog.querySelector("form");
const wrong = document.getElementById("create-error");
const button = document.getElementById("create-send");
const discard = document.getElementById("discard");
const field = (name) => document.getElementById(name);
let org, key, busy, leave;

/** Opens the form where `route` says so, and closes it elsewhere. One that is open stays as it is. */
export function showForm(route) {
  if (route.over !== "new") {
    if (dialog.open) dialog.close();
    return;
  }
  if (dialog.open) return;
  org = route.org;
  document.getElementById("create-title").textContent = `New link for ${org}`;
  clear();
  dialog.showModal();
  field("email").focus();
}

/** Empties the form, of which nobody is asked any more. */
export function clear() {
  key = newKey();
  busy = false;
  form.reset();
  forget();
  discard.close();
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function isDirty() {
  const changed = (input) => (input.type === "checkbox" ? input.checked !== input.defaultChecked : input.value !== (input.defaultValue ?? ""));
  return [...form.querySelectorAll("input, select")].some(changed);
}

/** Asks before what was typed is lost, and calls `whenLost` if it may be. */
function askToDiscard(whenLost) {
  leave = whenLost;
  if (!dialog.open) dialog.showModal();
  if (!discard.open) discard.showModal();
}

protect({ isDirty, ask: askToDiscard });
addEventListener("beforeunload", (event) => isDirty() && event.preventDefault());
document.getElementById("keep").addEventListener("click", () => discard.close());
document.getElementById("discard-it").addEventListener("click", () => {
  clear();
  leave();
});

function forget() {
  wrong.hidden = true;
  FIELDS.forEach(forgive);
}

function forgive(name) {
  field(name).removeAttribute("aria-invalid");
  document.getElementById(`${name}-error`).textContent = "";
}

function blame(name, message) {
  field(name).setAttribute("aria-invalid", "true");
  document.getElementById(`${name}-error`).textContent = sentence(message);
}

/** Says at each field what is wrong with it, and goes to the first. */
function tell(errors, message) {
  const theirs = errors.filter((error) => FIELDS.includes(error.field));
  for (const error of theirs) blame(error.field, error.message);
  if (theirs.length < errors.length || !errors.length) {
    const others = errors.filter((error) => !theirs.includes(error));
    wrong.textContent = others.length ? others.map((error) => sentence(`${error.field} ${error.message}`.trim())).join(" ") : sentence(message);
    wrong.hidden = false;
    wrong.scrollIntoView({ block: "nearest" });
  }
  if (theirs.length) {
    FIELDS.map(field).find((element) => element.hasAttribute("aria-invalid")).focus();
    say(theirs.map((error) => `${document.querySelector(`label[for=${error.field}]`).firstChild.textContent.trim()}: ${error.message}`).join(". "));
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

/** What the form says. An amount that is no number goes as it was typed: the service refuses it, and says what else is wrong. */
function body() {
  const time = (name) => field(name).value && new Date(field(name).value).toISOString();
  const amount = digits(field("payment_amount").value);
  const values = {
    email: field("email").value.trim(),
    org_id: org,
    payment_amount: amount === null ? field("payment_amount").value : "",
    currency: field("currency").value.trim(),
    transaction_id: field("transaction_id").value.trim(),
    scheduled_at: time("scheduled_at"),
    expires_at: time("expires_at"),
    locale: field("locale").value,
    otp_required: field("otp_required").checked,
    notify: field("notify").checked,
  };
  return encode(Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "")), amount);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  forget();
  busy = true;
  button.setAttribute("aria-busy", "true");
  try {
    const link = await ask("/payment-links", { method: "POST", body: body(), headers: { "Idempotency-Key": key } });
    clear();
    showMade(link);
    reload();
  } catch (problem) {
    if (problem.code === "idempotency_conflict") conflict();
    else if (problem.isRefusal) refused(problem);
    else tell([], "The service cannot be reached. Nothing is lost: try again, and no second link is made");
  } finally {
    busy = false;
    button.removeAttribute("aria-busy");
  }
});

function refused(problem) {
  if (problem.status === 401) return; // who is asked to sign in again finds all of it here
  const told = problem.errors.map(({ field: name, message }) => ({ field: name, message: fault(name, form) ?? message }));
  tell(told, problem.message);
}

function conflict() {
  key = newKey();
  tell([], "An earlier try of this form had made a link already, before you changed it: you find it in the list. Create again for another");
  reload();
}

form.addEventListener("input", ({ target }) => FIELDS.includes(target.id) && forgive(target.id));
form.addEventListener("change", ({ target }) => {
  if (form.querySelector("button:active")) return; // a button must not move away from under a press
  for (const name of target.id === "currency" ? ["currency", "payment_amount"] : [target.id]) {
    const message = fault(name, form);
    if (message) blame(name, message);
  }
});

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.getElementById("zone").textContent = `In your own time (${zone}). Left out, it is sent at once and lasts as long as the service is set to.`;
document.getElementById("currencies").append(...[...CURRENCIES.keys()].map((code) => h("option", { value: code })));
