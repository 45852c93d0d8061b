"""Forged tokens: each function draws one of a family.

Anybody can make its signature, or nobody would sign its content.
"""

import itertools
import json
from typing import Any

import jwt

from service.auth.tokens import derive_key
from tests.faults.token_factory import (
    ADMIN_KEY,
    CUSTOMER_KEY,
    CUSTOMER_TYP,
    GONE,
    TokenFactory,
    attackers,
    b64,
    compact,
    encoded,
    sign,
)
from tests.support.service_processes import SECRET

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
NO_STRINGS: list[object] = [
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
KIDS: list[object] = [
    "../../../../dev/null",
    "/dev/null",
    "/proc/sys/kernel/randomize_va_space",
    "file:///etc/passwd",
    "http://127.0.0.1/key",
    "' UNION SELECT 'x' -- ",
    "x' OR '1'='1",
    "|cat /etc/passwd",
    "$(id)",
    "{{7*7}}",
    "*",
    "",
    " ",
    "\0",
    "__proto__",
    "None",
    "k" * 5000,
    "\ud800",
    None,
    True,
    0,
    -1,
    1.5,
    [],
    ["one"],
    {},
    {"one": 1},
    [[[]]],
]
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


def unsigned(factory: TokenFactory) -> bytes:
    draft = factory.any().but({"alg": factory.chance.choice(NONE)})
    content = b".".join([encoded(draft.header), encoded(draft.claims)])
    genuine = factory.any().signed().rpartition(b".")[2]
    return content + factory.chance.choice([b".", b"", b"." + genuine, b"." + factory.junk(32)])


def public_as_secret(factory: TokenFactory) -> bytes:
    """HMAC under a public value: the public key in any notation (RFC 8725, 2.1), or a guess."""
    algorithm = factory.chance.choice(["HS256", "HS384", "HS512"])
    known = [*(known for issuer in factory.issuers for known in issuer.known), *GUESSES]
    return factory.any().but({"alg": algorithm}).under(factory.chance.choice(known), algorithm)


def another_algorithm(factory: TokenFactory) -> bytes:
    draft = factory.any()
    own = draft.header["alg"]
    other = factory.chance.choice([*(name for name in ALGORITHMS if name != own), *NO_ALGORITHMS])
    really = other if isinstance(other, str) and other in SIBLINGS.get(own, ()) else own
    return draft.but({"alg": other}).signed(really)


def another_key(factory: TokenFactory) -> bytes:
    draft = factory.any()
    own = draft.header["alg"]
    if own != "HS256" and factory.chance.random() < 0.5:
        return draft.under(factory.chance.choice(attackers(own)))
    keys = [
        key
        for key in (*OTHER_KEYS, ADMIN_KEY, CUSTOMER_KEY, factory.chance.randbytes(32))
        if key is not draft.key
    ]
    return draft.but({"alg": "HS256"}).under(factory.chance.choice(keys))


def key_brought_along(factory: TokenFactory) -> bytes:
    algorithm = factory.chance.choice(["RS256", "ES256", "EdDSA"])
    key = factory.chance.choice(attackers(algorithm))
    jwk = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())) | {
        "kid": "mine"
    }
    url = {"jku": "http://127.0.0.1:9/keys.json"}
    along = factory.chance.choice(
        [
            {"jwk": jwk},
            url,
            {"x5u": url["jku"]},
            {"x5c": ["MIIB"]},
            {"jwk": jwk, "kid": "mine"},
            url | {"kid": "mine"},
        ]
    )
    return factory.any().but({"alg": algorithm} | along).under(key)


def kids(factory: TokenFactory) -> bytes:
    draft = factory.any().but({"kid": factory.chance.choice(KIDS)})
    if draft.key is not CUSTOMER_KEY and len(factory.issuers) > 1 and factory.chance.random() < 0.5:
        return draft.signed()  # a key of the set, by another's name
    return draft.but({"alg": "HS256"}).under(
        factory.chance.choice([b"", b"x", b"\n", b"2\n", bytes(32)])
    )


# Signatures of the right key on what it would not sign.


def other_kind(factory: TokenFactory) -> bytes:
    admin, customer = factory.admin(), factory.customer()
    as_admin = {"role": "internal-admin", "aud": "payment-links"} | factory.issuers[0].claims
    draft, key = factory.chance.choice(
        [
            (
                customer.but({"alg": admin.header["alg"], "kid": admin.header.get("kid", GONE)}),
                admin.key,
            ),
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
        ]
    )
    return draft.under(key)


def claims_missing(factory: TokenFactory) -> bytes:
    draft = factory.any()
    required = sorted(draft.claims.keys() - (set() if draft.key is CUSTOMER_KEY else {"iat"}))
    missing = factory.chance.sample(required, factory.chance.randint(1, len(required)))
    return draft.but(None, **dict.fromkeys(missing, GONE)).signed()


def claims_wrong(factory: TokenFactory) -> bytes:
    draft = factory.any()
    wrong = WRONG_FOR_CUSTOMERS if draft.key is CUSTOMER_KEY else list(WRONG_FOR_ADMINS)
    if "iss" in draft.claims:
        wrong += [({}, {"iss": issuer}) for issuer in WRONG_ISSUERS]
    header, claims = factory.chance.choice(wrong)
    return draft.but(header, **claims).signed()


def claims_of_another_type(factory: TokenFactory) -> bytes:
    draft = factory.any()
    claim = factory.chance.choice(sorted(draft.claims))
    return draft.but(
        None,
        **{claim: factory.chance.choice(NO_NUMBERS if claim in {"exp", "iat"} else NO_STRINGS)},
    ).signed()


def times(factory: TokenFactory) -> bytes:
    draft = factory.any()
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
    soon = factory.now + factory.chance.randrange(600, 10**6)
    past = [0, 1, factory.now - 1, factory.now - factory.chance.randrange(1, 10**6)]
    claim = factory.chance.choice(["exp", "iat", "nbf"])
    return draft.but(
        None,
        **{
            claim: factory.chance.choice(
                [*beyond, soon + longest, *past] if claim == "exp" else [*beyond, soon]
            )
        },
    ).signed()


def critical(factory: TokenFactory) -> bytes:
    return (
        factory.any()
        .but({"crit": factory.chance.choice(CRITS), "http://example.com/x": True})
        .signed()
    )


def unencoded(factory: TokenFactory) -> bytes:
    """RFC 7797."""
    draft = factory.any().but({"b64": False, "crit": factory.chance.choice([["b64"], GONE])})
    head, payload = encoded(draft.header), json.dumps(draft.claims).encode()
    signature = sign(
        factory.chance.choice([head + b"." + payload, head + b"."]), draft.key, draft.header["alg"]
    )
    return b".".join([head, factory.chance.choice([b"", payload, b64(payload)]), signature])


def duplicate_names(factory: TokenFactory) -> bytes:
    """A parser takes the last (RFC 7515, 4), and here it is the one that is wrong."""
    draft = factory.any()
    header, claims = json.dumps(draft.header), json.dumps(draft.claims)
    where = factory.chance.choice(["alg", "typ", "claim"])
    if where == "claim":
        wrong = factory.chance.choice(sorted(draft.claims.keys() - {"iat"}))
        claims = (
            f'{claims[:-1]}, "{wrong}": {json.dumps(factory.chance.choice([None, [], {}, True]))}}}'
        )
    else:
        header = (
            f'{header[:-1]}, "{where}": {json.dumps("none" if where == "alg" else CUSTOMER_TYP)}}}'
        )
        claims = json.dumps(draft.claims | {"aud": "payment-links"})
    return compact(b64(header.encode()), b64(claims.encode()), draft.key, draft.header["alg"])


def no_objects(factory: TokenFactory) -> bytes:
    draft = factory.any()
    junk = b64(factory.chance.choice([*NO_OBJECTS, factory.chance.randbytes(40)]))
    head, payload = factory.chance.choice(
        [(junk, encoded(draft.claims)), (encoded(draft.header), junk), (junk, junk)]
    )
    return compact(head, payload, draft.key, draft.header["alg"])


def nested(factory: TokenFactory) -> bytes:
    draft, deep = factory.any(), factory.chance.choice([2, 50, 500, 1500])
    opening, closing = factory.chance.choice([("[", "]"), ('{"":', "}")])
    hole = json.dumps(draft.claims | {factory.chance.choice(["sub", "aud", "exp"]): "@"})
    deeply = b64(hole.replace('"@"', opening * deep + "1" + closing * deep).encode())
    header, claims, of_a_token = (
        encoded(draft.header),
        encoded(draft.claims),
        encoded(draft.header | {"cty": "JWT"}),
    )
    head, payload = factory.chance.choice(
        [(header, deeply), (deeply, claims), (of_a_token, b64(draft.signed()))]
    )
    return compact(head, payload, draft.key, draft.header["alg"])


def huge(factory: TokenFactory) -> bytes:
    """More than the 8 KiB that a token may have."""
    draft, length = factory.any(), factory.chance.choice([8200, 9000, 20_000, 60_000])
    return factory.chance.choice(
        [
            draft.but(None, padding="x" * length).signed(),
            draft.but({"padding": "x" * length}).signed(),
            factory.junk(length),
            b".".join([factory.junk(length)] * 3),
            b"." * length,
        ]
    )


FAMILIES = [
    unsigned,
    public_as_secret,
    another_algorithm,
    another_key,
    key_brought_along,
    kids,
    other_kind,
    claims_missing,
    claims_wrong,
    claims_of_another_type,
    times,
    critical,
    unencoded,
    duplicate_names,
    no_objects,
    nested,
    huge,
]
