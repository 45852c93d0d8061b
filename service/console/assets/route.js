// The address holds the whole state of the console except the token, so that Back, Forward, reload
// and copied addresses work.
//
//   #/                                 the overview
//   #/{org}?status=…&cursor=…&page=…   a page of its links
//   #/{org}/new                        the form for a new one, over that page (with the same query)
//   #/{org}/resend-failed              the question whether all failed mails are sent again, too
//   #/{org}/profile                    its profile, too
//   #/{org}/links/{id}                 one link, too, and …/mark-paid, …/edit, …/supersede,
//                                      …/void?payment=…, …/resend, …/revoke, …/revoke-all

const HASH =
  /^#\/(?!\.{1,2}(?:[/?]|$))(?:([\w.:-]{1,64})(?:\/(?:(new|resend-failed|profile)|links\/(pl_[0-9a-f]{2}[0-9A-Za-z]{22})(?:\/(mark-paid|edit|supersede|void|resend|revoke|revoke-all))?)(?=[/?]|$))?)?(?:\/[^?]*)?(?:\?(.*))?$/;
const STATUSES = ["active", "paid", "expired", "revoked"];

let position,
  listener,
  isLeaving = false;
/** Guards unsaved input: `isDirty()`, and `ask(leave)`, which calls `leave` if the user agrees. */
let guard = { isDirty: () => false, ask: () => {} };

/** The route of a hash. `over`: the dialog over the list (new, link, resend, …). */
export function parseHash(hash) {
  const [, org = null, form, link = null, step, query = ""] = HASH.exec(hash) ?? [];
  const parameters = new URLSearchParams(query);
  const status = STATUSES.find((name) => name === parameters.get("status")) ?? "";
  const cursor = parameters.get("cursor") ?? "";
  const page = cursor ? Math.max(2, Number.parseInt(parameters.get("page"), 10) || 2) : 1;
  const over = form ?? step ?? (link && "link");
  const payment = over === "void" ? parameters.get("payment") : null;
  return { org, over, link, payment, status, cursor, page };
}

export function formatHash({ org, over, link, payment, status, cursor, page }) {
  if (!org) return "#/";
  const path =
    {
      new: "/new",
      "resend-failed": "/resend-failed",
      profile: "/profile",
      link: `/links/${link}`,
    }[over] ?? (over ? `/links/${link}/${over}` : "");
  const query = new URLSearchParams({
    ...(over === "void" && payment && { payment }),
    ...(status && { status }),
    ...(cursor && { cursor, page }),
  }).toString();
  return `#/${org}${path}${query && `?${query}`}`;
}

export const currentRoute = () => parseHash(location.hash);

/** Whether Back leads to the view from which this one was opened. */
export const canGoBack = () => history.state?.opened === true;

/** Calls `callback` whenever the route changes. */
export function onNavigate(callback) {
  listener = callback;
  position = history.state?.position ?? 0;
  history.replaceState({ ...history.state, position }, "");
  if (!canGoBack()) insertParents();
  addEventListener("popstate", onPopState);
}

export function setGuard(newGuard) {
  guard = newGuard;
}

/** Opens `route`, from which `closeTop` and Back return to the current one. */
export function pushRoute(route) {
  position += 1;
  history.pushState({ position, opened: true }, "", formatHash(route));
  listener();
}

/** Replaces the current route. */
export function replaceRoute(route) {
  history.replaceState(history.state, "", formatHash(route));
  listener();
}

/** Removes the route from the address. */
export function clearRoute() {
  history.replaceState({ position }, "", location.pathname);
}

/** Returns to the view from which this one was opened or, if there is none, to its parent. */
export function closeTop() {
  if (isLeaving) return;
  if (guard.isDirty()) guard.ask(closeTop);
  else if (canGoBack()) goBack();
  else replaceRoute(parentOf(currentRoute()));
}

function goBack() {
  isLeaving = true; // Esc pressed twice goes back once
  history.back();
}

/** Inserts the parents of the current route before it, so that Back closes what its address opened. */
function insertParents() {
  const routes = [currentRoute()];
  while (routes[0].over) routes.unshift(parentOf(routes[0]));
  if (routes.length === 1) return;
  history.replaceState(history.state, "", formatHash(routes.shift()));
  for (const route of routes) {
    position += 1;
    history.pushState({ position, opened: true }, "", formatHash(route));
  }
}

function parentOf(route) {
  if (route.link && route.over !== "link") return { ...route, over: "link" };
  if (route.over) return { ...route, over: null, link: null };
  return { ...route, cursor: "", page: 1 };
}

/** Handles Back, Forward and edited addresses. Guarded input is restored until the user agrees. */
function onPopState() {
  isLeaving = false;
  const to = history.state?.position ?? position + 1;
  if (history.state?.position == null) history.replaceState({ position: to }, "");
  const delta = to - position;
  if (delta && guard.isDirty()) {
    history.go(-delta);
    guard.ask(() => history.go(delta));
    return;
  }
  position = to;
  listener();
}
