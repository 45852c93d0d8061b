"""Requests that nobody sends who means well."""

import gzip
from datetime import UTC, datetime, timedelta

from tests.support.admins import admin_token
from tests.support.raw_http import JSON, RawResponse, chunked, parse_responses, request

AUTHORIZATION = f"Authorization: Bearer {admin_token()}"
NEXT_MONTH = f'"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"'.encode()
LINK = "pl_000000000000000000000000"
GOOD = b'{"email":"jane@example.com","org_id":"acme","notify":false}'
CREATE = "POST /payment-links HTTP/1.1"
LIST = "GET /orgs/acme/payment-links"
BODIES: dict[str, dict[str, bytes]] = {
    CREATE: {
        **dict.fromkeys(
            [
                "transaction_id",
                "payment_amount",
                "currency",
                "scheduled_at",
                "expires_at",
                "description",
                "on_conflict",
                "reminders",
            ],
            b"null",
        ),
        "email": b'"jane@example.com"',
        "org_id": b'"acme"',
        "otp": b"null",
        "otp_required": b"false",
        "notify": b"false",
        "accept_partial": b"false",
    },
    f"PATCH /payment-links/{LINK} HTTP/1.1": {
        **dict.fromkeys(
            ["description", "locale", "reminders", "currency", "scheduled_at"], b"null"
        ),
        "expires_at": NEXT_MONTH,
        "email": b'"jane@example.com"',
        "payment_amount": b"125",
        "otp_required": b"false",
    },
    f"POST /payment-links/{LINK}/payments HTTP/1.1": {
        "payment_id": b'"pay-1"',
        "amount": b"125",
        "currency": b'"USD"',
        "paid_at": b"null",
        "method": b'"card"',
    },
    "DELETE /payment-links HTTP/1.1": {"email": b'"jane@example.com"'},
    f"DELETE /payment-links/{LINK} HTTP/1.1": {"email": b"null"},
    "POST /payment-links/verify HTTP/1.1": {"link_id": f'"{LINK}"'.encode()},
    "POST /payment-links/otp HTTP/1.1": {"email": b'"jane@example.com"'},
    "PUT /payment-links/otp HTTP/1.1": {"email": b'"jane@example.com"', "otp": b'"123456"'},
    "POST /payment-links/scheduled HTTP/1.1": {"scheduled_at": b"null", "period": b"24"},
}
"""Requests with a body, and their fields with good values; any text may be in ``metadata``."""
VALUES = {
    "23 digits": b"12345678901234567890123",
    "5,000 digits": b"9" * 5000,
    "5,000 decimals": b"0." + b"9" * 5000,
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "1e400": b"1e400",
    "1e-400": b"1e-400",
    "1e a million": b"1e999999999999999999999",
    "-0": b"-0",
    "lone surrogate": b'"jane\\ud800@example.com"',
    "surrogates reversed": b'"\\udc00\\ud800"',
    "raw surrogate": b'"\xed\xa0\x80"',
    "overlong": b'"\xc0\x80"',
    "latin-1": b'"jan\xe9"',
    "NUL": b'"jane\\u0000@example.com"',
    "raw NUL": b'"jane\x00@example.com"',
    "raw CRLF": b'"jane@example.com\r\nBcc: eve@example.com"',
    "CRLF": b'"jane@example.com\\r\\nBcc: eve@example.com"',
    "LF at the end": b'"acme\\n"',
    "CR at the end": b'"NGN\\r"',
    "code and LF": b'"123456\\n"',
    "mail in a mail": b'"a\\r\\n\\r\\n.\\r\\nMAIL FROM:<eve@example.com>"',
    "line separator": b'"acme\\u2028"',
    "next line": b'"acme\\u0085"',
    "right to left": b'"acme\\u202e"',
    "arrays": b"[" * 30_000,
    "arrays closed": b"[" * 30_000 + b"]" * 30_000,
    "objects": b'{"a":' * 10_000,
    "long": b'"' + b"a" * 60_000 + b'"',
    "object": b'{"$gt":""}',
    "nothing": b"",
}
PROBLEMS = {
    # The request line.
    "raw bytes in a path": request(b"GET /pay/\xff\xfe HTTP/1.1"),
    "no UTF-8 in a path": request("GET /pay/%ff%fe HTTP/1.1", "Accept: application/json"),
    "no percent-encoding in a path": request("GET /pay/%zz% HTTP/1.1", "Accept: application/json"),
    "NUL in a path": request(f"GET /payment-links/{LINK}%00 HTTP/1.1"),
    "LF in a path": request(f"GET /payment-links/{LINK}%0a HTTP/1.1"),
    "slash in a path": request("GET /payment-links/%2e%2e%2fhealthz HTTP/1.1"),
    "surrogate in an organization": request(
        "GET /orgs/%ed%a0%80/payment-links HTTP/1.1", AUTHORIZATION
    ),
    "LF in an organization": request("GET /orgs/acme%0a/payment-links HTTP/1.1", AUTHORIZATION),
    "raw bytes in a query": request(LIST.encode() + b"?cursor=\xff HTTP/1.1", AUTHORIZATION),
    "no UTF-8 in a query": request(f"{LIST}?cursor=%ff%zz HTTP/1.1", AUTHORIZATION),
    "NUL in a query": request(f"{LIST}?cursor=%00 HTTP/1.1", AUTHORIZATION),
    "surrogate in a query": request(f"{LIST}?status=%ed%a0%80 HTTP/1.1", AUTHORIZATION),
    "NUL in a cursor of events": request(
        "GET /orgs/acme/events?cursor=MS0x%00 HTTP/1.1", AUTHORIZATION
    ),
    "raw bytes in the id of a payment": request(
        f"DELETE /payment-links/{LINK}/payments/%ff%00 HTTP/1.1", AUTHORIZATION
    ),
    "null in a query": request(f"{LIST}?status=null HTTP/1.1", AUTHORIZATION),
    "23 digits in a query": request(
        f"{LIST}?limit=12345678901234567890123 HTTP/1.1", AUTHORIZATION
    ),
    "5,000 digits in a query": request(f"{LIST}?limit={'9' * 5000} HTTP/1.1", AUTHORIZATION),
    "1e400 in a query": request(f"{LIST}?limit=1e400 HTTP/1.1", AUTHORIZATION),
    "-0 in a query": request(f"{LIST}?limit=-0 HTTP/1.1", AUTHORIZATION),
    "a parameter twice": request(f"{LIST}?limit=1&limit=1000 HTTP/1.1", AUTHORIZATION),
    "5,000 parameters": request(
        f"{LIST}?{'&'.join(f'p{n}=1' for n in range(5000))} HTTP/1.1", AUTHORIZATION
    ),
    "a long URL": request(f"GET /pay/{'a' * 60_000} HTTP/1.1"),
    "a longer URL": request(f"GET /pay/{'a' * 70_000} HTTP/1.1"),
    "an endless URL": request(f"GET /pay/{'a' * 1_000_000} HTTP/1.1"),
    "an unknown method": request("BREW /payment-links HTTP/1.1"),
    "a method in lower case": request(
        "post /payment-links HTTP/1.1", AUTHORIZATION, JSON, body=GOOD
    ),
    "no method": request("P@ST( /payment-links HTTP/1.1"),
    "TRACE": request("TRACE /payment-links HTTP/1.1", AUTHORIZATION),
    "CONNECT": request("CONNECT example.com:25 HTTP/1.1"),
    "asterisk": request("OPTIONS * HTTP/1.1"),
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/9.9": request("GET /healthz HTTP/9.9"),
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100 + b"\r\n\r\n",
    "noise": b"\x00\xff\x00" * 1000,
    # Headers.
    "an endless header": request("GET /healthz HTTP/1.1", "X-A: " + "a" * 1_000_000),
    "1,000 headers": request("GET /healthz HTTP/1.1", *(f"X-{n}: a" for n in range(1000))),
    "a header in a header": request(
        "GET /healthz HTTP/1.1", "X-Request-ID: 12345678\rSet-Cookie: a=b"
    ),
    "NUL in a header": request("GET /healthz HTTP/1.1", "X-Request-ID: 1234\x005678"),
    "a folded header": request("GET /healthz HTTP/1.1", "X-A: a\r\n b"),
    "a space before the colon": request("GET /healthz HTTP/1.1", "X-A : a"),
    "a token of raw bytes": request(f"{LIST} HTTP/1.1", b"Authorization: Bearer \xff\xfe"),
    "a token of 60,000 letters": request(
        f"{LIST} HTTP/1.1", "Authorization: Bearer " + "a" * 60_000
    ),
    "two tokens": request(f"{LIST} HTTP/1.1", AUTHORIZATION, AUTHORIZATION),
    "a key with a space": request(CREATE, AUTHORIZATION, JSON, "Idempotency-Key: a b", body=GOOD),
    "a key of raw bytes": request(CREATE, AUTHORIZATION, JSON, b"Idempotency-Key: \xff", body=GOOD),
    "a key of 60,000 letters": request(
        CREATE, AUTHORIZATION, JSON, "Idempotency-Key: " + "a" * 60_000, body=GOOD
    ),
    # What the body is said to be.
    "no media type": request(CREATE, AUTHORIZATION, body=GOOD),
    "a form": request(
        CREATE, AUTHORIZATION, "Content-Type: application/x-www-form-urlencoded", body=b"email=jane"
    ),
    "two media types": request(CREATE, AUTHORIZATION, "Content-Type: text/plain", JSON, body=GOOD),
    "a media type of raw bytes": request(
        CREATE, AUTHORIZATION, b"Content-Type: \xff/\xff", body=GOOD
    ),
    "UTF-16": request(
        CREATE, AUTHORIZATION, f"{JSON}; charset=utf-16", body=GOOD.decode().encode("utf-16")
    ),
    "gzip": request(
        CREATE, AUTHORIZATION, JSON, "Content-Encoding: gzip", body=gzip.compress(GOOD)
    ),
    "a gzip bomb": request(
        CREATE, AUTHORIZATION, JSON, "Content-Encoding: gzip", body=gzip.compress(b" " * 10_000_000)
    ),
    # How long it is said to be.
    "200,000 brackets": request(CREATE, AUTHORIZATION, JSON, body=b"[" * 200_000),
    "200,000 braces": request(CREATE, AUTHORIZATION, JSON, body=b'{"a":' * 200_000),
    "200,000 brackets in chunks": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + chunked(*[b"[" * 1000] * 200),
    "100 MB said": request(CREATE, AUTHORIZATION, JSON, "Content-Length: 100000000") + GOOD,
    "64 KiB and more in chunks": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + chunked(*[b" " * 1024] * 65),
    "chunks without end": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + chunked(*[b" " * 1024] * 1000, end=False),
    "a million bytes for nobody": request(CREATE, JSON, body=b" " * 1_000_000),
    "a chunk of no size": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + b"zz\r\n"
    + GOOD
    + b"\r\n0\r\n\r\n",
    "a chunk of all sizes": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + b"f" * 23
    + b"\r\n"
    + GOOD,
    "a length of 23 digits": request(
        CREATE, AUTHORIZATION, JSON, "Content-Length: 12345678901234567890123"
    )
    + GOOD,
    "a negative length": request(CREATE, AUTHORIZATION, JSON, "Content-Length: -59") + GOOD,
    "a length with a sign": request(CREATE, AUTHORIZATION, JSON, "Content-Length: +59") + GOOD,
    "two lengths": request(CREATE, AUTHORIZATION, JSON, "Content-Length: 5", body=GOOD),
    "an unknown transfer": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: xchunked")
    + chunked(GOOD),
    "two transfers": request(
        CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"
    )
    + chunked(GOOD),
    "too long for its length": request(CREATE, AUTHORIZATION, JSON, "Content-Length: 10") + GOOD,
}
BROKEN_OFF = {
    "too short for its length": request(CREATE, AUTHORIZATION, JSON, "Content-Length: 100") + GOOD,
    "too short for its chunk": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + b"400\r\n"
    + GOOD,
    "no body at all": request(CREATE, AUTHORIZATION, JSON, "Content-Length: 59"),
    "no chunk at all": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked"),
    "no end of chunks": request(CREATE, AUTHORIZATION, JSON, "Transfer-Encoding: chunked")
    + chunked(GOOD, end=False),
}
"""Bodies that end before they are whole."""

MEMORY = 8.0
"""MB that requests may leave behind: some of what they use is kept for the next."""
SERVERS_OWN = {400, 414, 431}
"""Granian's own answers, without a body, to what it cannot parse as a request."""


def body(fields: dict[str, bytes]) -> bytes:
    return (
        b"{"
        + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields.items())
        + b"}"
    )


def is_refusal(received: bytes) -> bool:
    """A problem, the server's own short word, or nothing."""
    found = parse_responses(received)
    own = [response for response in found if response.status in SERVERS_OWN and not response.body]
    return not found or found == own[:1] or is_problem(*found)


def head(line: str, *headers: str) -> bytes:
    """A request with these headers, and none of our own but that it is the connection's last."""
    return "\r\n".join([line, *headers, "Connection: close", "", ""]).encode()


def is_problem(*found: RawResponse) -> bool:
    """Whether that is one answer, and it a problem that is not ours (RFC 9457)."""
    if len(found) != 1 or found[0].headers.get("content-type") != "application/problem+json":
        return False
    told = found[0].json()
    return 400 <= found[0].status < 500 and told["status"] == found[0].status and bool(told["code"])
