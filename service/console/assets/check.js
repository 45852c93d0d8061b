// What can be known to be wrong with a field as soon as it is left, in the service's own words. It has the last word on all of them.

const AMOUNT = /^(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$/;
const LARGEST = 1e12;

/** How many decimals each currency has, as the page names them: NGN2 JPY0 … */
export const CURRENCIES = new Map(document.getElementById("currencies").dataset.units.split(" ").map((unit) => [unit.slice(0, 3), Number(unit.slice(3))]));

/** The amount as JSON writes it: thousands may be set apart by commas. Null where it is no number. */
export function digits(text) {
  const plain = text.replace(/[\s\u00a0]/g, "");
  if (!plain) return "";
  return AMOUNT.test(plain) ? plain.replaceAll(",", "").replace(/^0+(?=\d)/, "") : null;
}

/** What is wrong with the field called `name`; undefined where nothing is known to be. */
export function fault(name, form) {
  const text = form.elements[name]?.value.trim();
  if (!text) return name === "email" ? "say to whom the link goes" : undefined;
  return RULES[name]?.(text, form);
}

const RULES = {
  email: (text) => (text.includes("@") ? undefined : "An email address must have an @-sign."),
  currency: (text) => (CURRENCIES.has(text.toUpperCase()) ? undefined : "must be an ISO 4217 code, such as NGN or USD"),
  payment_amount(text, form) {
    const amount = digits(text);
    if (amount === null) return "write it like 125000.50";
    if (!(amount > 0 && amount < LARGEST)) return `must be above 0 and below ${LARGEST}`;
    const code = form.elements.currency.value.trim().toUpperCase();
    const allowed = code ? CURRENCIES.get(code) : 2;
    if ((amount.split(".")[1] ?? "").replace(/0+$/, "").length > allowed) return `must have ${allowed ? `no more than ${allowed}` : "no"} decimals${code && ` in ${code}`}`;
  },
};
