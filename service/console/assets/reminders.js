// The reminders of a link, or of an organization: in words, and as up to three rows of a form.

import { h, icon } from "./dom.js";
import { plural } from "./format.js";

const MAX_REMINDERS = 3;
const UNITS = { s: "seconds", m: "minutes", h: "hours", d: "days" };
const USUAL_UNITS = ["h", "d"];
const KINDS = { after_send: "after the e-mail", before_expiry: "before it expires" };

/** “72 h after the e-mail” for `{after_send: "72h"}`. */
export function describeReminder(reminder) {
  const [kind, delay] = Object.entries(reminder)[0];
  const [, number, unit] = /^(\d+)(\w)$/.exec(delay);
  const duration =
    unit === "d" ? plural(Number(number), "day", "days") : `${number} ${unit.replace("m", "min")}`;
  return `${duration} ${KINDS[kind]}`;
}

/** The reminders of a link in words; null is the organization's default. */
export function describeReminders(reminders) {
  if (!reminders) return "as the organization sends them";
  return reminders.map(describeReminder).join(", ") || "none";
}

/**
 * The rows in `place`, below `select`, which says whether there are any: its values are `own`,
 * `none` and, where there is one, `default`.
 */
export class ReminderRows {
  constructor(select, place) {
    Object.assign(this, { select, place });
    this.rows = h("div");
    this.add = h("button", { type: "button", class: "small" }, icon("plus"), "Add a reminder");
    this.add.addEventListener("click", () => this.append().querySelector("input").focus());
    place.append(this.rows, this.add);
    select.addEventListener("change", () => this.show());
  }

  /** Null: the default. An empty list: none. */
  get value() {
    if (this.select.value !== "own") return this.select.value === "none" ? [] : null;
    return [...this.rows.children].map((row) => {
      const [number, unit, kind] = row.querySelectorAll("input, select");
      return { [kind.value]: `${number.value.trim()}${unit.value}` };
    });
  }

  set value(reminders) {
    this.select.value = reminders?.length ? "own" : reminders ? "none" : "default";
    if (this.select.selectedIndex < 0) this.select.value = "none";
    this.rows.replaceChildren();
    for (const reminder of reminders ?? []) this.append(reminder);
    this.show();
  }

  show() {
    const isOwn = this.select.value === "own";
    if (isOwn && !this.rows.childElementCount) this.append();
    if (!isOwn) this.rows.replaceChildren();
    this.place.hidden = !isOwn;
    this.add.hidden = this.rows.childElementCount >= MAX_REMINDERS;
  }

  append(reminder = { before_expiry: "24h" }) {
    const [kind, delay] = Object.entries(reminder)[0];
    const [, number, unit] = /^(\d+)(\w)$/.exec(delay);
    const units = [...new Set([...USUAL_UNITS, unit])];
    const remove = () => {
      row.remove();
      if (!this.rows.childElementCount) this.select.value = "none";
      this.show();
      (this.add.hidden ? this.select : this.place.hidden ? this.select : this.add).focus();
    };
    const row = h(
      "div",
      { class: "reminder", role: "group", "aria-label": "Reminder" },
      h("input", {
        type: "text",
        inputmode: "numeric",
        maxlength: "6",
        autocomplete: "off",
        value: number,
        "aria-label": "How long",
      }),
      select("Unit", units.map((each) => [each, UNITS[each]]), unit),
      select("Counted", Object.entries(KINDS), kind),
      h(
        "button",
        { type: "button", class: "icon", "aria-label": "Remove this reminder", onclick: remove },
        icon("close"),
      ),
    );
    this.rows.append(row);
    this.show();
    return row;
  }
}

const select = (label, options, chosen) =>
  h(
    "select",
    { "aria-label": label },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
