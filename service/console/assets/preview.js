// Shows a page and a mail as customers would see them, in frames that run no script.

import { callApi, root } from "./api.js";
import { factList, h } from "./dom.js";

const DELAY_MS = 300;
const LOST = "The preview cannot be shown right now; it comes back with the next change.";
const KINDS = { page: "Page", mail: "E-mail" };

/** A preview in `place`. `read` returns the profile, and `tell` gets the faults that it has. */
export class Preview {
  constructor(place, { read, tell }) {
    Object.assign(this, { read, tell, requestId: 0 });
    this.note = h("p", { class: "notice", role: "status", hidden: true });
    this.head = h("div", { class: "mail-head" });
    this.frames = Object.fromEntries(
      Object.entries(KINDS).map(([kind, name]) => [kind, createFrame(name)]),
    );
    this.buttons = Object.entries(KINDS).map(([kind, name]) =>
      h("button", { type: "button", class: "small", onclick: () => this.choose(kind) }, name),
    );
    place.append(
      h("div", { class: "buttons", role: "group", "aria-label": "Preview of" }, this.buttons),
      this.note,
      this.head,
      ...Object.values(this.frames).map(({ element }) => element),
    );
    this.choose("page");
  }

  choose(chosen) {
    Object.keys(KINDS).forEach((kind, at) => {
      this.buttons[at].setAttribute("aria-pressed", kind === chosen);
      this.frames[kind].element.hidden = kind !== chosen;
    });
    this.head.hidden = chosen !== "mail";
  }

  /** Begins to show the profile of `org`. */
  start(org) {
    this.org = org;
    this.update();
  }

  /** Stops showing a profile. */
  clear() {
    clearTimeout(this.timer);
    this.requestId += 1;
    this.head.replaceChildren();
    for (const { show } of Object.values(this.frames)) show("");
  }

  /** Shows the profile as it is in a moment, when the user has stopped typing. */
  schedule() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.update(), DELAY_MS);
  }

  async update() {
    clearTimeout(this.timer);
    const id = ++this.requestId;
    try {
      const shown = await callApi(`/console/preview/${this.org}`, {
        method: "POST",
        body: JSON.stringify(this.read()),
      });
      if (id === this.requestId) await this.show(shown);
    } catch (problem) {
      if (id !== this.requestId || problem.status === 401) return;
      if (problem.status === 422) this.tell(problem.errors);
      this.note.textContent =
        problem.status === 422 ? "The preview follows once what you entered is valid." : LOST;
      this.note.hidden = false;
    }
  }

  async show({ page, mail, mail_from, mail_subject }) {
    this.tell([]);
    this.note.hidden = true;
    this.head.replaceChildren(
      factList([
        ["From", mail_from],
        ["Subject", mail_subject],
      ]),
    );
    await Promise.all([this.frames.page.show(page), this.frames.mail.show(mail)]);
  }
}

/** A frame, and a function that shows HTML in it. */
function createFrame(name) {
  const element = h("iframe", {
    title: `Preview: ${name}`,
    sandbox: "allow-same-origin",
    src: `${root}/console/preview`,
  });
  const isLoaded = new Promise((done) => element.addEventListener("load", done, { once: true }));
  return {
    element,
    async show(html) {
      await isLoaded;
      replaceDocument(element.contentWindow, html);
    },
  };
}

/**
 * Replaces what the frame shows. The frame's own policy rules its document, where no script runs.
 * Style sheets that are there already stay, so that nothing flickers.
 */
function replaceDocument(frame, html) {
  const page = new frame.DOMParser().parseFromString(html, "text/html");
  const { head, documentElement } = frame.document;
  page.querySelectorAll("a").forEach((link) => link.removeAttribute("href"));
  for (const name of ["lang", "dir"]) documentElement[name] = page.documentElement[name];
  const known = [...head.querySelectorAll("link")].map(({ href }) => href);
  const isNew = ({ href }) => !known.includes(href);
  head.querySelectorAll("style").forEach((style) => style.remove());
  head.append(...[...page.querySelectorAll("link[rel=stylesheet]")].filter(isNew));
  head.append(...page.querySelectorAll("style"));
  frame.document.body.replaceWith(page.body);
}
