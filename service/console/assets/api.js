// The service's own API, asked with the admin's token, which lives in this tab's session storage and nowhere else.

const KEY = "payment-links-token";
const TIMEOUT = 15_000;
export const root = document.body.dataset.root;

/** What went wrong (RFC 9457). `status` is 0 where there was no answer, or none in time. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = null) {
    super(body.detail ?? "the service does not answer");
    Object.assign(this, { status, code: body.code, errors: body.errors ?? [], retryAfter });
  }

  /** Whether what was asked for is known not to have been done. */
  get isRefusal() {
    return this.status >= 400 && this.status < 500;
  }
}

export const token = () => sessionStorage.getItem(KEY);

export function keep(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** Who a token says that it is: for display alone, for the server decides. Null where it is no token. */
export function read(text) {
  try {
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0))));
    const roles = [claims.role, ...(Array.isArray(claims.roles) ? claims.roles : [])];
    if (roles.includes("internal-admin")) return { role: "internal-admin", subject: String(claims.sub), org: null };
    return { role: "org-admin", subject: String(claims.sub), org: claims.org_id == null ? null : String(claims.org_id) };
  } catch {
    return null;
  }
}

/** The answer. Who is refused (401) while signed in, is signed out, and everybody told by a "refused" event. */
export async function ask(path, { method = "GET", body, headers = {}, as = token() } = {}) {
  let answer, text;
  try {
    answer = await fetch(root + path, {
      method,
      body,
      headers: { ...headers, Accept: "application/json", Authorization: `Bearer ${as}`, ...(body ? { "Content-Type": "application/json" } : {}) },
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT),
    });
    text = await answer.text();
  } catch {
    throw new Problem(0);
  }
  if (answer.ok) return parse(text);
  const problem = new Problem(answer.status, decoded(text), Number(answer.headers.get("Retry-After")) || null);
  if (answer.status === 401 && as === token()) {
    keep(null);
    dispatchEvent(new CustomEvent("refused", { detail: problem }));
  }
  throw problem;
}

/** JSON, with amounts as the text they are written in: as floats, they would lose zeros, and digits. */
function parse(text) {
  return JSON.parse(text.replace(/"payment_amount":([-+.\deE]+)/g, '"payment_amount":"$1"'));
}

/** JSON of `fields`, with `amount` (digits) as a number, digit for digit. */
export function encode(fields, amount) {
  const rest = JSON.stringify(fields);
  return amount ? `{"payment_amount":${amount},${rest.slice(1)}` : rest;
}

function decoded(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
