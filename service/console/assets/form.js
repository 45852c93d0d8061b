// Forms in dialogs: faults stand at their fields, and no input is lost without a question.

import { Problem } from "./api.js";
import { announce } from "./dom.js";
import { setGuard } from "./route.js";

const discard = document.getElementById("discard");
const forms = new Set();
let asking, onDiscard;

/**
 * The form in `dialog`. Every field that the service may refuse has a place for its fault, whose id
 * is the field's and `-error`. The dialog has a `.form-error` for other faults, and a `.primary`
 * button that submits.
 */
export class Form {
  /**
   * `question` is the title and the text of the question before input is lost. `findFault` returns
   * what is wrong with the field of a name, in better words than the service's, or undefined.
   */
  constructor(dialog, { question, findFault = () => undefined }) {
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.error = dialog.querySelector(".form-error");
    this.button = dialog.querySelector("form .primary");
    this.opened = null;
    this.isBusy = false;
    Object.assign(this, { question, findFault: (name) => findFault(name, this.form) });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.form.addEventListener("input", ({ target }) => this.clearFault(nameOfInput(target)));
    this.form.addEventListener("change", ({ target }) => this.checkField(nameOfInput(target)));
    forms.add(this);
  }

  field(name) {
    return this.form.elements.namedItem(name);
  }

  /**
   * Shows the form with the values that its fields have now. `send` makes the request and shows its
   * result; `unreachable` is the text if there was no answer. `recover` may return true for a
   * refusal that it has told the user of by itself. Both get `isShown`, which tells whether the user
   * has not left the form since.
   */
  open({ send, unreachable, recover = () => false, question = this.question }) {
    this.opened = { send, unreachable, recover, question };
    this.clearFaults();
    this.setBusy(false);
    this.initial = this.snapshot();
    discard.close();
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** Empties the form without a question. */
  clear() {
    this.opened = null;
    this.form.reset();
    this.clearFaults();
    this.setBusy(false);
    if (asking === this) discard.close();
  }

  /** Empties the form if it `isShown()`, and returns whether it was. */
  finish(isShown) {
    const wasShown = isShown();
    if (wasShown) this.clear();
    return wasShown;
  }

  get isDirty() {
    return this.opened !== null && this.initial !== this.snapshot();
  }

  /** The input as text, to be compared. */
  snapshot() {
    const value = (input) => (input.type === "checkbox" ? input.checked : input.value);
    return JSON.stringify([...this.form.elements].map(value));
  }

  async submit() {
    if (this.isBusy) return;
    const { opened } = this;
    const isShown = () => this.opened === opened && this.dialog.open;
    this.clearFaults();
    this.setBusy(true);
    try {
      await opened.send(isShown);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      await this.showProblem(problem, opened, isShown);
    } finally {
      if (isShown()) this.setBusy(false);
    }
  }

  async showProblem(problem, { recover, unreachable }, isShown) {
    if (problem.status === 401) return; // the input is still there after the next sign-in
    if (problem.isRefusal && isShown() && (await recover(problem, isShown))) return;
    const text = problem.isRefusal ? `Nothing was saved: ${problem.message}` : unreachable;
    if (!isShown()) announce(sentence(text), { shown: true });
    else if (problem.isRefusal) this.showFaults(problem.errors, problem.message);
    else this.showError(unreachable);
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    if (isBusy) this.button.setAttribute("aria-busy", "true");
    else this.button.removeAttribute("aria-busy");
  }

  /** Shows the service's errors, each at its field, and returns those that have one. */
  markFaults(errors) {
    const place = ({ field }) => document.getElementById(`${this.field(nameOf(field))?.id}-error`);
    const known = errors.filter(place);
    for (const name of new Set(known.map(({ field }) => nameOf(field)))) {
      const messages = known.filter(({ field }) => nameOf(field) === name).map(wordsOf);
      this.showFault(name, this.findFault(name) ?? messages.join(" "));
    }
    return known;
  }

  /** Shows the service's errors, each at its field, and focuses the first of these. */
  showFaults(errors, message) {
    const known = this.markFaults(errors);
    const others = errors.filter((error) => !known.includes(error));
    if (others.length)
      this.showError(others.map(({ field, message }) => sentence(`${field} ${message}`)).join(" "));
    else if (!known.length) this.showError(message);
    if (!known.length) return;
    const wrong = [...this.form.elements].filter((input) => input.hasAttribute("aria-invalid"));
    wrong[0].focus();
    announce(wrong.map((input) => `${labelOf(input)}: ${faultOf(input).textContent}`).join(" "));
  }

  showFault(name, message) {
    this.field(name).setAttribute("aria-invalid", "true");
    faultOf(this.field(name)).textContent = sentence(message);
  }

  /** Shows what is wrong with none of the fields, or with the whole. */
  showError(message) {
    this.error.textContent = sentence(message);
    this.error.hidden = false;
    this.error.scrollIntoView({ block: "nearest" });
  }

  checkField(name) {
    if (this.form.querySelector("button:active")) return; // the button must not move meanwhile
    for (const each of name === "currency" ? ["currency", "payment_amount", "amount"] : [name]) {
      const message = this.field(each) && this.findFault(each);
      if (message) this.showFault(each, message);
    }
  }

  clearFault(name) {
    const field = this.field(name);
    if (!field || !faultOf(field)) return;
    field.removeAttribute("aria-invalid");
    faultOf(field).textContent = "";
  }

  clearFaults() {
    this.error.hidden = true;
    for (const input of this.form.elements) this.clearFault(nameOfInput(input));
  }
}

/** Empties all forms without a question. */
export const clearForms = () => forms.forEach((form) => form.clear());

const findDirty = () => [...forms].find((form) => form.isDirty);

/** Asks whether the input may be discarded, and then calls `callback`. */
function askToDiscard(callback) {
  asking = findDirty();
  onDiscard = callback;
  const [title, text] = asking.opened.question;
  document.getElementById("discard-title").textContent = title;
  document.getElementById("discard-text").textContent = text;
  if (!asking.dialog.open) asking.dialog.showModal();
  if (!discard.open) discard.showModal();
}

setGuard({ isDirty: () => findDirty() !== undefined, ask: askToDiscard });
addEventListener("beforeunload", (event) => findDirty() && event.preventDefault());
document.getElementById("keep").addEventListener("click", () => discard.close());
document.getElementById("discard-it").addEventListener("click", () => {
  asking.clear();
  onDiscard();
});

/** The name of the field that holds `path`, such as `reminders[0].after_send`. */
const nameOf = (path) => path.split(/[.[]/)[0];

/** The service's words for an error, with the number of the entry that they are about. */
function wordsOf({ field, message }) {
  const entry = /\[(\d+)\]/.exec(field);
  return sentence(entry ? `Number ${Number(entry[1]) + 1} ${message}` : message);
}

/** The name of the field that `input` is, or is a part of. */
const nameOfInput = (input) =>
  input.name || input.id || input.closest("[data-part-of]")?.dataset.partOf || "";

const faultOf = (input) => document.getElementById(`${input.id}-error`);
const labelOf = (input) => input.labels[0].firstChild.textContent.trim();

/** `text` with a capital and a full stop. */
export const sentence = (text) =>
  `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;
