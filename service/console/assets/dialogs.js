// The dialogs that the address opens and closes: Esc, clicks and buttons only change the address.

import { icon, h } from "./dom.js";
import { closeTop, currentRoute } from "./route.js";

const DIALOG_OF = {
  new: "create",
  "resend-failed": "resend-failed",
  profile: "profile",
  "mark-paid": "payment",
  edit: "create",
  supersede: "create",
  link: "detail",
  void: "detail",
  resend: "detail",
  revoke: "detail",
  "revoke-all": "detail",
};
const main = document.getElementById("main");

const sheets = document.querySelectorAll("dialog.sheet");

for (const dialog of sheets) {
  let pressed;
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    closeTop();
  });
  dialog.addEventListener("close", () => {
    // A browser closes it by itself at a second Esc. It may also be open again by now.
    if (!dialog.open && DIALOG_OF[currentRoute().over] === dialog.id) closeTop();
  });
  dialog.addEventListener("pointerdown", ({ target }) => (pressed = target));
  dialog.addEventListener("click", ({ target }) => {
    const isBackdrop = target === dialog && pressed === dialog;
    if (target.closest("[data-close]") || isBackdrop) closeTop();
  });
}

/** Closes the dialogs that `route` does not name. */
export function closeOthers(route) {
  for (const dialog of sheets) if (dialog.open && dialog.id !== DIALOG_OF[route.over]) dialog.close();
}

/** Moves the focus to the heading if the element that had it before the dialog is gone. */
addEventListener(
  "close",
  ({ target }) => {
    const isLost =
      document.activeElement === document.body || target.contains(document.activeElement);
    if (isLost) main.querySelector("h1")?.focus();
  },
  true,
);

export function dialogHeader(title, id) {
  return h(
    "div",
    { class: "top" },
    h("h2", { id, tabindex: "-1" }, title),
    h(
      "button",
      { type: "button", class: "icon", "data-close": true, "aria-label": "Close" },
      icon("close"),
    ),
  );
}
