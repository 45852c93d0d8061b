// The form for a new link. Its Idempotency-Key is made with it, so that a click which is repeated makes no second link.

import { ask, encode, root } from "./api.js";
import { amount, h, icon, moment, say, sharing } from "./dom.js";

const FIELDS = ["email", "payment_amount", "currency", "transaction_id", "scheduled_at", "expires_at", "locale"];
const AMOUNT = /^(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$/;
const dialog = document.getElementById("create");
const form = dialog.querySelector("form");
const result = dialog.querySelector(".result");
const wrong = document.getElementById("create-error");
const button = document.getElementById("create-send");
const field = (name) => document.getElementById(name);
let org, key, done, busy;

export function openCreate(orgId, whenDone) {
  [org, done] = [orgId, whenDone];
  begin();
  dialog.showModal();
  field("email").focus();
}

function begin() {
  key = newKey();
  busy = false;
  form.reset();
  forget();
  form.hidden = false;
  result.replaceChildren();
  document.getElementById("create-title").textContent = `New link for ${org}`;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function forget() {
  wrong.hidden = true;
  for (const name of FIELDS) {
    field(name).removeAttribute("aria-invalid");
    document.getElementById(`${name}-error`).textContent = "";
  }
}

/** Says at each field what is wrong with it, and goes to the first. */
function tell(errors, message) {
  const theirs = errors.filter((error) => FIELDS.includes(error.field));
  for (const error of theirs) {
    field(error.field).setAttribute("aria-invalid", "true");
    document.getElementById(`${error.field}-error`).textContent = sentence(error.message);
  }
  if (theirs.length < errors.length || !errors.length) {
    wrong.textContent = sentence(message);
    wrong.hidden = false;
    wrong.scrollIntoView({ block: "nearest" });
  }
  if (theirs.length) {
    FIELDS.map(field).find((element) => element.hasAttribute("aria-invalid")).focus();
    say(theirs.map((error) => `${document.querySelector(`label[for=${error.field}]`).firstChild.textContent.trim()}: ${error.message}`).join(". "));
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

/** The amount as JSON writes it: thousands may be set apart by commas. */
function digits() {
  const text = field("payment_amount").value.replace(/[\s\u00a0]/g, "");
  if (!text) return "";
  return AMOUNT.test(text) ? text.replaceAll(",", "").replace(/^0+(?=\d)/, "") : null;
}

function fields() {
  const time = (name) => field(name).value && new Date(field(name).value).toISOString();
  const values = {
    email: field("email").value.trim(),
    org_id: org,
    currency: field("currency").value.trim(),
    transaction_id: field("transaction_id").value.trim(),
    scheduled_at: time("scheduled_at"),
    expires_at: time("expires_at"),
    locale: field("locale").value,
    otp_required: field("otp_required").checked,
    notify: field("notify").checked,
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}

function faults() {
  const found = [];
  if (!field("email").value.trim()) found.push({ field: "email", message: "say to whom the link goes" });
  if (digits() === null) found.push({ field: "payment_amount", message: "write it like 125000.50" });
  return found;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  forget();
  if (faults().length) return tell(faults());
  busy = true;
  button.setAttribute("aria-busy", "true");
  try {
    const body = encode(fields(), digits());
    show(await ask("/payment-links", { method: "POST", body, headers: { "Idempotency-Key": key } }));
  } catch (problem) {
    if (problem.code === "idempotency_conflict") conflict();
    else if (problem.status !== 401) tell(problem.errors, problem.status ? problem.message : "The service cannot be reached. Nothing is lost: try again, and no second link is made");
  } finally {
    busy = false;
    button.removeAttribute("aria-busy");
  }
});

function conflict() {
  key = newKey();
  tell([], "An earlier try of this form had made a link already, before you changed it: you find it in the list. Create again for another");
  done();
}

function show(link) {
  const sent = { none: "It is not e-mailed: share it yourself.", queued: `Its e-mail to ${link.email} is on its way.` };
  const later = link.scheduled_at && h("span", {}, `Its e-mail to ${link.email} goes out on `, moment(link.scheduled_at), ".");
  form.hidden = true;
  const title = h("h2", { tabindex: "-1" }, "Link created");
  const total = amount(link.payment_amount, link.currency);
  result.replaceChildren(
    h("div", { class: "top" }, title, h("button", { type: "button", class: "icon", "data-close": true, "aria-label": "Close" }, icon("close"))),
    h("p", {}, total && h("strong", { class: "sum" }, total), sent[link.delivery.state] ?? later ?? ""),
    sharing(link, root),
    h("div", { class: "buttons" }, h("button", { type: "button", "data-close": true }, "Done"), h("button", { type: "button", onclick: another }, "Create another")),
  );
  title.focus();
  say("Link created");
  done();
}

function another() {
  begin();
  field("email").focus();
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.getElementById("zone").textContent = `In your own time (${zone}). Left out, it is sent at once and lasts as long as the service is set to.`;
document.getElementById("currencies").append(...(Intl.supportedValuesOf?.("currency") ?? []).map((code) => h("option", { value: code })));
