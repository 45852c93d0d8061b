// Creates a payment link, changes it, verifies it and prints its QR code, with openapi-fetch on the types that openapi-typescript generates.

import createClient from "openapi-fetch";
import type { components, paths } from "./description.js";

declare const process: { argv: [string, string, string, string] };

const [, , baseUrl, token] = process.argv;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

/** The answer, or an end to it all: `error` is a problem by its type. */
function expect<T>({ data, error }: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (error) throw new Error(`${error.status} ${error.code}: ${error.detail}`);
  return data!;
}

const body = { email: "jane@example.com", org_id: "acme", payment_amount: 125000.5, currency: "NGN" };
const link = expect(await client.POST("/payment-links", { body }));
const ifMatch = { path: { link_id: link.id }, header: { "If-Match": '"0-active"' } };
const changed = expect(
  await client.PATCH("/payment-links/{link_id}", { params: ifMatch, body: { description: "Cleaning", locale: null } }),
);
if (changed.description !== "Cleaning" || changed.version !== 1) throw new Error("the link has not changed");
const verification = expect(await client.POST("/payment-links/verify", { body: { link_id: link.id } }));
if (!verification.valid || !("url" in verification.link)) throw new Error("the link is not good");
const params = { path: { link_id: link.id }, query: { format: "png", size: 512 } } as const;
const code = expect(await client.GET("/payment-links/{link_id}/qr", { params, parseAs: "arrayBuffer" }));
console.log(JSON.stringify({ url: verification.link.url, code: Array.from(new Uint8Array(code)) }));
