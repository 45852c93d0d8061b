// Changes a link. If somebody else changed it meanwhile, the new values are shown before it is saved.

import { callApi, encodeBody } from "./api.js";
import { formatAmount, formatTime } from "./format.js";
import { h } from "./dom.js";
import {
  arrange,
  isAmount,
  linkForm,
  openLinkForm,
  readValues,
  valuesOf,
  writeValues,
} from "./link_form.js";
import { describeReminders } from "./reminders.js";

const LABELS = {
  email: "Customer’s e-mail",
  payment_amount: "Amount",
  currency: "Currency",
  description: "Description",
  locale: "Customer’s language",
  reminders: "Reminders",
  scheduled_at: "Send at",
  expires_at: "Expires at",
  otp_required: "One-time password",
};
const FIELDS = Object.keys(LABELS);
const LOCKED_AFTER_MAIL = ["email", "payment_amount", "currency", "scheduled_at", "otp_required"];
const NOT_EDITED = ["transaction_id", "notify", "accept_partial"];
const LOCKED_TEXT =
  "Its e-mail is out, so the customer may know its recipient, amount, currency, and whether it " +
  "asks for a one-time password: these stay as they are. To change them, supersede the link.";

export const canEdit = ({ status }) => status === "active" || status === "expired";

/** The name of a field of the API in words. */
export const fieldLabel = (name) => LABELS[name] ?? name.replaceAll("_", " ");

/** Opens the form with the values of `link`. `done` takes what `report` in detail.js takes. */
export function openEdit(link, done) {
  new Edit(link, done).open();
}

class Edit {
  constructor(link, done) {
    Object.assign(this, { link, done, isLocked: Boolean(link.delivery.sent_at) });
  }

  open() {
    openLinkForm({
      title: "Edit this link",
      action: "Save changes",
      zone: "A later end makes an expired link active again.",
      values: valuesOf(this.link),
      ...this.fields(),
      question: ["Discard your changes?", "They are not saved yet, and will be lost."],
      unreachable:
        "The service did not answer, so it is not known whether your changes are saved. Try " +
        "again: they are not made twice",
      send: (isShown) => this.save(isShown),
      recover: (problem, isShown) => this.recover(problem, isShown),
    });
    this.before = readValues();
  }

  fields(text = "") {
    return {
      text: text || (this.isLocked ? LOCKED_TEXT : ""),
      locked: this.isLocked ? LOCKED_AFTER_MAIL : [],
      hidden: NOT_EDITED,
    };
  }

  get changed() {
    const values = readValues();
    return FIELDS.filter((name) => !isEqual(values[name], this.before[name]));
  }

  async save(isShown) {
    const { changed, link } = this;
    if (!changed.length) return linkForm.showError("There is nothing to save: nothing was changed");
    const changedLink = await callApi(`/payment-links/${link.id}`, {
      method: "PATCH",
      headers: { "If-Match": `"${link.version}-${link.status}"` },
      body: encodeChanges(changed),
    });
    this.finish(changedLink, isShown);
  }

  finish(link, isShown) {
    this.done("Your changes are saved.", linkForm.finish(isShown), { changed: link });
  }

  async recover({ status, code }, isShown) {
    if (status !== 412 && code !== "link_sent") return false;
    const wanted = readValues();
    const changed = this.changed;
    const now = await callApi(`/payment-links/${this.link.id}`).catch(() => null);
    if (!now || !isShown()) return false;
    const differing = differences(valuesOf(this.link), valuesOf(now));
    this.link = now;
    this.isLocked = code === "link_sent" || Boolean(now.delivery.sent_at);
    const kept = changed.filter((name) => !(this.isLocked && LOCKED_AFTER_MAIL.includes(name)));
    this.showAnew(now, Object.fromEntries(kept.map((name) => [name, wanted[name]])));
    if (status === 412 && changed.length && !this.changed.length) this.finish(now, isShown);
    else if (!canEdit(now))
      linkForm.showError(`Nothing was saved: this link is ${now.status}, and stays as it is`);
    else if (status === 412) this.showConflict(differing);
    else linkForm.showError("Its e-mail went out meanwhile: nothing was saved");
    return true;
  }

  /** Fills the form with the link as it is now, and what the user typed that can still be saved. */
  showAnew(link, typed) {
    writeValues(valuesOf(link));
    this.before = readValues();
    writeValues(typed);
    arrange(this.fields());
  }

  showConflict(differing) {
    const { link } = this;
    linkForm.error.replaceChildren(
      "Somebody else changed this link meanwhile, and nothing was saved. What you typed is still " +
        "there; save again to replace their values.",
      h(
        "ul",
        {},
        link.status !== "active" && h("li", {}, `It is ${link.status} now.`),
        differing.map((name) => h("li", {}, `${fieldLabel(name)} is now `, describe(name, link))),
      ),
    );
    linkForm.error.hidden = false;
    linkForm.error.scrollIntoView({ block: "nearest" });
  }
}

const isEqual = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const differences = (before, now) => FIELDS.filter((name) => !isEqual(before[name], now[name]));

/** The value of a link's field in words. */
function describe(name, link) {
  const value = link[name];
  if (name === "payment_amount") return formatAmount(value, link.currency) || "none";
  if (name === "reminders") return describeReminders(value);
  if (name === "otp_required") return value ? "asked for" : "not asked for";
  if (name.endsWith("_at")) return formatTime(value) || "none";
  return value ?? "none";
}

/** The body of the request: what is empty is removed. */
function encodeChanges(changed) {
  const values = readValues();
  const amount = values.payment_amount;
  const hasNumber = changed.includes("payment_amount") && isAmount(amount);
  const others = changed.filter((name) => !(name === "payment_amount" && hasNumber));
  return encodeBody(
    Object.fromEntries(others.map((name) => [name, values[name] === "" ? null : values[name]])),
    hasNumber ? { payment_amount: amount } : {},
  );
}
