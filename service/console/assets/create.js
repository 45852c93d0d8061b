// Creates links. The form's Idempotency-Key ensures that repeated clicks create one link.

import { callApi, encodeBody, newIdempotencyKey } from "./api.js";
import { EMPTY, isAmount, linkForm, openLinkForm, readValues, valuesOf } from "./link_form.js";
import { reloadList } from "./link_list.js";

const EMPTY_TIMES = "If left empty, the link is sent at once, and lasts for the service’s default.";
const UNREACHABLE =
  "The service cannot be reached. Nothing is lost: try again, and no second link is made";

/** Opens the form if `route` names it. An open form stays as it is. */
export function showForm(route, done) {
  if (route.over !== "new" || linkForm.dialog.open) return;
  openLinkForm({
    title: `New link for ${route.org}`,
    action: "Create link",
    zone: EMPTY_TIMES,
    values: EMPTY,
    ...createOptions({ org_id: route.org }, done),
  });
}

/** Whether `link` can be superseded: paid ones cannot, and the reference tells which ones are. */
export const canSupersede = ({ status, transaction_id, amount_paid }) =>
  status === "active" && transaction_id !== null && !Number(amount_paid);

/** Opens the form for a link that supersedes `link`, with its values. */
export function openSupersede(link, done) {
  const { org_id, metadata } = link;
  openLinkForm({
    title: "Supersede this link",
    action: "Create and supersede",
    text:
      `This makes a new link, and revokes every active link with the reference ` +
      `${link.transaction_id}. Their e-mails that are not out yet are not sent, and their pages ` +
      `say to use the newer e-mail.`,
    zone: EMPTY_TIMES,
    values: { ...EMPTY, ...valuesOf(link), scheduled_at: "", expires_at: "" },
    locked: ["transaction_id"],
    ...createOptions({ org_id, metadata, on_conflict: "supersede" }, done),
  });
}

/** What `openLinkForm` needs to create a link with the form's values and `fields`. */
function createOptions(fields, done) {
  let idempotencyKey = newIdempotencyKey();
  return {
    async send(isShown) {
      const link = await callApi("/payment-links", {
        method: "POST",
        body: encodeLink(fields),
        headers: { "Idempotency-Key": idempotencyKey },
      });
      reloadList();
      done(link, linkForm.finish(isShown));
    },
    recover({ code }) {
      if (code !== "idempotency_conflict") return false;
      idempotencyKey = newIdempotencyKey();
      linkForm.showError(
        "This form had already created a link before you changed it: it is " +
          "in the list. Press Create link again for another",
      );
      reloadList();
      return true;
    },
    unreachable: UNREACHABLE,
  };
}

/** The request body. The service refuses an amount that is not a number, with all other errors. */
function encodeLink(fields) {
  const values = readValues();
  const amount = values.payment_amount;
  if (isAmount(amount)) values.payment_amount = "";
  return encodeBody(
    Object.fromEntries(
      Object.entries({ ...fields, ...values }).filter(([, value]) => value !== "" && value !== null),
    ),
    isAmount(amount) ? { payment_amount: amount } : {},
  );
}
