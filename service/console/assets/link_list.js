// An organization's links: how many of each status, a page at a time.

import { callApi, Problem, readClaims, token } from "./api.js";
import { copyLink, errorState, h, icon, retryDelay, announce, emptyState } from "./dom.js";
import {
  formatAmount,
  badge,
  deliveryCells,
  breakableEmail,
  formatTime,
  formatNumber,
  plural,
} from "./format.js";
import { pauseNotice } from "./mail_pause.js";
import { isConfigured, findSimilarIds } from "./org_suggestions.js";
import { formatHash, closeTop, currentRoute, canGoBack, pushRoute, replaceRoute } from "./route.js";

const LIMIT = 25;
const STATUSES = {
  "": "All",
  active: "Active",
  paid: "Paid",
  expired: "Expired",
  revoked: "Revoked",
};
const COLUMNS = ["Recipient", "Amount", "Status", "E-mail", "Created", "Expires", "Copy"];
let view = null;

/** Shows the page of links that `route` names; a page that is shown already only if `isForced`. */
export function showList(main, route, isForced) {
  if (view?.org !== route.org || !view.heading.isConnected) {
    view?.leave();
    view = new LinkList(main, route.org);
  }
  view.goTo(route, isForced);
}

/** Loads the page again after an action, whose result is what is announced. */
export function reloadList() {
  view?.load({ isAnnounced: false });
}

/** Shows the name and the logo of `org`, if its links are shown. */
export function showProfileName(org, profile) {
  if (view?.org === org) view.showProfile(profile);
}

/** The link as it is on the page, or undefined. */
export const findListed = (id) => view?.page?.links.find((link) => link.id === id);

export function leave() {
  view?.leave();
  view = null;
}

class LinkList {
  constructor(main, org) {
    this.org = org;
    this.requestId = 0;
    this.heading = h("h1", { tabindex: "-1" }, org);
    this.avatar = h("span", { class: "avatar", "aria-hidden": "true" }, org[0].toUpperCase());
    this.subtitle = h("p", { class: "soft" }, "Payment links");
    this.counts = Object.fromEntries(
      Object.keys(STATUSES).map((status) => [status, h("span", { class: "count" }, "–")]),
    );
    this.tabs = h(
      "nav",
      { class: "tabs", "aria-label": "Links by status" },
      Object.entries(STATUSES).map(([status, name]) => this.tab(status, name)),
    );
    this.region = h("section", { class: "card list", "aria-label": "Links" });
    const create = h(
      "button",
      { type: "button", class: "primary", onclick: () => this.open("new") },
      icon("plus"),
      "New link",
    );
    const resend = h(
      "button",
      { type: "button", onclick: () => this.open("resend-failed") },
      "Resend all failed",
    );
    const profile = h("button", { type: "button", onclick: () => this.open("profile") }, "Profile");
    main.replaceChildren(
      h(
        "div",
        { class: "head" },
        this.avatar,
        h("div", { class: "grow" }, this.heading, this.subtitle),
        create,
        resend,
        profile,
      ),
      pauseNotice(),
      this.tabs,
      this.region,
    );
    document.title = `${org} · Payment links console`;
    this.profile = this.loadProfile();
  }

  tab(status, name) {
    return h(
      "a",
      { href: formatHash({ org: this.org, status }), "data-status": status },
      h("span", { class: "tab-name" }, name),
      this.counts[status],
    );
  }

  leave() {
    clearTimeout(this.timer);
    this.requestId += 1;
  }

  /** Shows the organization's name and logo, and returns its profile if it can be loaded. */
  async loadProfile() {
    try {
      const profile = await callApi(`/orgs/${this.org}/profile`);
      this.showProfile(profile);
      return profile;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem; // the list reports it
    }
  }

  showProfile({ display_name, logo }) {
    this.heading.textContent = display_name ?? this.org;
    this.subtitle.textContent = display_name ? this.org : "Payment links";
    this.avatar.replaceChildren(
      logo ? h("img", { src: logo, alt: "" }) : [...(display_name ?? this.org)][0].toUpperCase(),
    );
  }

  goTo({ status, cursor, page }, isForced) {
    if (status === this.status && cursor === this.cursor && !isForced) return;
    const turned = status === this.status && !isForced;
    Object.assign(this, { status, cursor, number: page });
    for (const tab of this.tabs.children) {
      if (tab.dataset.status === status) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (!turned) this.region.replaceChildren(skeleton());
    this.load({ focus: turned });
  }

  async load({ quiet = false, isAnnounced = !quiet, tries = 0, focus = false } = {}) {
    clearTimeout(this.timer);
    const requestId = ++this.requestId;
    const query = new URLSearchParams({ limit: LIMIT });
    if (this.status) query.set("status", this.status);
    if (this.cursor) query.set("cursor", this.cursor);
    if (!quiet) this.region.setAttribute("aria-busy", "true");
    try {
      const page = await callApi(`/orgs/${this.org}/payment-links?${query}`);
      if (!page.total) this.suggestions = await this.suggestOrgs();
      if (requestId === this.requestId) this.show(page, { quiet, isAnnounced, tries, focus });
    } catch (problem) {
      if (requestId !== this.requestId || problem.status === 401) return;
      if (quiet) this.poll(this.page, tries);
      else this.showError(problem, tries);
    } finally {
      if (requestId === this.requestId) this.region.removeAttribute("aria-busy");
    }
  }

  show(page, { quiet, isAnnounced, tries, focus }) {
    this.page = page;
    for (const [status, count] of Object.entries({ ...page.counts, "": page.total }))
      this.counts[status].textContent = formatNumber(count);
    if (quiet && this.updateRows(page)) return this.poll(page, tries);
    const hadFocus = this.region.contains(document.activeElement);
    this.region.replaceChildren(
      ...(page.links.length ? [this.table(page.links), this.pager(page)] : [this.empty(page)]),
    );
    if (focus || hadFocus) this.region.querySelector("[tabindex='-1']")?.focus();
    if (isAnnounced) announce(page.links.length ? this.position(page) : "No links");
    this.poll(page, 0);
  }

  /** Updates the rows in place if the links are the same, so that the focus stays. */
  updateRows(page) {
    const rows = [...this.region.querySelectorAll("tbody tr")];
    if (
      rows.length !== page.links.length ||
      rows.some((row, at) => row.dataset.id !== page.links[at].id)
    )
      return false;
    rows.forEach((row, at) => {
      const cells = [...this.row(page.links[at]).cells];
      [...row.cells].forEach((cell, index) => {
        const isFocused = cell.contains(document.activeElement);
        if (!isFocused && !cell.isEqualNode(cells[index])) cell.replaceWith(cells[index]);
      });
    });
    return true;
  }

  /** Loads the page again, ever less often, while e-mails are being sent. */
  poll(page, tries) {
    if (!page.links.some((link) => link.delivery.state === "queued" && link.status === "active"))
      return;
    const again = () =>
      document.hidden ? this.poll(page, tries) : this.load({ quiet: true, tries: tries + 1 });
    this.timer = setTimeout(again, Math.min(30, 2 ** (tries + 1)) * 1000);
  }

  showError(problem, tries) {
    if (problem.status === 422 && this.cursor)
      return replaceRoute({ ...currentRoute(), cursor: "" }); // the cursor is not whole
    const again = () => this.load({ tries: tries + 1 });
    const seconds = retryDelay(problem, tries);
    if (seconds) this.timer = setTimeout(again, seconds * 1000);
    this.region.replaceChildren(errorState(problem, again, seconds));
    if (!tries) announce(`The links cannot be shown: ${problem.message}`);
  }

  table(links) {
    const heads = COLUMNS.map((name) =>
      h(
        "th",
        { role: "columnheader", scope: "col", class: name.toLowerCase() },
        name === "Copy" ? h("span", { class: "visually-hidden" }, name) : name,
      ),
    );
    return h(
      "table",
      { role: "table", "aria-label": "Payment links" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      h(
        "tbody",
        { role: "rowgroup" },
        links.map((link) => this.row(link)),
      ),
    );
  }

  row(link) {
    const show = () => pushRoute({ ...currentRoute(), over: "link", link: link.id });
    const ended = link.paid_at ? "paid" : link.revoked_at ? "revoked" : null;
    const cell = (name, label, ...content) =>
      h("td", { role: "cell", class: name, "data-label": label }, ...content);
    return h(
      "tr",
      { role: "row", "data-id": link.id },
      cell(
        "recipient",
        null,
        h(
          "button",
          { type: "button", class: "open", onclick: show, "aria-haspopup": "dialog" },
          breakableEmail(link.email),
        ),
        link.transaction_id && h("span", { class: "reference" }, link.transaction_id),
      ),
      cell(
        "amount",
        null,
        formatAmount(link.payment_amount, link.currency) ||
          h("span", { class: "soft" }, "no amount"),
      ),
      cell("status", null, badge(link.status)),
      cell("delivery", "E-mail", ...deliveryCells(link)),
      cell("created", "Created", formatTime(link.created_at)),
      cell(
        "expires",
        { paid: "Paid", revoked: "Revoked" }[ended] ?? "Expires",
        ended
          ? h("span", {}, h("span", { class: "word" }, `${ended} `), formatTime(link[`${ended}_at`]))
          : formatTime(link.expires_at),
      ),
      cell(
        "actions",
        null,
        h(
          "button",
          {
            type: "button",
            class: "icon",
            "aria-label": `Copy the link of ${link.email}`,
            onclick: () => copyLink(link.url),
          },
          icon("copy"),
        ),
      ),
    );
  }

  position(page) {
    const before = (this.number - 1) * LIMIT;
    const of = this.status ? page.counts[this.status] : page.total;
    const range = `${formatNumber(before + 1)}–${formatNumber(before + page.links.length)}`;
    return `${range} of ${plural(of, "link", "links")}`;
  }

  /** After a page that was opened by its address, only the first page is known. */
  pager(page) {
    const next = () =>
      pushRoute({ ...currentRoute(), cursor: page.next_cursor, page: this.number + 1 });
    return h(
      "div",
      { class: "pager" },
      h("p", { tabindex: "-1" }, this.position(page)),
      h(
        "button",
        { type: "button", onclick: closeTop, disabled: !this.cursor },
        !this.cursor || canGoBack() ? "Previous" : "First page",
      ),
      h("button", { type: "button", onclick: next, disabled: !page.next_cursor }, "Next"),
    );
  }

  empty(page) {
    const create = h(
      "button",
      { type: "button", class: "primary", onclick: () => this.open("new") },
      icon("plus"),
      page.total ? "New link" : "Create the first link",
    );
    if (this.cursor) {
      const first = h(
        "button",
        {
          type: "button",
          class: "primary",
          onclick: () => replaceRoute({ ...currentRoute(), cursor: "" }),
        },
        "First page",
      );
      return emptyState(
        "link",
        "No links on this page any more",
        "What was here has ended, was revoked, or is gone.",
        first,
      );
    }
    if (page.total)
      return emptyState(
        "link",
        `No ${STATUSES[this.status].toLowerCase()} links`,
        "Links of the other statuses are under the tabs above.",
        create,
      );
    if (!this.suggestions)
      return emptyState(
        "link",
        "No links yet",
        "Create one, and your customer gets an e-mail and a page to pay on.",
        create,
      );
    const text = this.suggestions.length
      ? "Did you mean one of these?"
      : "Check its id: no organization with links has one like it.";
    const near = this.suggestions.map((org) =>
      h("a", { class: "button", href: formatHash({ org }) }, org),
    );
    create.classList.toggle("primary", !near.length);
    return emptyState(
      "alert",
      `There is no organization ${this.org} with links`,
      text,
      ...near,
      create,
    );
  }

  /** Similar ids if an internal-admin opens an organization without links and profile. */
  async suggestOrgs() {
    if (readClaims(token())?.role !== "internal-admin" || isConfigured(await this.profile))
      return null;
    return findSimilarIds(this.org);
  }

  open(over) {
    pushRoute({ ...currentRoute(), over });
  }
}

function skeleton() {
  const row = () =>
    h(
      "div",
      { class: "bones" },
      [..."abcd"].map((name) => h("span", { class: `bone ${name}` })),
    );
  return h(
    "div",
    { class: "skeleton" },
    h("span", { class: "visually-hidden" }, "Loading"),
    [1, 2, 3, 4, 5, 6].map(row),
  );
}
