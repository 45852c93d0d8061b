"""Forged tokens: each function draws one of a family whose signature anybody can make, or whose content nobody would sign."""

import itertools
import json
from typing import Any

import jwt

from service.auth.tokens import derive_key
from tests.faults.minting import (
    ADMIN_KEY,
    CUSTOMER_KEY,
    CUSTOMER_TYP,
    GONE,
    Mint,
    attackers,
    b64,
    compact,
    encoded,
    sign,
)
from tests.support.processes import SECRET

Changes = tuple[dict[str, Any], dict[str, Any]]
"""Members of the header, and claims."""
OTHER_KEYS = [
    SECRET.encode(),
    *(derive_key(SECRET.encode(), purpose) for purpose in ("otp", "idempotency", "")),
    bytes(32),
]
NONE = ["".join(letters) for letters in itertools.product("nN", "oO", "nN", "eE")] + [
    "",
    " none",
    "none ",
    "none\0",
    None,
    GONE,
]
ALGORITHMS = [
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "ES256",
    "ES256K",
    "ES384",
    "EdDSA",
    "Ed25519",
]
NO_ALGORITHMS = ["hs256", "HS257", "HMAC", "RSA", "dir", 256, None, True, ["HS256"], {"HS256": 1}]
SIBLINGS = {"HS256": {"HS384", "HS512"}, "RS256": {"RS384", "RS512", "PS256"}}
"""Algorithms that one key can be used with."""
GUESSES = [
    b"",
    b"secret",
    b"changeme",
    b"payment-links",
    b"payment-links/admin-jwt",
    b"payment-links/customer-jwt",
]
CRITS = [
    ["exp"],
    ["b64"],
    ["alg"],
    ["http://example.com/x"],
    ["kid", "x"],
    [],
    [1],
    [[]],
    "exp",
    {},
    None,
    True,
    1,
]
NO_STRINGS = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"$ne": None},
    ["x", 1],
    [None],
    {"a": {"b": {}}},
    0,
    -1,
    -1.5,
    10**400,
]
NO_NUMBERS = [None, True, False, "", "0", "4102444800", "now", [], [4102444800], {}, {"$gt": 0}]
NO_OBJECTS = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"true",
    b"{",
    b"{}",
    b'{"a"',
    b"\xff\xfe",
    b"{\0}",
    b"1" * 5000,
    b"[{}]",
    b"NaN",
]
KIDS = [
    "../../../../dev/null", "/dev/null", "/proc/sys/kernel/randomize_va_space", "file:///etc/passwd", "http://127.0.0.1/key",
    "' UNION SELECT 'x' -- ", "x' OR '1'='1", "|cat /etc/passwd", "$(id)", "{{7*7}}", "*", "", " ", "\0", "__proto__", "None",
    "k" * 5000, "\ud800", None, True, 0, -1, 1.5, [], ["one"], {}, {"one": 1}, [[[]]],
]  # fmt: skip
WRONG_FOR_CUSTOMERS: list[Changes] = [
    *(
        ({"typ": typ}, {})
        for typ in (
            "JWT",
            "at+jwt",
            "payment-link",
            "PAYMENT_LINK",
            "",
            None,
            GONE,
            1,
            [CUSTOMER_TYP],
        )
    ),
    *(({}, {"type": wrong}) for wrong in ("admin", "Payment_Link", "payment_link ", "")),
    *(
        ({}, {"aud": wrong})
        for wrong in ("payment-links", "payment-links/customers", "payment-links/", "", ["x"], "*")
    ),
    ({}, {"sub": ""}),
]
WRONG_FOR_ADMINS: list[Changes] = [
    ({"typ": CUSTOMER_TYP}, {}),
    ({}, {"type": "payment_link"}),
    ({}, {"sub": ""}),
    *(
        ({}, {"aud": aud})
        for aud in (
            "payment-link",
            "payment-links/customer",
            "Payment-Links",
            " payment-links",
            "",
            [],
            ["x"],
        )
    ),
    *(
        ({}, {"role": role, "roles": GONE})
        for role in ("admin", "Internal-Admin", "internal-admin ", "root", "", "customer", "*")
    ),
    *(
        ({}, {"role": GONE, "roles": roles})
        for roles in (["user"], [["internal-admin"]], "internal-admin", {"internal-admin": 1})
    ),
    *(
        ({}, {"role": "org-admin", "roles": GONE, "org_id": org_id})
        for org_id in (
            GONE,
            "",
            "a b",
            "*",
            "../acme",
            "acme\n",
            "acme\0",
            "o" * 65,
            "ácme",
            ["acme"],
            {"acme": 1},
            None,
            1,
        )
    ),
]
WRONG_ISSUERS = [
    "https://evil.example.com",
    "https://id.example.com/",
    "",
    ["https://id.example.com"],
    None,
    GONE,
]


# Signatures that anybody can make.


def unsigned(mint: Mint) -> bytes:
    draft = mint.any().but({"alg": mint.chance.choice(NONE)})
    content = b".".join([encoded(draft.header), encoded(draft.claims)])
    genuine = mint.any().signed().rpartition(b".")[2]
    return content + mint.chance.choice([b".", b"", b"." + genuine, b"." + mint.junk(32)])


def public_as_secret(mint: Mint) -> bytes:
    """HMAC under what anybody can know: the public key however it is written (RFC 8725, 2.1), and what comes to mind."""
    algorithm = mint.chance.choice(["HS256", "HS384", "HS512"])
    known = [*(known for issuer in mint.issuers for known in issuer.known), *GUESSES]
    return mint.any().but({"alg": algorithm}).under(mint.chance.choice(known), algorithm)


def another_algorithm(mint: Mint) -> bytes:
    draft = mint.any()
    own = draft.header["alg"]
    other = mint.chance.choice([*(name for name in ALGORITHMS if name != own), *NO_ALGORITHMS])
    really = other if isinstance(other, str) and other in SIBLINGS.get(own, ()) else own
    return draft.but({"alg": other}).signed(really)


def another_key(mint: Mint) -> bytes:
    draft = mint.any()
    own = draft.header["alg"]
    if own != "HS256" and mint.chance.random() < 0.5:
        return draft.under(mint.chance.choice(attackers(own)))
    keys = [
        key
        for key in (*OTHER_KEYS, ADMIN_KEY, CUSTOMER_KEY, mint.chance.randbytes(32))
        if key is not draft.key
    ]
    return draft.but({"alg": "HS256"}).under(mint.chance.choice(keys))


def key_brought_along(mint: Mint) -> bytes:
    algorithm = mint.chance.choice(["RS256", "ES256", "EdDSA"])
    key = mint.chance.choice(attackers(algorithm))
    jwk = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())) | {
        "kid": "mine"
    }
    url = {"jku": "http://127.0.0.1:9/keys.json"}
    along = mint.chance.choice(
        [
            {"jwk": jwk},
            url,
            {"x5u": url["jku"]},
            {"x5c": ["MIIB"]},
            {"jwk": jwk, "kid": "mine"},
            url | {"kid": "mine"},
        ]
    )
    return mint.any().but({"alg": algorithm} | along).under(key)


def kids(mint: Mint) -> bytes:
    draft = mint.any().but({"kid": mint.chance.choice(KIDS)})
    if draft.key is not CUSTOMER_KEY and len(mint.issuers) > 1 and mint.chance.random() < 0.5:
        return draft.signed()  # a key of the set, by another's name
    return draft.but({"alg": "HS256"}).under(
        mint.chance.choice([b"", b"x", b"\n", b"2\n", bytes(32)])
    )


# Signatures of the right key on what it would not sign.


def other_kind(mint: Mint) -> bytes:
    admin, customer = mint.admin(), mint.customer()
    as_admin = {"role": "internal-admin", "aud": "payment-links"} | mint.issuers[0].claims
    draft, key = mint.chance.choice([
        (customer.but({"alg": admin.header["alg"], "kid": admin.header.get("kid", GONE)}), admin.key),
        (customer.but(admin.header), admin.key),
        (customer.but(admin.header, **as_admin), admin.key),
        (customer.but(None, **as_admin), CUSTOMER_KEY),
        (customer.but({"typ": "JWT"}, **as_admin), CUSTOMER_KEY),
        (customer.but({"typ": "JWT"}), CUSTOMER_KEY),
        (admin.but({"typ": CUSTOMER_TYP}), admin.key),
        (admin.but(None, type="payment_link"), admin.key),
        (admin.but(customer.header), CUSTOMER_KEY),
        (admin.but({"alg": "HS256"}), CUSTOMER_KEY),
        (admin.but(customer.header, aud=customer.claims["aud"]), CUSTOMER_KEY),
    ])  # fmt: skip
    return draft.under(key)


def claims_missing(mint: Mint) -> bytes:
    draft = mint.any()
    required = sorted(draft.claims.keys() - (set() if draft.key is CUSTOMER_KEY else {"iat"}))
    missing = mint.chance.sample(required, mint.chance.randint(1, len(required)))
    return draft.but(None, **dict.fromkeys(missing, GONE)).signed()


def claims_wrong(mint: Mint) -> bytes:
    draft = mint.any()
    wrong = WRONG_FOR_CUSTOMERS if draft.key is CUSTOMER_KEY else list(WRONG_FOR_ADMINS)
    if "iss" in draft.claims:
        wrong += [({}, {"iss": issuer}) for issuer in WRONG_ISSUERS]
    header, claims = mint.chance.choice(wrong)
    return draft.but(header, **claims).signed()


def claims_of_another_type(mint: Mint) -> bytes:
    draft = mint.any()
    claim = mint.chance.choice(sorted(draft.claims))
    return draft.but(
        None, **{claim: mint.chance.choice(NO_NUMBERS if claim in {"exp", "iat"} else NO_STRINGS)}
    ).signed()


def times(mint: Mint) -> bytes:
    draft = mint.any()
    longest = 86400 if draft.key is CUSTOMER_KEY else 366 * 86400
    beyond = [
        2**53,
        2**63,
        1e308,
        10**400,
        float("inf"),
        float("nan"),
        -1,
        -1e308,
        -(10**400),
        float("-inf"),
    ]
    soon = mint.now + mint.chance.randrange(600, 10**6)
    past = [0, 1, mint.now - 1, mint.now - mint.chance.randrange(1, 10**6)]
    claim = mint.chance.choice(["exp", "iat", "nbf"])
    return draft.but(
        None,
        **{
            claim: mint.chance.choice(
                [*beyond, soon + longest, *past] if claim == "exp" else [*beyond, soon]
            )
        },
    ).signed()


def critical(mint: Mint) -> bytes:
    return (
        mint.any().but({"crit": mint.chance.choice(CRITS), "http://example.com/x": True}).signed()
    )


def unencoded(mint: Mint) -> bytes:
    """RFC 7797."""
    draft = mint.any().but({"b64": False, "crit": mint.chance.choice([["b64"], GONE])})
    head, payload = encoded(draft.header), json.dumps(draft.claims).encode()
    signature = sign(
        mint.chance.choice([head + b"." + payload, head + b"."]), draft.key, draft.header["alg"]
    )
    return b".".join([head, mint.chance.choice([b"", payload, b64(payload)]), signature])


def duplicate_names(mint: Mint) -> bytes:
    """A parser takes the last (RFC 7515, 4), and here it is the one that is wrong."""
    draft = mint.any()
    header, claims = json.dumps(draft.header), json.dumps(draft.claims)
    where = mint.chance.choice(["alg", "typ", "claim"])
    if where == "claim":
        wrong = mint.chance.choice(sorted(draft.claims.keys() - {"iat"}))
        claims = (
            f'{claims[:-1]}, "{wrong}": {json.dumps(mint.chance.choice([None, [], {}, True]))}}}'
        )
    else:
        header = (
            f'{header[:-1]}, "{where}": {json.dumps("none" if where == "alg" else CUSTOMER_TYP)}}}'
        )
        claims = json.dumps(draft.claims | {"aud": "payment-links"})
    return compact(b64(header.encode()), b64(claims.encode()), draft.key, draft.header["alg"])


def no_objects(mint: Mint) -> bytes:
    draft = mint.any()
    junk = b64(mint.chance.choice([*NO_OBJECTS, mint.chance.randbytes(40)]))
    head, payload = mint.chance.choice(
        [(junk, encoded(draft.claims)), (encoded(draft.header), junk), (junk, junk)]
    )
    return compact(head, payload, draft.key, draft.header["alg"])


def nested(mint: Mint) -> bytes:
    draft, deep = mint.any(), mint.chance.choice([2, 50, 500, 1500])
    opening, closing = mint.chance.choice([("[", "]"), ('{"":', "}")])
    hole = json.dumps(draft.claims | {mint.chance.choice(["sub", "aud", "exp"]): "@"})
    deeply = b64(hole.replace('"@"', opening * deep + "1" + closing * deep).encode())
    header, claims, of_a_token = (
        encoded(draft.header),
        encoded(draft.claims),
        encoded(draft.header | {"cty": "JWT"}),
    )
    head, payload = mint.chance.choice(
        [(header, deeply), (deeply, claims), (of_a_token, b64(draft.signed()))]
    )
    return compact(head, payload, draft.key, draft.header["alg"])


def huge(mint: Mint) -> bytes:
    """More than the 8 KiB that a token may have."""
    draft, length = mint.any(), mint.chance.choice([8200, 9000, 20_000, 60_000])
    return mint.chance.choice([
        draft.but(None, padding="x" * length).signed(), draft.but({"padding": "x" * length}).signed(),
        mint.junk(length), b".".join([mint.junk(length)] * 3), b"." * length,
    ])  # fmt: skip


FAMILIES = [
    unsigned, public_as_secret, another_algorithm, another_key, key_brought_along, kids, other_kind, claims_missing, claims_wrong,
    claims_of_another_type, times, critical, unencoded, duplicate_names, no_objects, nested, huge,
]  # fmt: skip
