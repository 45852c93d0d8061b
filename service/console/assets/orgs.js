// Which organizations there are, and which of them may have been meant.

import { ask } from "./api.js";

const MOST = 1000;
const SHOWN = 5;

/** Whether the organization is known: it has a profile of its own, or links. */
export const isSet = (profile) => Object.values(profile ?? {}).some((value) => value != null && typeof value !== "object");

/** Ids much like `id`, the nearest first. Of very many only those that begin alike are looked through. */
export async function similar(id) {
  let page = await ask(`/orgs?limit=${MOST}`);
  if (page.total > page.orgs.length) page = await ask(`/orgs?${new URLSearchParams({ prefix: id.slice(0, 2), limit: MOST })}`);
  const far = (other) => distance(id.toLowerCase(), other.toLowerCase());
  const near = (other) => far(other) <= Math.max(1, Math.floor(id.length / 3)) || (id.length > 2 && other.toLowerCase().startsWith(id.toLowerCase()));
  return page.orgs.filter((other) => other !== id && near(other)).sort((one, other) => far(one) - far(other)).slice(0, SHOWN);
}

/** How many letters have to be added, removed, changed or swapped with the next to turn one into the other (optimal string alignment). */
function distance(one, other) {
  const lines = [Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= one.length; row += 1) {
    const line = [row], above = lines[row - 1];
    for (let at = 1; at <= other.length; at += 1) {
      line[at] = Math.min(line[at - 1] + 1, above[at] + 1, above[at - 1] + (one[row - 1] !== other[at - 1]));
      const isSwapped = row > 1 && at > 1 && one[row - 1] === other[at - 2] && one[row - 2] === other[at - 1];
      if (isSwapped) line[at] = Math.min(line[at], lines[row - 2][at - 2] + 1);
    }
    lines.push(line);
  }
  return lines[one.length][other.length];
}
