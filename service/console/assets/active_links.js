// Counts active links before something is done to all of them.

import { callApi } from "./api.js";
import { cancelButton, question } from "./confirm.js";
import { h } from "./dom.js";
import { plural } from "./format.js";

export const PAGE_SIZE = 1000;
const MAX_ORGS = 200;
const MAX_MORE_PAGES = 20;

/**
 * A `question` that begins with how many links match, and only then enables the button of `action`.
 * If there is none, it says that instead, and can only be closed.
 *
 * Options: `counting` is the text meanwhile; `orgs` returns the organizations, and whether these
 * are all; `noun` and `nouns` name what is counted, `rest` ends the sentence, and `none` is the
 * text if there is none; `label` returns the button's text for a number, and `details` what follows
 * the sentence for the links.
 */
export function countedQuestion(title, id, text, action, cancelText, options) {
  const found = h("div", { class: "found", role: "status" }, options.counting);
  const consequences = h("div", {}, text);
  const cancel = cancelButton(cancelText);
  const showNone = () => {
    found.textContent = options.none;
    consequences.remove();
    action.button.hidden = true;
    cancel.textContent = "Close";
  };
  action.button.disabled = true;
  showCount(found, action.button, showNone, options);
  return question(title, id, [found, consequences], action, cancel);
}

async function showCount(found, button, showNone, options) {
  const { orgs, matches, noun, nouns, rest, label, details } = options;
  try {
    const isWanted = () => found.isConnected;
    const { links, isComplete } = await findActiveLinks(await orgs(), matches, isWanted);
    if (isComplete && !links.length) return showNone();
    const sentence = `${plural(links.length, noun, nouns)} ${rest}`;
    const text = isComplete
      ? `${sentence}${details ? ":" : "."}`
      : `At least ${sentence}. There are too many links to look through all of them.`;
    found.replaceChildren(h("strong", {}, text), details?.(links) ?? "");
    if (isComplete) button.textContent = label(links.length);
  } catch (problem) {
    if (problem.status === 401) return;
    found.replaceChildren(
      h("strong", {}, `Every ${noun} ${rest}. `),
      `How many there are is not known: ${problem.message}.`,
    );
  }
  button.disabled = false;
}

/**
 * The active links that match, on the first page of each organization and at most 20 more pages.
 * `isComplete`: these are all. It stops when `isWanted` returns false.
 */
async function findActiveLinks({ ids, isComplete }, matches, isWanted) {
  const links = [];
  let more = 0;
  for (const org of ids.slice(0, MAX_ORGS)) {
    let cursor = "";
    do {
      if (cursor && more++ === MAX_MORE_PAGES) return { links, isComplete: false };
      const parameters = { status: "active", limit: PAGE_SIZE, ...(cursor && { cursor }) };
      const query = new URLSearchParams(parameters);
      const page = await callApi(`/orgs/${org}/payment-links?${query}`);
      if (!isWanted()) return { links, isComplete: false };
      links.push(...page.links.filter(matches));
      cursor = page.next_cursor;
    } while (cursor);
  }
  return { links, isComplete: isComplete && ids.length <= MAX_ORGS };
}
