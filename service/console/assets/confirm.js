// The question before something is done that cannot be undone: its text and its buttons.

import { dialogHeader } from "./dialogs.js";
import { announce, factList, h } from "./dom.js";
import { breakableEmail, formatAmount } from "./format.js";
import { closeTop } from "./route.js";

/**
 * A button that calls `run` and then `done` with the answer and `isShown`, which tells whether the
 * user has not left the question, and a place for the failure, which `describe` puts into words.
 * While it waits, further clicks do nothing.
 */
export function actionButton(text, style, { run, done, describe }) {
  const error = h("p", { class: "notice", role: "alert", hidden: true });
  const button = h("button", { type: "button", class: style }, text);
  const isShown = () => button.closest("dialog[open]") !== null;
  button.addEventListener("click", async () => {
    if (button.hasAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      await done(await run(), isShown);
    } catch (problem) {
      error.textContent =
        problem.status === 401 ? "Sign in again, and then once more." : describe(problem);
      if (!isShown()) return announce(error.textContent, { shown: true });
      error.hidden = false;
      error.scrollIntoView({ block: "nearest" });
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return { button, error };
}

export const cancelButton = (text) => h("button", { type: "button", onclick: closeTop }, text);

/**
 * The content of a dialog that asks `title`, with the elements `text`, an `actionButton` and a
 * `cancelButton`.
 */
export function question(title, id, text, { button, error }, cancel) {
  return [
    dialogHeader(title, id),
    h("div", {}, text),
    error,
    h("div", { class: "buttons" }, button, cancel),
  ];
}

/** What identifies `link`, and one fact more: a pair of its name and value. */
export const linkFacts = (link, fact) =>
  factList(
    [
      ["Recipient", h("span", {}, breakableEmail(link.email))],
      ["Amount", formatAmount(link.payment_amount, link.currency) || "no amount"],
      ["Reference", link.transaction_id ?? "no reference"],
      fact,
    ],
    "facts",
  );
