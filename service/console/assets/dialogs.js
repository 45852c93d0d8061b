// The dialogs that the address opens and closes: Esc, a click beside them and their buttons only ask for that.

import { icon, h } from "./dom.js";
import { close, here } from "./route.js";

const SHOWN_FOR = { new: "create", link: "detail", revoke: "detail", "revoke-all": "detail" };
const main = document.getElementById("main");

for (const dialog of document.querySelectorAll("dialog.sheet")) {
  let pressed;
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  dialog.addEventListener("close", () => {
    if (SHOWN_FOR[here().over] === dialog.id) close(); // which a browser may have done unasked, at a second Esc
  });
  dialog.addEventListener("pointerdown", ({ target }) => (pressed = target));
  dialog.addEventListener("click", ({ target }) => {
    if (target.closest("[data-close]") || (target === dialog && pressed === dialog)) close(); // what is pressed beside it is its backdrop
  });
}

/** Whoever closes a dialog goes on where they were, or at the top where that is gone. */
addEventListener(
  "close",
  ({ target }) => {
    const lost = document.activeElement === document.body || target.contains(document.activeElement); // which the browser gives up later
    if (lost) main.querySelector("h1")?.focus();
  },
  true,
);

export function top(title, id) {
  return h(
    "div",
    { class: "top" },
    h("h2", { id, tabindex: "-1" }, title),
    h("button", { type: "button", class: "icon", "data-close": true, "aria-label": "Close" }, icon("close")),
  );
}
