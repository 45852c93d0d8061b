// Suggests organizations for an id that has none.

import { callApi } from "./api.js";

const MAX_ORGS = 1000;
const MAX_SUGGESTIONS = 5;

/** Whether the organization has set its profile. */
export const isConfigured = (profile) =>
  Object.values(profile ?? {}).some((value) => value != null && value !== false);

/** Ids similar to `id`, nearest first. Of more than 1,000, only those with the same start. */
export async function findSimilarIds(id) {
  let page = await callApi(`/orgs?limit=${MAX_ORGS}`);
  if (page.total > page.orgs.length)
    page = await callApi(
      `/orgs?${new URLSearchParams({ prefix: id.slice(0, 2), limit: MAX_ORGS })}`,
    );
  const far = (other) => distance(id.toLowerCase(), other.toLowerCase());
  const near = (other) =>
    far(other) <= Math.max(1, Math.floor(id.length / 3)) ||
    (id.length > 2 && other.toLowerCase().startsWith(id.toLowerCase()));
  return page.orgs
    .filter((other) => other !== id && near(other))
    .sort((one, other) => far(one) - far(other))
    .slice(0, MAX_SUGGESTIONS);
}

/** The edit distance with swaps of neighbors (optimal string alignment). */
function distance(one, other) {
  const lines = [Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= one.length; row += 1) {
    const line = [row],
      above = lines[row - 1];
    for (let at = 1; at <= other.length; at += 1) {
      line[at] = Math.min(
        line[at - 1] + 1,
        above[at] + 1,
        above[at - 1] + (one[row - 1] !== other[at - 1]),
      );
      const isSwapped =
        row > 1 && at > 1 && one[row - 1] === other[at - 2] && one[row - 2] === other[at - 1];
      if (isSwapped) line[at] = Math.min(line[at], lines[row - 2][at - 2] + 1);
    }
    lines.push(line);
  }
  return lines[one.length][other.length];
}
