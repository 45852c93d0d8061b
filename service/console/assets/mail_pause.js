// Tells everybody who is signed in when e-mails are held back.

import { callApi } from "./api.js";
import { h } from "./dom.js";

const REFRESH_INTERVAL_MS = 30_000;
const LINKS_PAUSED =
  "E-mails with payment links are held back until the mail server takes them again, and then go " +
  "out by themselves.";
const CODES_PAUSED =
  "One-time passwords are held back until the mail server takes them again. A customer who needs " +
  "one can then ask for it again.";
const NOTICES_PAUSED =
  "Reminders and receipts are held back until the mail server takes them again, and then go out " +
  "by themselves.";
const BOTH_PAUSED =
  "All e-mails are held back until the mail server takes them again. Then payment links go out " +
  "by themselves, and customers can ask for one-time passwords again.";

/** An element that is empty unless e-mails are held back. It asks as long as it is on the page. */
export function pauseNotice() {
  const notice = h("div", { role: "status" });
  refresh(notice);
  return notice;
}

async function refresh(notice) {
  if (!document.hidden) {
    const readiness = await callApi("/readyz").catch(() => null);
    if (readiness) show(notice, readiness.reasons);
  }
  setTimeout(() => notice.isConnected && refresh(notice), REFRESH_INTERVAL_MS);
}

/** An unchanged text is not announced again. */
function show(notice, reasons) {
  const text = describePause(reasons);
  if (notice.textContent === text) return;
  notice.replaceChildren(...(text ? [h("p", { class: "notice" }, text)] : []));
}

function describePause(reasons) {
  const links = reasons.includes("mail_links_paused");
  const codes = reasons.includes("mail_otps_paused");
  if (links) return codes ? BOTH_PAUSED : LINKS_PAUSED;
  if (codes) return CODES_PAUSED;
  return reasons.includes("mail_notices_paused") ? NOTICES_PAUSED : "";
}
