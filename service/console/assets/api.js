// Calls the service's API with the admin's token, which is kept in this tab's session storage only.

const KEY = "payment-links-token";
const TIMEOUT_MS = 15_000;
export const root = document.body.dataset.root;
let endedSessions = 0;

/** A problem (RFC 9457). `status` is 0 if there was no answer in time. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    super(body.detail ?? "the service does not answer");
    Object.assign(this, { status, code: body.code, errors: body.errors ?? [], retryAfter });
  }

  /** Whether the request is known to have had no effect. */
  get isRefusal() {
    return this.status >= 400 && this.status < 500;
  }
}

export const token = () => sessionStorage.getItem(KEY);

export function storeToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** Forgets the token, and lets nobody see what was asked for with it. */
export function endSession() {
  endedSessions += 1;
  storeToken(null);
}

/** The claims of a token, not verified and only for display; null if it is not a token. */
export function readClaims(text) {
  try {
    const claims = JSON.parse(
      new TextDecoder().decode(
        Uint8Array.from(
          atob(text.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")),
          (character) => character.charCodeAt(0),
        ),
      ),
    );
    const roles = [claims.role, ...(Array.isArray(claims.roles) ? claims.roles : [])];
    if (roles.includes("internal-admin"))
      return { role: "internal-admin", subject: String(claims.sub), org: null };
    return {
      role: "org-admin",
      subject: String(claims.sub),
      org: claims.org_id == null ? null : String(claims.org_id),
    };
  } catch {
    return null;
  }
}

/**
 * The body of the answer to a request. If the stored token is refused (401), it is removed, and a
 * "token-refused" event is dispatched.
 */
export async function callApi(path, options) {
  return (await callApiWithStatus(path, options)).body;
}

/** The same with the answer's status: `{status, body}`. */
export async function callApiWithStatus(
  path,
  { method = "GET", body, headers = {}, as = token() } = {},
) {
  const endedBefore = endedSessions;
  let answer, text;
  try {
    answer = await fetch(root + path, {
      method,
      body,
      headers: {
        ...headers,
        Accept: "application/json",
        Authorization: `Bearer ${as}`,
        ...(body ? { "Content-Type": "application/json" } : {}),
      },
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await answer.text();
  } catch {
    throw new Problem(endedSessions === endedBefore ? 0 : 401);
  }
  if (endedSessions !== endedBefore) throw new Problem(401);
  if (answer.ok) return { status: answer.status, body: parseAnswer(text) };
  const problem = new Problem(
    answer.status,
    tryParse(text),
    Number(answer.headers.get("Retry-After")) || null,
  );
  if (answer.status === 401 && as === token()) {
    storeToken(null);
    dispatchEvent(new CustomEvent("token-refused", { detail: problem }));
  }
  throw problem;
}

/** A key with which the service carries a request out once, however often it is sent. */
export const newIdempotencyKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");

/** Parses JSON with amounts as strings: floats would lose zeros and digits. */
function parseAnswer(text) {
  const amounts = /"(payment_amount|amount|amount_paid|amount_due)":([-+.\deE]+)/g;
  return JSON.parse(text.replace(amounts, '"$1":"$2"'));
}

/** JSON of `fields`, and of the strings `amounts` as numbers of the same digits. */
export function encodeBody(fields, amounts = {}) {
  const numbers = Object.entries(amounts)
    .filter(([, digits]) => digits)
    .map(([name, digits]) => `"${name}":${digits}`);
  const others = JSON.stringify(fields).slice(1, -1);
  return `{${[...numbers, others].filter(Boolean).join(",")}}`;
}

function tryParse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
