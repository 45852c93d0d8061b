// Where the reader is: the address says all of it, but never the token. So Back, Forward, reload and a copied address do what one expects.
//
//   #/                                 the overview
//   #/{org}?status=…&cursor=…&page=…   a page of its links
//   #/{org}/new                        the form for a new one, over that page (with the same query)
//   #/{org}/links/{id}                 one link, over that page; from there …/revoke and …/revoke-all

const ADDRESS = /^#\/(?!\.{1,2}(?:[/?]|$))(?:([\w.:-]{1,64})(?:\/(?:(new)|links\/(pl_[0-9a-f]{2}[0-9A-Za-z]{22})(?:\/(revoke|revoke-all))?)(?=[/?]|$))?)?(?:\/[^?]*)?(?:\?(.*))?$/;
const STATUSES = ["active", "expired", "revoked"];

let position, arrive, isLeaving = false;
/** What may not be left just so: `isDirty()`, and `ask(leave)`, which calls `leave` once it may be. */
let guard = { isDirty: () => false, ask: () => {} };

/** The route of an address. `over` is what lies over the list: "new", "link", "revoke" or "revoke-all"; null where nothing does. */
export function parse(hash) {
  const [, org = null, form, link = null, step, query = ""] = ADDRESS.exec(hash) ?? [];
  const asked = new URLSearchParams(query);
  const status = STATUSES.find((name) => name === asked.get("status")) ?? "";
  const cursor = asked.get("cursor") ?? "";
  const page = cursor ? Math.max(2, Number.parseInt(asked.get("page"), 10) || 2) : 1;
  return { org, over: form ?? step ?? (link && "link"), link, status, cursor, page };
}

export function address({ org, over, link, status, cursor, page }) {
  if (!org) return "#/";
  const path = { new: "/new", link: `/links/${link}`, revoke: `/links/${link}/revoke`, "revoke-all": `/links/${link}/revoke-all` }[over] ?? "";
  const query = new URLSearchParams({ ...(status && { status }), ...(cursor && { cursor, page }) }).toString();
  return `#/${org}${path}${query && `?${query}`}`;
}

export const here = () => parse(location.hash);

/** Whether the entry of the history before this one is what this one was opened from. */
export const isOpened = () => history.state?.opened === true;

/** Calls `whenThere` wherever the reader goes from now on. */
export function follow(whenThere) {
  arrive = whenThere;
  position = history.state?.position ?? 0;
  history.replaceState({ ...history.state, position }, "");
  addEventListener("popstate", moved);
}

export function protect(what) {
  guard = what;
}

/** Goes on to `route`, from where `close` and Back lead here again. */
export function open(route) {
  position += 1;
  history.pushState({ position, opened: true }, "", address(route));
  arrive();
}

/** Is at `route` from now on, rather than here. */
export function replace(route) {
  history.replaceState(history.state, "", address(route));
  arrive();
}

/** Takes what was seen out of the address. */
export function clear() {
  history.replaceState({ position }, "", location.pathname);
}

/** Leaves what is open: for where it was opened from, or, where an address led straight to it, for what lies beneath. */
export function close() {
  if (isLeaving) return;
  if (guard.isDirty()) guard.ask(close);
  else if (isOpened()) back();
  else replace(beneath(here()));
}

function back() {
  isLeaving = true; // until it is done: who presses Esc twice goes back once
  history.back();
}

function beneath(route) {
  if (route.over?.startsWith("revoke")) return { ...route, over: "link" };
  if (route.over) return { ...route, over: null, link: null };
  return { ...route, cursor: "", page: 1 };
}

/** Back, Forward, or another address. What may not be left is gone back to, and left once the reader says so. */
function moved() {
  isLeaving = false;
  const to = history.state?.position ?? position + 1;
  if (history.state?.position == null) history.replaceState({ position: to }, "");
  const way = to - position;
  if (way && guard.isDirty()) {
    history.go(-way);
    guard.ask(() => history.go(way));
    return;
  }
  position = to;
  arrive();
}
