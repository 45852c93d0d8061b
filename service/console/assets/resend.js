// Asks for confirmation before the mail of one link, or all failed mails, are sent again.

import { countedQuestion } from "./active_links.js";
import { callApi, newIdempotencyKey } from "./api.js";
import { actionButton, cancelButton, linkFacts, question } from "./confirm.js";
import { dialogHeader } from "./dialogs.js";
import { announce, h } from "./dom.js";
import { formatDuration, formatTime, plural } from "./format.js";
import { reloadList } from "./link_list.js";

const TITLE_ID = "resend-failed-title";
const dialog = document.getElementById("resend-failed");
const result = dialog.querySelector(".result");

/** Whether the link's mail can be sent: it is not on its way, and the link has not ended. */
export const canResend = ({ status, delivery }) =>
  status === "active" && ["none", "sent", "failed"].includes(delivery.state);

export const resendText = ({ delivery }) => (delivery.sends ? "Resend e-mail" : "Send e-mail");

/** Confirms sending the mail of `link` again. */
export function confirmResend(link, done) {
  const text = [
    linkFacts(link, ["Last sent", formatTime(link.delivery.sent_at) || "never"]),
    h("p", {}, `The link is e-mailed to ${link.email}.`),
  ];
  const send = resendButton(resendText(link), `/payment-links/${link.id}/resend`, done);
  const title = link.delivery.sends ? "Resend this e-mail?" : "Send this link by e-mail?";
  return question(title, "detail-title", text, send, cancelButton("Cancel"));
}

/** Opens the question whether all failed mails are sent again if `route` names it. */
export function showResendFailed(route) {
  if (route.over !== "resend-failed" || dialog.open) return;
  dialog.showModal();
  render(...confirmResendFailed(route.org));
}

function confirmResendFailed(org) {
  const text = [
    h("p", {}, "Each goes to the same customer as before. Links that have ended are left out."),
  ];
  const send = resendButton("Resend all of them", `/orgs/${org}/resend-failed`, showQueued);
  return countedQuestion("Resend all failed e-mails?", TITLE_ID, text, send, "Cancel", {
    counting: `Counting the failed e-mails of ${org}…`,
    orgs: () => ({ ids: [org], isComplete: true }),
    matches: ({ delivery }) => delivery.state === "failed",
    noun: "e-mail",
    nouns: "e-mails",
    rest: `of ${org} that failed will be sent again`,
    none: `No e-mail of an active link of ${org} has failed.`,
    label: (number) => `Resend ${plural(number, "e-mail", "e-mails")}`,
  });
}

function showQueued({ queued }, isShown) {
  const message = queued
    ? `${plural(queued, "e-mail is", "e-mails are")} on the way again.`
    : "No failed e-mail was left: nothing is sent again.";
  reloadList();
  announce(message, { shown: !isShown() });
  if (!isShown()) return;
  render(
    dialogHeader("Resend all failed e-mails", TITLE_ID),
    h("p", { class: "notice good" }, message),
    h("div", { class: "buttons" }, h("button", { type: "button", "data-close": true }, "Done")),
  );
}

function render(...content) {
  result.replaceChildren(...content);
  dialog.querySelector("h2").focus();
}

/** A button whose request is carried out once, however often it is clicked. */
function resendButton(text, path, done) {
  const headers = { "Idempotency-Key": newIdempotencyKey() };
  const run = () => callApi(path, { method: "POST", headers });
  return actionButton(text, "primary", { run, done, describe: describeFailure });
}

function describeFailure(problem) {
  const wait = problem.retryAfter ? ` Try again in ${formatDuration(problem.retryAfter)}.` : "";
  if (problem.isRefusal) return `Nothing was sent: ${problem.message}.${wait}`;
  return (
    "The service did not answer, so it is not known whether anything is sent. Try again: it is " +
    "not done twice."
  );
}
