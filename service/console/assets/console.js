// The console: who is signed in, and what they look at, which the address says (route.js).

import { ask, keep, Problem, read, token } from "./api.js";
import * as links from "./browse.js";
import { clear, showForm } from "./create.js";
import { showLink } from "./detail.js";
import { h, icon, say } from "./dom.js";
import * as mail from "./mail.js";
import * as route from "./route.js";
import "./dialogs.js";

const main = document.getElementById("main");
const signIn = document.getElementById("sign-in");
const field = document.getElementById("token");
const wrong = document.getElementById("token-error");
const why = document.getElementById("sign-in-why");
const leave = document.getElementById("sign-in-leave");
const pick = document.getElementById("pick");
const org = document.getElementById("org");
let who = null, shown;

function enter() {
  const before = who;
  who = read(token());
  if (before && (before.org !== who.org || before.role !== who.role)) clear();
  const internal = who.role === "internal-admin";
  document.querySelector(".brand").href = route.address({ org: who.org });
  pick.hidden = !internal;
  document.getElementById("own-org").hidden = internal;
  document.getElementById("own-org").textContent = who.org ?? "";
  document.getElementById("who").textContent = `${who.subject} · ${who.role}`;
  document.body.classList.remove("signed-out");
  refresh();
}

function refresh() {
  shown = null;
  go();
}

/** Shows what the address says. */
function go() {
  if (!token() || !who) return;
  const there = route.here();
  if (who.org && there.org !== who.org) return goHome(there.org);
  const beneath = there.org ?? "";
  org.value = beneath;
  const fresh = shown == null;
  if (!there.over || !route.isOpened() || fresh) { // what a dialog was opened from stays as it is
    shown = beneath;
    if (there.org) {
      mail.leave();
      links.browse(main, there, fresh);
    } else {
      links.leave();
      mail.overview(main);
    }
  }
  showForm(there);
  showLink(there);
}

/** An org-admin has one organization, wherever an address leads. */
function goHome(elsewhere) {
  route.replace({ org: who.org });
  if (elsewhere) say(`You are signed in for ${who.org}, not for ${elsewhere}`, { shown: true });
}

function signOut() {
  keep(null);
  who = null;
  links.leave();
  mail.leave();
  clear();
  route.clear();
  showLink(route.here());
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  document.body.classList.add("signed-out");
  for (const part of [document.querySelector("#detail .result"), main, document.getElementById("who"), document.getElementById("own-org"), document.getElementById("orgs")]) part.replaceChildren();
  document.title = "Payment links console";
  askWho(false);
}

/** Asks for a token: on a page of its own, or over what is there, which waits. */
function askWho(over, text = "") {
  field.value = wrong.textContent = "";
  field.removeAttribute("aria-invalid");
  why.textContent = text;
  why.hidden = !text;
  leave.hidden = !over;
  if (over) signIn.showModal();
  else signIn.show();
  field.focus();
}

/** The first request of whoever signs in: the server's word on the token. */
function probe(text) {
  const claims = read(text);
  if (!claims) throw new Problem(401, { detail: "it is not a whole token, whose three parts are joined by dots" });
  if (claims.role === "internal-admin") return ask("/orgs?limit=1", { as: text });
  if (!claims.org) throw new Problem(401, { detail: "the token names no organization" });
  return ask(`/orgs/${encodeURIComponent(claims.org)}/payment-links?limit=1`, { as: text });
}

signIn.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = field.value.trim().replace(/^Bearer\s+/i, "");
  const button = event.target.querySelector(".primary");
  if (button.hasAttribute("aria-busy")) return;
  wrong.textContent = "";
  button.setAttribute("aria-busy", "true");
  try {
    await probe(text);
    keep(text);
    field.value = "";
    signIn.close("in");
    enter();
    if (!document.querySelector("dialog:modal")) main.querySelector("h1")?.focus();
    say(`Signed in as ${who.role}`);
  } catch (problem) {
    wrong.textContent = problem.status === 401 || problem.status === 403 ? `This token does not sign you in: ${problem.message}.` : `You cannot be signed in right now: ${problem.message}.`;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  } finally {
    button.removeAttribute("aria-busy");
  }
});

addEventListener("refused", () => {
  if (!signIn.open) askWho(true, "Your token is no longer good: it has expired, or was withdrawn. Sign in again to go on; what you typed is still there.");
});
signIn.addEventListener("close", () => {
  if (!token() && who) signOut();
});
leave.addEventListener("click", signOut);
document.getElementById("sign-out").addEventListener("click", signOut);
addEventListener("online", () => who && refresh());

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

for (const button of document.querySelectorAll("button.icon[data-close]")) button.append(icon("close"));

pick.addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = route.address({ org: org.value.trim() });
});
org.addEventListener("change", () => org.value && pick.reportValidity() && pick.requestSubmit());
org.addEventListener("input", () => {
  clearTimeout(org.timer);
  org.timer = setTimeout(suggest, 200);
});
org.addEventListener("focus", suggest, { once: true });

async function suggest() {
  const page = await ask(`/orgs?${new URLSearchParams({ prefix: org.value.trim(), limit: 20 })}`).catch(() => null);
  if (page) document.getElementById("orgs").replaceChildren(...page.orgs.map((name) => h("option", { value: name })));
}

route.follow(go);
if (token() && read(token())) {
  signIn.close();
  enter();
} else {
  keep(null);
  askWho(false);
}
