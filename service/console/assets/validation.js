// Checks fields when they are left, in the service's words. The service checks them all again.

const AMOUNT = /^(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$/;
const MAX_AMOUNT = 1e12;

/** The decimals of each currency, from the page: NGN2 JPY0 … */
export const CURRENCIES = new Map(
  document
    .getElementById("currencies")
    .dataset.units.split(" ")
    .map((unit) => [unit.slice(0, 3), Number(unit.slice(3))]),
);

/** The amount as a JSON number; thousands may be separated by commas. Null: it is not a number. */
export function parseAmount(text) {
  const plain = text.replace(/[\s\u00a0]/g, "");
  if (!plain) return "";
  return AMOUNT.test(plain) ? plain.replaceAll(",", "").replace(/^0+(?=\d)/, "") : null;
}

/** An amount as a user types it, with all decimals of its currency. */
export function typedAmount(amount, currency) {
  if (amount == null) return "";
  const [whole, decimals = ""] = amount.split(".");
  const digits = decimals.padEnd(CURRENCIES.get(currency) ?? 2, "0");
  return digits ? `${whole}.${digits}` : whole;
}

/** What is wrong with the field `name`, or undefined. */
export function findFault(name, form) {
  const text = form.elements[name]?.value.trim();
  if (!text) return NEEDED[name];
  return RULES[name]?.(text, form);
}

const NEEDED = { email: "enter an e-mail address", payment_id: "enter an id for the payment" };
const RULES = {
  amount: (text, form) => RULES.payment_amount(text, form),
  email: (text) => (text.includes("@") ? undefined : "An email address must have an @-sign."),
  currency: (text) =>
    CURRENCIES.has(text.toUpperCase()) ? undefined : "must be an ISO 4217 code, such as NGN or USD",
  payment_amount(text, form) {
    const amount = parseAmount(text);
    if (amount === null) return "write it like 125000.50";
    if (!(amount > 0 && amount < MAX_AMOUNT)) return `must be above 0 and below ${MAX_AMOUNT}`;
    const code = form.elements.currency.value.trim().toUpperCase();
    const allowed = code ? CURRENCIES.get(code) : 2;
    if ((amount.split(".")[1] ?? "").replace(/0+$/, "").length > allowed)
      return (
        `must have ${allowed ? `no more than ${allowed}` : "no"} ` +
        `decimals${code && ` in ${code}`}`
      );
  },
};
