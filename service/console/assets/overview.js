// The overview for internal-admins: outgoing mail of all organizations, failures, organizations.

import { callApi } from "./api.js";
import { errorState, h, retryDelay, announce, emptyState } from "./dom.js";
import { breakableEmail, formatTime, formatNumber, formatPercent, plural, formatDuration } from "./format.js";
import { formatHash, pushRoute } from "./route.js";

const REFRESH_INTERVAL_MS = 10_000;
const REASONS = {
  worker_links_away: "No worker for links is alive: their e-mails wait.",
  worker_otps_away: "No worker for one-time passwords is alive: they wait.",
  worker_notices_away: "No worker for notices is alive: reminders and receipts wait.",
  scheduler_away: "No scheduler is alive: scheduled e-mails, reminders and retries wait.",
  mail_links_paused:
    "E-mails with payment links are held back until the mail server takes them again.",
  mail_otps_paused: "One-time passwords are held back until the mail server takes them again.",
  mail_notices_paused:
    "Reminders, receipts and test mails are held back until the mail server takes them again.",
  process_stalled: "One of several processes has not been alive for more than 20 s.",
  partitions_unavailable: "A part of Redis is away: its organizations and customers have to wait.",
  writes_refused:
    "Redis, or a part of it, takes no writes: new links, changes and e-mails there have to wait.",
  clock_skew: "A machine’s clock is 2 s or more from that of Redis.",
  data_unreadable: "A key in Redis holds something that is not the service’s: the log names it.",
  otp_sends_limited:
    "The limit of one-time passwords for all customers together is reached: none are sent until " +
    "the minute is over.",
  disk_almost_full: "The disk that holds the service’s data is almost full.",
};
const PAUSED_QUEUES = {
  mail_links_paused: "links",
  mail_otps_paused: "otps",
  mail_notices_paused: "notices",
};
const LOGIN_REFUSED = /^53[0458]/;
const HEARTBEATS = "heartbeats";
const NOTHING_KNOWN = { paused: [], unreadable_partitions: [], unavailable: [] };
let timer,
  requestId = 0;

export function showOverview(main) {
  leave();
  document.title = "Overview · Payment links console";
  const figures = h(
    "dl",
    { class: "figures", "aria-busy": "true" },
    ["Unsent", "Oldest unsent", "Jobs waiting", "Scheduled", "Failed"].map((name) =>
      figure(name, h("span", { class: "bone a" })),
    ),
  );
  const failures = h("section", { class: "card", "aria-labelledby": "failures" });
  const orgs = h("section", { class: "card", "aria-labelledby": "all-orgs" });
  const health = h("div", { role: "status" });
  main.replaceChildren(
    h(
      "div",
      { class: "head" },
      h(
        "div",
        { class: "grow" },
        h("h1", { tabindex: "-1" }, "Overview"),
        h("p", { class: "soft" }, "Mail of all organizations"),
      ),
    ),
    health,
    figures,
    failures,
    orgs,
  );
  load({ health, figures, failures, orgs }, 0);
}

export function leave() {
  clearTimeout(timer);
  requestId += 1;
}

async function load(parts, tries) {
  const { health, figures, failures, orgs } = parts;
  clearTimeout(timer);
  const id = ++requestId;
  try {
    const [mail, page, readiness] = await Promise.all([
      callApi("/outbox"),
      orgs.childElementCount ? null : callApi("/orgs?limit=50"),
      callApi("/readyz"),
    ]);
    if (id !== requestId) return;
    const failuresJson = JSON.stringify(mail.failures);
    showReasons(health, readiness, mail);
    figures.removeAttribute("aria-busy");
    figures.replaceChildren(...figureList(mail));
    if (load.last !== failuresJson || !failures.childElementCount || tries) {
      failures.replaceChildren(...failureList(mail));
      load.last = failuresJson;
    }
    if (page) orgs.replaceChildren(...orgList(page));
    tries = 0;
  } catch (problem) {
    if (id !== requestId || problem.status === 401) return;
    if (!tries) announce(`The overview cannot be shown: ${problem.message}`);
    showReasons(health, { reasons: [] }, NOTHING_KNOWN);
    figures.replaceChildren();
    orgs.replaceChildren();
    const again = () => load(parts, tries + 1);
    const seconds = retryDelay(problem, tries);
    if (seconds) timer = setTimeout(again, seconds * 1000);
    failures.replaceChildren(errorState(problem, again, seconds));
    return;
  }
  const again = () =>
    document.hidden ? (timer = setTimeout(again, REFRESH_INTERVAL_MS)) : load(parts, 0);
  timer = setTimeout(again, REFRESH_INTERVAL_MS);
}

/** Shows what an operator has to act on. Unchanged reasons are not announced again. */
function showReasons(health, { reasons, partition_availability: availability }, mail) {
  const gaps = describeGaps(mail);
  const known = JSON.stringify([reasons, availability, mail.paused, gaps]);
  if (health.dataset.known === known) return;
  health.dataset.known = known;
  const list = reasons.map((reason) =>
    h(
      "li",
      {},
      REASONS[reason] ?? reason.replaceAll("_", " "),
      whyPaused(reason, mail.paused),
      reason === "partitions_unavailable" && ` About ${formatPercent(availability)} of it answers.`,
    ),
  );
  list.push(...gaps.map((gap) => h("li", {}, gap)));
  health.replaceChildren(
    ...(list.length
      ? [h("div", { class: "notice" }, "The service needs an operator:", h("ul", {}, list))]
      : []),
  );
}

/** What the figures leave out. */
function describeGaps({ unreadable_partitions: unreadable, unavailable }) {
  const away = unavailable.filter((name) => name !== HEARTBEATS);
  const incomplete = ({ length }, what) =>
    length &&
    `The figures below are incomplete: ${plural(length, "partition", "partitions")} ${what}.`;
  return [
    incomplete(unreadable, "cannot be read"),
    incomplete(away, away.length === 1 ? "does not answer" : "do not answer"),
    unavailable.includes(HEARTBEATS) &&
      "It is not known which workers are alive, and which hold e-mails back.",
  ].filter(Boolean);
}

/** For a reason that e-mails are held back: since when, and what the first worker to do so says. */
function whyPaused(reason, paused) {
  const workers = paused.filter(({ queue }) => queue === PAUSED_QUEUES[reason]);
  if (!workers.length) return null;
  const first = workers.reduce((one, other) => (other.since < one.since ? other : one));
  const login = LOGIN_REFUSED.test(first.reason) ? " (the login is refused)" : "";
  const code = first.reason.replaceAll(" ", "\u00a0");
  return [" Since ", formatTime(first.since), `: ${code}${login}.`];
}

function figure(name, value, note, bad) {
  return h(
    "div",
    { class: bad ? "bad" : null },
    h("dt", {}, name),
    h("dd", {}, value),
    note && h("dd", { class: "soft" }, note),
  );
}

function figureList(mail) {
  const depth = Object.values(mail.jobs_waiting);
  const away = depth.includes(null);
  const queues = Object.entries(mail.jobs_waiting).map(([name, jobs]) => `${name} ${jobs ?? "?"}`);
  const old = mail.oldest_unsent_seconds;
  return [
    figure("Unsent", formatNumber(mail.unsent), "due and not out"),
    figure(
      "Oldest unsent",
      old == null ? "–" : formatDuration(old),
      old == null ? "nothing waits" : "has waited",
      old > 60,
    ),
    figure(
      "Jobs waiting",
      away ? "?" : formatNumber(depth.reduce((sum, jobs) => sum + jobs, 0)),
      away ? "the queue is away" : queues.join(" · "),
      away,
    ),
    figure("Scheduled", formatNumber(mail.scheduled), "due later"),
    figure("Failed", formatNumber(mail.failed), "given up", mail.failed > 0),
  ];
}

function failureList(mail) {
  const title = h("h2", { id: "failures" }, "Latest failures");
  if (!mail.failures.length)
    return [title, h("p", { class: "soft pad" }, "No e-mail was given up.")];
  const row = (one) =>
    h(
      "li",
      {},
      h(
        "div",
        { class: "grow" },
        h(
          "button",
          {
            type: "button",
            class: "open",
            "aria-haspopup": "dialog",
            onclick: () => pushRoute({ org: one.org_id, over: "link", link: one.id }),
          },
          breakableEmail(one.email),
        ),
        h("span", { class: "reason" }, one.error),
      ),
      h(
        "div",
        { class: "aside" },
        h("a", { href: formatHash({ org: one.org_id }) }, one.org_id),
        h("span", { class: "soft" }, formatTime(one.failed_at)),
      ),
    );
  return [title, h("ul", { class: "rows" }, mail.failures.map(row))];
}

function orgList(page) {
  const title = h("h2", { id: "all-orgs" }, "Organizations");
  if (!page.total && !page.unavailable.length)
    return [
      title,
      emptyState(
        "link",
        "No organization has links yet",
        "Pick one above by its id, and create its first link.",
      ),
    ];
  const more = page.total - page.orgs.length;
  const list = h(
    "ul",
    { class: "orgs" },
    page.orgs.map((org) => h("li", {}, h("a", { href: formatHash({ org }) }, org))),
  );
  return [
    title,
    page.orgs.length > 0 && list,
    more > 0 &&
      h(
        "p",
        { class: "soft pad" },
        `and ${plural(more, "other", "others")}: begin to type an id above`,
      ),
    page.unavailable.length > 0 &&
      h("p", { class: "soft pad" }, "Those in the part of Redis that is away are not listed."),
  ].filter(Boolean);
}
