// Records that money arrived for a link, and voids payments that were recorded by mistake.

import { callApi, callApiWithStatus, encodeBody, newIdempotencyKey } from "./api.js";
import { actionButton, cancelButton, linkFacts, question } from "./confirm.js";
import { announce, h } from "./dom.js";
import { Form } from "./form.js";
import { formatAmount } from "./format.js";
import { CURRENCIES, findFault, parseAmount, typedAmount } from "./validation.js";

const FIELD_OF = {
  partial_not_accepted: "amount",
  currency_mismatch: "currency",
  payment_conflict: "payment_id",
  payment_voided: "payment_id",
};
const dialog = document.getElementById("payment");
const notice = document.getElementById("payment-notice");
const duplicate = document.getElementById("duplicate");
const LEFT = "No payment was recorded: you left the form before it was sent.";
let suggested = "";
const form = new Form(dialog, {
  question: ["Discard this payment?", "It is not recorded yet, and what you typed will be lost."],
  findFault,
});

export const paymentText = ({ status }) =>
  status === "paid" ? "Record another payment" : "Mark paid";

export const findPayment = (link, id) =>
  link.payments?.find(({ payment_id, voided_at }) => payment_id === id && !voided_at);

/** Opens the form for a payment of `link`. `done` takes what `report` in detail.js takes. */
export function openPayment(link, done) {
  form.clear();
  form.field("payment_id").value = `console-${newIdempotencyKey().slice(0, 16)}`;
  showLink(link);
  document.getElementById("payment-title").textContent = paymentText(link);
  document.getElementById("payment-zone").textContent =
    `In your own time (${Intl.DateTimeFormat().resolvedOptions().timeZone}). If left empty: now.`;
  let known = link;
  form.open({
    async send(isShown) {
      const read = await callApi(`/payment-links/${link.id}`);
      if (!isShown()) return announce(LEFT, { shown: true });
      const hasChanged = read.amount_due !== known.amount_due || read.status !== known.status;
      const isRepeated = read.payments?.some(({ payment_id }) => payment_id === paymentId());
      known = read;
      if (hasChanged && !isRepeated) return showMeanwhile(read);
      if (read.status === "paid" && !isRepeated && !(await confirmDuplicate(read))) return;
      const answer = await callApiWithStatus(`/payment-links/${link.id}/payments`, {
        method: "POST",
        body: encodePayment(read),
      });
      const { link: changed, duplicate: isWarning } = answer.body;
      done(describeResult(answer), form.finish(isShown), { changed, isWarning });
    },
    recover({ code, message }) {
      const name = FIELD_OF[code];
      if (!name || form.field(name).disabled) return false;
      form.showFaults([{ field: name, message }]);
      return true;
    },
    unreachable:
      "The service did not answer, so it is not known whether the payment is recorded. Try " +
      "again: with the same payment id it is not recorded twice",
  });
  form.field("amount").focus();
}

/** The link's currency, or that in which it was paid; null if there is none. */
const currencyOf = ({ currency, payments }) => currency ?? payments?.[0]?.currency ?? null;

const paymentId = () => form.field("payment_id").value.trim();

/** Shows what `link` is, and what is due, as the amount unless the user has typed another. */
function showLink(link) {
  const due = formatAmount(link.amount_due, link.currency) || "any amount";
  document.getElementById("payment-link").replaceChildren(linkFacts(link, ["Still due", due]));
  const amount = Number(link.amount_due) ? link.amount_due : link.payment_amount;
  const field = form.field("amount");
  if (!field.value || field.value === suggested) field.value = typedAmount(amount, link.currency);
  suggested = typedAmount(amount, link.currency);
  form.field("currency").value = link.currency ?? "";
  form.field("currency").disabled = link.currency !== null;
  notice.hidden = link.status === "active";
  notice.textContent = NOTICES[link.status] ?? "";
}

const NOTICES = {
  paid: "This link is paid already: another payment is recorded as a duplicate.",
  expired: "This link has expired: the payment is recorded as late.",
  revoked: "This link is revoked: the payment is recorded as late.",
};

/** Says that the link changed since the form was opened. Nothing was recorded yet. */
function showMeanwhile(link) {
  showLink(link);
  form.showError(
    "This link has changed meanwhile, so nothing was recorded yet. Check what is due, " +
      "and record the payment again",
  );
}

/** Whether the user wants to record another payment of a link that is paid. */
function confirmDuplicate(link) {
  document.getElementById("duplicate-text").textContent =
    `${formatAmount(link.amount_paid, currencyOf(link))} was recorded for it. If the customer has ` +
    "paid twice, record this payment too: it is marked as a duplicate, for you to refund.";
  duplicate.returnValue = "";
  duplicate.showModal();
  return new Promise((resolve) => {
    const answer = () => resolve(duplicate.returnValue === "record");
    duplicate.addEventListener("close", answer, { once: true });
  });
}

/** The request body. The service refuses an amount that is not a number, with all other errors. */
function encodePayment(link) {
  const text = form.field("amount").value;
  const amount = parseAmount(text);
  const paidAt = form.field("paid_at").value;
  const values = {
    payment_id: paymentId(),
    amount: amount === null ? text : "",
    currency: link.currency ?? form.field("currency").value.trim().toUpperCase(),
    method: form.field("method").value.trim(),
    paid_at: paidAt && new Date(paidAt).toISOString(),
  };
  const given = Object.entries(values).filter(([, value]) => value !== "");
  return encodeBody(Object.fromEntries(given), { amount });
}

/** What became of a payment, in words, and whether it needs attention. */
function describeResult({ status, body: { link, ...payment } }) {
  const amount = formatAmount(payment.amount, payment.currency);
  if (status === 200) return "This payment was recorded before: nothing was recorded again.";
  if (payment.duplicate)
    return (
      `${amount} is recorded as a duplicate: the link was paid before. Refund one of the ` +
      "payments, and void it here."
    );
  const late = payment.late ? " It is late: the link had ended before." : "";
  if (link.status === "paid") return `${amount} is recorded: the link is paid.${late}`;
  const due = formatAmount(link.amount_due, currencyOf(link));
  return `${amount} is recorded: ${due} is still due.${late}`;
}

/** Confirms voiding `payment` of `link`. */
export function confirmVoid(link, payment, done) {
  const amount = formatAmount(payment.amount, payment.currency ?? link.currency);
  const path = `/payment-links/${link.id}/payments/${encodeURIComponent(payment.payment_id)}`;
  const title = `Void the payment of ${amount}?`;
  const text = h(
    "p",
    {},
    "It no longer counts, and this cannot be undone. No money is sent back: refund it where it was " +
      "paid. If less than the link’s amount is left, the link is no longer paid.",
  );
  const action = actionButton("Void this payment", "danger solid", {
    run: () => callApi(path, { method: "DELETE" }),
    done: (changed, isShown) =>
      done(describeVoided(changed, amount, payment), isShown(), { changed }),
    describe: (problem) =>
      problem.isRefusal
        ? `Nothing was voided: ${problem.message}.`
        : "The service did not answer, so it is not known whether the payment is voided. Try " +
          "again: it is not done twice.",
  });
  const facts = linkFacts(link, ["Payment id", payment.payment_id]);
  return question(title, "detail-title", [facts, text], action, cancelButton("Keep"));
}

const describeVoided = (link, amount, payment) =>
  `The payment of ${amount}, ${payment.payment_id}, is voided. ` +
  (link.status === "paid" ? "The link is still paid." : `The link is ${link.status}.`);

// Back closes the form, and with it the question that it asks.
dialog.addEventListener("close", () => duplicate.close());

document.getElementById("payment-currencies").append(
  ...[...CURRENCIES.keys()].map((code) => new Option(code)),
);
