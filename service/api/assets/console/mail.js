// What an internal-admin sees first: the e-mail that is owed and what failed, of all organizations, and which those are.

import { ask } from "./api.js";
import { address, failure, h, moment, number, pause, plural, say, span, state } from "./dom.js";
import { openDetail } from "./detail.js";

const EVERY = 10_000;
let timer, asked = 0;

export function overview(main) {
  leave();
  document.title = "Overview · Payment links console";
  const figures = h("dl", { class: "figures", "aria-busy": "true" }, ["Unsent", "Oldest unsent", "Jobs waiting", "Scheduled", "Failed"].map((name) => figure(name, h("span", { class: "bone a" }))));
  const failures = h("section", { class: "card", "aria-labelledby": "failures" });
  const orgs = h("section", { class: "card", "aria-labelledby": "all-orgs" });
  main.replaceChildren(h("div", { class: "head" }, h("div", { class: "grow" }, h("h1", { tabindex: "-1" }, "Overview"), h("p", { class: "soft" }, "Mail of all organizations"))), figures, failures, orgs);
  look(figures, failures, orgs, 0);
}

export function leave() {
  clearTimeout(timer);
  asked += 1;
}

async function look(figures, failures, orgs, tries) {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const [mail, page] = await Promise.all([ask("/outbox"), orgs.childElementCount ? null : ask("/orgs?limit=50")]);
    if (mine !== asked) return;
    const changed = JSON.stringify(mail.failures);
    figures.removeAttribute("aria-busy");
    figures.replaceChildren(...measures(mail));
    if (look.last !== changed || !failures.childElementCount || tries) {
      failures.replaceChildren(...failed(mail));
      look.last = changed;
    }
    if (page) orgs.replaceChildren(...organizations(page));
    tries = 0;
  } catch (problem) {
    if (mine !== asked || problem.status === 401) return;
    if (!tries) say(`The overview cannot be shown: ${problem.message}`);
    figures.replaceChildren();
    orgs.replaceChildren();
    const again = () => look(figures, failures, orgs, tries + 1);
    const seconds = pause(problem, tries);
    if (seconds) timer = setTimeout(again, seconds * 1000);
    failures.replaceChildren(failure(problem, again, seconds));
    return;
  }
  const again = () => (document.hidden ? (timer = setTimeout(again, EVERY)) : look(figures, failures, orgs, 0));
  timer = setTimeout(again, EVERY);
}

function figure(name, value, note, bad) {
  return h("div", { class: bad ? "bad" : null }, h("dt", {}, name), h("dd", {}, value), note && h("dd", { class: "soft" }, note));
}

function measures(mail) {
  const depth = Object.values(mail.jobs_waiting);
  const away = depth.includes(null);
  const queues = Object.entries(mail.jobs_waiting).map(([name, jobs]) => `${name} ${jobs ?? "?"}`);
  const old = mail.oldest_unsent_seconds;
  return [
    figure("Unsent", number(mail.unsent), "due and not out"),
    figure("Oldest unsent", old == null ? "–" : span(old), old == null ? "nothing waits" : "has waited", old > 60),
    figure("Jobs waiting", away ? "?" : number(depth.reduce((sum, jobs) => sum + jobs, 0)), away ? "the queue is away" : queues.join(" · "), away),
    figure("Scheduled", number(mail.scheduled), "due later"),
    figure("Failed", number(mail.failed), "given up", mail.failed > 0),
  ];
}

function failed(mail) {
  const title = h("h2", { id: "failures" }, "Latest failures");
  if (!mail.failures.length) return [title, h("p", { class: "soft pad" }, "No e-mail was given up.")];
  const row = (one) =>
    h(
      "li",
      {},
      h("div", { class: "grow" }, h("button", { type: "button", class: "open", "aria-haspopup": "dialog", onclick: () => details(one) }, address(one.email)), h("span", { class: "reason" }, one.error)),
      h("div", { class: "aside" }, h("a", { href: `#/${one.org_id}` }, one.org_id), h("span", { class: "soft" }, moment(one.failed_at))),
    );
  return [title, h("ul", { class: "rows" }, mail.failures.map(row))];
}

async function details(one) {
  try {
    openDetail(await ask(`/payment-links/${one.id}`), () => {});
  } catch (problem) {
    say(problem.message, { shown: true });
  }
}

function organizations(page) {
  const title = h("h2", { id: "all-orgs" }, "Organizations");
  if (!page.total) return [title, state("link", "No organization has links yet", "Pick one above by its id, and create its first link.")];
  const more = page.total - page.orgs.length;
  const list = h("ul", { class: "orgs" }, page.orgs.map((org) => h("li", {}, h("a", { href: `#/${org}` }, org))));
  return [title, list, more > 0 && h("p", { class: "soft pad" }, `and ${plural(more, "other", "others")}: begin to type an id above`)].filter(Boolean);
}
