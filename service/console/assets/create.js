// The form for a new link. Its Idempotency-Key ensures that repeated clicks create one link.

import { callApi, encodeBody } from "./api.js";
import { reloadList } from "./link_list.js";
import { CURRENCIES, parseAmount, findFault } from "./validation.js";
import { showCreated } from "./detail.js";
import { h, announce } from "./dom.js";
import { setGuard } from "./route.js";

const FIELDS = [
  "email",
  "payment_amount",
  "currency",
  "transaction_id",
  "scheduled_at",
  "expires_at",
  "locale",
];
const dialog = document.getElementById("create");
const form = dialog.querySelector("form");
const formError = document.getElementById("create-error");
const button = document.getElementById("create-send");
const discard = document.getElementById("discard");
const field = (name) => document.getElementById(name);
let org, idempotencyKey, isBusy, onDiscard;

/** Opens the form if `route` names it, and closes it otherwise. An open form stays as it is. */
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

/** Empties the form without a question. */
export function clear() {
  idempotencyKey = newKey();
  isBusy = false;
  form.reset();
  clearErrors();
  discard.close();
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function isDirty() {
  const changed = (input) =>
    input.type === "checkbox"
      ? input.checked !== input.defaultChecked
      : input.value !== (input.defaultValue ?? "");
  return [...form.querySelectorAll("input, select")].some(changed);
}

/** Asks whether the input may be discarded, and then calls `callback`. */
function askToDiscard(callback) {
  onDiscard = callback;
  if (!dialog.open) dialog.showModal();
  if (!discard.open) discard.showModal();
}

setGuard({ isDirty, ask: askToDiscard });
addEventListener("beforeunload", (event) => isDirty() && event.preventDefault());
document.getElementById("keep").addEventListener("click", () => discard.close());
document.getElementById("discard-it").addEventListener("click", () => {
  clear();
  onDiscard();
});

function clearErrors() {
  formError.hidden = true;
  FIELDS.forEach(clearError);
}

function clearError(name) {
  field(name).removeAttribute("aria-invalid");
  document.getElementById(`${name}-error`).textContent = "";
}

function showFieldError(name, message) {
  field(name).setAttribute("aria-invalid", "true");
  document.getElementById(`${name}-error`).textContent = sentence(message);
}

/** Shows the errors, each at its field, and focuses the first of these. */
function showErrors(errors, message) {
  const known = errors.filter((error) => FIELDS.includes(error.field));
  for (const error of known) showFieldError(error.field, error.message);
  if (known.length < errors.length || !errors.length) {
    const others = errors.filter((error) => !known.includes(error));
    formError.textContent = others.length
      ? others.map((error) => sentence(`${error.field} ${error.message}`.trim())).join(" ")
      : sentence(message);
    formError.hidden = false;
    formError.scrollIntoView({ block: "nearest" });
  }
  if (known.length) {
    FIELDS.map(field)
      .find((element) => element.hasAttribute("aria-invalid"))
      .focus();
    announce(known.map((error) => `${labelOf(error.field)}: ${error.message}`).join(". "));
  }
}

const labelOf = (name) =>
  document.querySelector(`label[for=${name}]`).firstChild.textContent.trim();
const sentence = (text) =>
  `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;

/** The request body. The service refuses an amount that is not a number, with all other errors. */
function encodeForm() {
  const time = (name) => field(name).value && new Date(field(name).value).toISOString();
  const amount = parseAmount(field("payment_amount").value);
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
  return encodeBody(
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "")),
    amount,
  );
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isBusy) return;
  clearErrors();
  isBusy = true;
  button.setAttribute("aria-busy", "true");
  try {
    const link = await callApi("/payment-links", {
      method: "POST",
      body: encodeForm(),
      headers: { "Idempotency-Key": idempotencyKey },
    });
    clear();
    showCreated(link);
    reloadList();
  } catch (problem) {
    if (problem.code === "idempotency_conflict") showConflict();
    else if (problem.isRefusal) showRefusal(problem);
    else
      showErrors(
        [],
        "The service cannot be reached. Nothing is lost: try again, and no second link is made",
      );
  } finally {
    isBusy = false;
    button.removeAttribute("aria-busy");
  }
});

function showRefusal(problem) {
  if (problem.status === 401) return; // the input is still there after the next sign-in
  const errors = problem.errors.map(({ field: name, message }) => ({
    field: name,
    message: findFault(name, form) ?? message,
  }));
  showErrors(errors, problem.message);
}

function showConflict() {
  idempotencyKey = newKey();
  showErrors(
    [],
    "An earlier try of this form had made a link already, before you changed it: you find it in " +
      "the list. Create again for another",
  );
  reloadList();
}

form.addEventListener("input", ({ target }) => FIELDS.includes(target.id) && clearError(target.id));
form.addEventListener("change", ({ target }) => {
  if (form.querySelector("button:active")) return; // the button must not move while it is pressed
  for (const name of target.id === "currency" ? ["currency", "payment_amount"] : [target.id]) {
    const message = findFault(name, form);
    if (message) showFieldError(name, message);
  }
});

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.getElementById("zone").textContent =
  `In your own time (${zone}). Left out, it is sent at once and lasts as long as the service is ` +
  `set to.`;
document
  .getElementById("currencies")
  .append(...[...CURRENCIES.keys()].map((code) => h("option", { value: code })));
