// The entry point: signs the user in, and shows what the address names (route.js).

import { callApi, endSession, storeToken, Problem, readClaims, token } from "./api.js";
import * as links from "./link_list.js";
import { showForm } from "./create.js";
import { showCreated, showLink } from "./detail.js";
import { closeOthers } from "./dialogs.js";
import { h, icon, announce } from "./dom.js";
import { clearForms } from "./form.js";
import * as overview from "./overview.js";
import { showProfile } from "./profile.js";
import { showResendFailed } from "./resend.js";
import * as route from "./route.js";

const main = document.getElementById("main");
const signIn = document.getElementById("sign-in");
const field = document.getElementById("token");
const tokenError = document.getElementById("token-error");
const reason = document.getElementById("sign-in-why");
const signOutInstead = document.getElementById("sign-in-leave");
const pick = document.getElementById("pick");
const org = document.getElementById("org");
let user = null,
  shown;

function startSession() {
  const before = user;
  user = readClaims(token());
  if (before && (before.org !== user.org || before.role !== user.role)) clearForms();
  const isInternal = user.role === "internal-admin";
  document.querySelector(".brand").href = route.formatHash({ org: user.org });
  pick.hidden = !isInternal;
  document.getElementById("own-org").hidden = isInternal;
  document.getElementById("own-org").textContent = user.org ?? "";
  document.getElementById("who").textContent = `${user.subject} · ${user.role}`;
  document.body.classList.remove("signed-out");
  refresh();
}

function refresh() {
  shown = null;
  render();
}

/** Shows what the address names. */
function render() {
  if (!token() || !user) return;
  const current = route.currentRoute();
  if (user.org && current.org !== user.org) return redirectToOwnOrg(current.org);
  const shownOrg = current.org ?? "";
  org.value = shownOrg;
  const isForced = shown == null;
  if (!current.over || !route.canGoBack() || isForced) {
    // the list under an open dialog stays as it is
    shown = shownOrg;
    if (current.org) {
      overview.leave();
      links.showList(main, current, isForced);
    } else {
      links.leave();
      overview.showOverview(main);
    }
  }
  closeOthers(current);
  showForm(current, showCreated);
  showLink(current);
  showResendFailed(current);
  showProfile(current);
}

/** An org-admin sees one organization only, whatever the address names. */
function redirectToOwnOrg(elsewhere) {
  route.replaceRoute({ org: user.org });
  if (elsewhere)
    announce(`You are signed in for ${user.org}, not for ${elsewhere}`, { shown: true });
}

function signOut() {
  endSession();
  user = null;
  links.leave();
  overview.leave();
  clearForms();
  route.clearRoute();
  showLink(route.currentRoute());
  showProfile(route.currentRoute());
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  document.body.classList.add("signed-out");
  for (const part of [
    ...document.querySelectorAll("dialog .result"),
    main,
    document.getElementById("who"),
    document.getElementById("own-org"),
    document.getElementById("orgs"),
  ])
    part.replaceChildren();
  document.title = "Payment links console";
  showSignIn(false);
}

/** Asks for a token, on an empty page or in a modal dialog over the current one. */
function showSignIn(isModal, text = "") {
  field.value = tokenError.textContent = "";
  field.removeAttribute("aria-invalid");
  reason.textContent = text;
  reason.hidden = !text;
  signOutInstead.hidden = !isModal;
  if (isModal) signIn.showModal();
  else signIn.show();
  field.focus();
}

/** Makes a request that succeeds only if the server accepts the token. */
function verifyToken(text) {
  const claims = readClaims(text);
  if (!claims)
    throw new Problem(401, {
      detail: "it is not a whole token, whose three parts are joined by dots",
    });
  if (claims.role === "internal-admin") return callApi("/orgs?limit=1", { as: text });
  if (!claims.org) throw new Problem(401, { detail: "the token names no organization" });
  return callApi(`/orgs/${encodeURIComponent(claims.org)}/payment-links?limit=1`, { as: text });
}

signIn.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = field.value.trim().replace(/^Bearer\s+/i, "");
  const button = event.target.querySelector(".primary");
  if (button.hasAttribute("aria-busy")) return;
  tokenError.textContent = "";
  button.setAttribute("aria-busy", "true");
  try {
    await verifyToken(text);
    storeToken(text);
    field.value = "";
    signIn.close("in");
    startSession();
    if (!document.querySelector("dialog:modal")) main.querySelector("h1")?.focus();
    announce(`Signed in as ${user.role}`);
  } catch (problem) {
    tokenError.textContent =
      problem.status === 401 || problem.status === 403
        ? `This token does not sign you in: ${problem.message}.`
        : `You cannot be signed in right now: ${problem.message}.`;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  } finally {
    button.removeAttribute("aria-busy");
  }
});

addEventListener("token-refused", () => {
  if (!signIn.open)
    showSignIn(
      true,
      "Your token is no longer good: it has expired, or was withdrawn. Sign in again to go on; " +
        "what you typed is still there.",
    );
});
signIn.addEventListener("close", () => {
  if (!token() && user) signOut();
});
signOutInstead.addEventListener("click", signOut);
document.getElementById("sign-out").addEventListener("click", signOut);
addEventListener("online", () => user && refresh());

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

for (const button of document.querySelectorAll("button.icon[data-close]"))
  button.append(icon("close"));

pick.addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = route.formatHash({ org: org.value.trim() });
});
org.addEventListener("change", () => org.value && pick.reportValidity() && pick.requestSubmit());
org.addEventListener("input", () => {
  clearTimeout(org.timer);
  org.timer = setTimeout(suggestOrgs, 200);
});
org.addEventListener("focus", suggestOrgs, { once: true });

async function suggestOrgs() {
  const prefix = org.value.trim();
  const query = new URLSearchParams({ prefix, limit: 20 });
  const page = await callApi(`/orgs?${query}`).catch(() => null);
  if (page && token() && prefix === org.value.trim())
    document
      .getElementById("orgs")
      .replaceChildren(...page.orgs.map((name) => h("option", { value: name })));
}

route.onNavigate(render);
if (token() && readClaims(token())) {
  signIn.close();
  startSession();
} else {
  storeToken(null);
  showSignIn(false);
}
