// An organization's links: how many of each status, a page at a time.

import { ask, Problem, read, token } from "./api.js";
import { amount, badge, copy, delivery, email, failure, h, icon, moment, number, pause, plural, say, state } from "./dom.js";
import { isSet, similar } from "./orgs.js";
import { address, close, here, isOpened, open, replace } from "./route.js";

const LIMIT = 25;
const STATUSES = { "": "All", active: "Active", expired: "Expired", revoked: "Revoked" };
const COLUMNS = ["Recipient", "Amount", "Status", "E-mail", "Created", "Expires", "Copy"];
let view = null;

/** Shows the page of an organization's links that `route` names: `fresh`, or as it is where it is shown already. */
export function browse(main, route, fresh) {
  if (view?.org !== route.org || !view.heading.isConnected) {
    view?.leave();
    view = new Browser(main, route.org);
  }
  view.turnTo(route, fresh);
}

/** Loads what is on the page again. */
export function reload() {
  view?.load();
}

/** The link as it is on the page; undefined where it is not there. */
export const listed = (id) => view?.page?.links.find((link) => link.id === id);

export function leave() {
  view?.leave();
  view = null;
}

class Browser {
  constructor(main, org) {
    this.org = org;
    this.asked = 0;
    this.heading = h("h1", { tabindex: "-1" }, org);
    this.avatar = h("span", { class: "avatar", "aria-hidden": "true" }, org[0].toUpperCase());
    this.subtitle = h("p", { class: "soft" }, "Payment links");
    this.counts = Object.fromEntries(Object.keys(STATUSES).map((status) => [status, h("span", { class: "count" }, "–")]));
    this.tabs = h("nav", { class: "tabs", "aria-label": "Links by status" }, Object.entries(STATUSES).map(([status, name]) => this.tab(status, name)));
    this.region = h("section", { class: "card list", "aria-label": "Links" });
    const create = h("button", { type: "button", class: "primary", onclick: () => this.create() }, icon("plus"), "New link");
    main.replaceChildren(
      h("div", { class: "head" }, this.avatar, h("div", { class: "grow" }, this.heading, this.subtitle), create),
      this.tabs,
      this.region,
    );
    document.title = `${org} · Payment links console`;
    this.presented = this.present();
  }

  tab(status, name) {
    return h("a", { href: address({ org: this.org, status }), "data-status": status }, h("span", { class: "tab-name" }, name), this.counts[status]);
  }

  leave() {
    clearTimeout(this.timer);
    this.asked += 1;
  }

  /** Shows how the organization presents itself to its customers, and gives its profile, if it could be had. */
  async present() {
    try {
      const profile = await ask(`/orgs/${this.org}/profile`);
      if (profile.display_name) {
        this.heading.textContent = profile.display_name;
        this.subtitle.textContent = this.org;
        this.avatar.textContent = [...profile.display_name][0].toUpperCase();
      }
      if (profile.logo) this.avatar.replaceChildren(h("img", { src: profile.logo, alt: "" }));
      return profile;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem; // the list says what the service does not do
    }
  }

  turnTo({ status, cursor, page }, fresh) {
    if (status === this.status && cursor === this.cursor && !fresh) return;
    const turned = status === this.status && !fresh;
    Object.assign(this, { status, cursor, number: page });
    for (const tab of this.tabs.children) {
      if (tab.dataset.status === status) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (!turned) this.region.replaceChildren(skeleton());
    this.load({ focus: turned });
  }

  async load({ quiet = false, tries = 0, focus = false } = {}) {
    clearTimeout(this.timer);
    const asked = ++this.asked;
    const query = new URLSearchParams({ limit: LIMIT });
    if (this.status) query.set("status", this.status);
    if (this.cursor) query.set("cursor", this.cursor);
    if (!quiet) this.region.setAttribute("aria-busy", "true");
    try {
      const page = await ask(`/orgs/${this.org}/payment-links?${query}`);
      if (!page.total) this.others = await this.mistaken();
      if (asked === this.asked) this.show(page, { quiet, tries, focus });
    } catch (problem) {
      if (asked !== this.asked || problem.status === 401) return;
      if (quiet) this.watch(this.page, tries);
      else this.fail(problem, tries);
    } finally {
      if (asked === this.asked) this.region.removeAttribute("aria-busy");
    }
  }

  show(page, { quiet, tries, focus }) {
    this.page = page;
    for (const [status, count] of Object.entries({ ...page.counts, "": page.total })) this.counts[status].textContent = number(count);
    if (quiet && this.refresh(page)) return this.watch(page, tries);
    const held = this.region.contains(document.activeElement);
    this.region.replaceChildren(...(page.links.length ? [this.table(page.links), this.pager(page)] : [this.empty(page)]));
    if (focus || held) this.region.querySelector("[tabindex='-1']")?.focus();
    if (!quiet) say(page.links.length ? this.position(page) : "No links");
    this.watch(page, 0);
  }

  /** Changes rows in place, where they are the same links: whoever is among them stays where they are. */
  refresh(page) {
    const rows = [...this.region.querySelectorAll("tbody tr")];
    if (rows.length !== page.links.length || rows.some((row, at) => row.dataset.id !== page.links[at].id)) return false;
    rows.forEach((row, at) => {
      row.querySelector(".delivery").replaceChildren(...delivery(page.links[at]));
      row.querySelector(".status").replaceChildren(badge(page.links[at].status));
    });
    return true;
  }

  /** Looks again while mails are on their way, ever less often. */
  watch(page, tries) {
    if (!page.links.some((link) => link.delivery.state === "queued" && link.status === "active")) return;
    const again = () => (document.hidden ? this.watch(page, tries) : this.load({ quiet: true, tries: tries + 1 }));
    this.timer = setTimeout(again, Math.min(30, 2 ** (tries + 1)) * 1000);
  }

  fail(problem, tries) {
    if (problem.status === 422 && this.cursor) return replace({ ...here(), cursor: "" }); // an address that was cut short
    const again = () => this.load({ tries: tries + 1 });
    const seconds = pause(problem, tries);
    if (seconds) this.timer = setTimeout(again, seconds * 1000);
    this.region.replaceChildren(failure(problem, again, seconds));
    if (!tries) say(`The links cannot be shown: ${problem.message}`);
  }

  table(links) {
    const heads = COLUMNS.map((name) => h("th", { role: "columnheader", scope: "col", class: name.toLowerCase() }, name === "Copy" ? h("span", { class: "unseen" }, name) : name));
    return h(
      "table",
      { role: "table", "aria-label": "Payment links" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      h("tbody", { role: "rowgroup" }, links.map((link) => this.row(link))),
    );
  }

  row(link) {
    const show = () => open({ ...here(), over: "link", link: link.id });
    const cell = (name, label, ...content) => h("td", { role: "cell", class: name, "data-label": label }, ...content);
    return h(
      "tr",
      { role: "row", "data-id": link.id },
      cell(
        "recipient",
        null,
        h("button", { type: "button", class: "open", onclick: show, "aria-haspopup": "dialog" }, email(link.email)),
        link.transaction_id && h("span", { class: "reference" }, link.transaction_id),
      ),
      cell("amount", null, amount(link.payment_amount, link.currency) || h("span", { class: "soft" }, "no amount")),
      cell("status", null, badge(link.status)),
      cell("delivery", "E-mail", ...delivery(link)),
      cell("created", "Created", moment(link.created_at)),
      cell("expires", link.revoked_at ? "Revoked" : "Expires", link.revoked_at ? h("span", {}, h("span", { class: "word" }, "revoked "), moment(link.revoked_at)) : moment(link.expires_at)),
      cell("actions", null, h("button", { type: "button", class: "icon", "aria-label": `Copy the link of ${link.email}`, onclick: () => copy(link.url) }, icon("copy"))),
    );
  }

  position(page) {
    const before = (this.number - 1) * LIMIT;
    const of = this.status ? page.counts[this.status] : page.total;
    return `${number(before + 1)}–${number(before + page.links.length)} of ${plural(of, "link", "links")}`;
  }

  /** Whoever was led straight to a page by an address, knows no page before it but the first. */
  pager(page) {
    const next = () => open({ ...here(), cursor: page.next_cursor, page: this.number + 1 });
    return h(
      "div",
      { class: "pager" },
      h("p", { tabindex: "-1" }, this.position(page)),
      h("button", { type: "button", onclick: close, disabled: !this.cursor }, !this.cursor || isOpened() ? "Previous" : "First page"),
      h("button", { type: "button", onclick: next, disabled: !page.next_cursor }, "Next"),
    );
  }

  empty(page) {
    const create = h("button", { type: "button", class: "primary", onclick: () => this.create() }, icon("plus"), page.total ? "New link" : "Create the first link");
    if (this.cursor) {
      const first = h("button", { type: "button", class: "primary", onclick: () => replace({ ...here(), cursor: "" }) }, "First page");
      return state("link", "No links on this page any more", "What was here has ended, was revoked, or is gone.", first);
    }
    if (page.total) return state("link", `No ${STATUSES[this.status].toLowerCase()} links`, "Links of the other statuses are under the tabs above.", create);
    if (!this.others) return state("link", "No links yet", "Create one, and your customer gets an e-mail and a page to pay on.", create);
    const text = this.others.length ? "Did you mean one of these?" : "Check its id: no organization with links has one like it.";
    const near = this.others.map((org) => h("a", { class: "button", href: address({ org }) }, org));
    create.classList.toggle("primary", !near.length);
    return state("alert", `There is no organization ${this.org} with links`, text, ...near, create);
  }

  /** Ids that may have been meant, where nothing is known of this one; null where it is the organization's own admin who asks. */
  async mistaken() {
    if (read(token())?.role !== "internal-admin" || isSet(await this.presented)) return null;
    return similar(this.org);
  }

  create() {
    open({ ...here(), over: "new" });
  }
}

function skeleton() {
  const row = () => h("div", { class: "bones" }, [..."abcd"].map((name) => h("span", { class: `bone ${name}` })));
  return h("div", { class: "skeleton" }, h("span", { class: "unseen" }, "Loading"), [1, 2, 3, 4, 5, 6].map(row));
}
