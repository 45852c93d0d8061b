"""A hundred thousand bad tokens at every endpoint: none is accepted, and no good one refused."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.faults import alterations, forgeries
from tests.faults.token_factory import ADMIN_KEY, Issuer, TokenFactory
from tests.support.key_server import KeyServer, served
from tests.support.raw_http import RawConnection, RawResponse, raw_connections, request, with_json
from tests.support.run_length import RunLength
from tests.support.servers import RedisServer
from tests.support.service_processes import COMMAND
from tests.support.signing import pem, private_key
from tests.support.web import run_web

Family = Callable[[TokenFactory], bytes | list[bytes]]
"""Draws a token, or the values of whole Authorization headers."""
ISSUED = {"iss": "https://id.example.com"}
ALGORITHMS: dict[str, Any] = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}
FAMILIES: list[Family] = [*forgeries.FAMILIES, *alterations.FAMILIES]
AT_ONCE = 32
CONTROL_EVERY = 16
JANE, JOHN = "jane@example.com", "john@example.com"


def an_idp(algorithm: str, kid: str | None = None) -> Issuer:
    """The identity provider with a key of ``algorithm``, and the public key in any notation."""
    key = private_key(algorithm)
    public, text = key.public_key(), pem(algorithm)
    jwk = ALGORITHMS[algorithm].to_jwk(public)
    members = json.loads(jwk)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    known = [
        text,
        text.strip(),
        text.replace("\n", "\\n"),
        text.replace("\n", ""),
        jwk,
        members.get("n") or members["x"],
    ]
    return Issuer(key, algorithm, kid, ISSUED, [*(form.encode() for form in known), der])


class SetUp(NamedTuple):
    """Whom a web process believes."""

    issuers: list[Issuer]
    settings: dict[str, str]


@pytest.fixture(params=["our own secret", "a public key", "a key set"])
def set_up(request: pytest.FixtureRequest) -> Iterator[SetUp]:
    if request.param == "our own secret":
        yield SetUp([Issuer(ADMIN_KEY, "HS256", None, {}, [])], {})
    elif request.param == "a public key":
        yield SetUp(
            [an_idp("RS256")],
            {"ADMIN_JWT_PUBLIC_KEY": pem("RS256"), "ADMIN_JWT_ISSUER": ISSUED["iss"]},
        )
    else:
        with served(KeyServer()) as keys:
            for algorithm in ALGORITHMS:
                keys.add(algorithm, f"key-{algorithm}")
            issuers = [an_idp(algorithm, f"key-{algorithm}") for algorithm in ALGORITHMS]
            yield SetUp(issuers, {"ADMIN_JWKS_URL": keys.url, "ADMIN_JWT_ISSUER": ISSUED["iss"]})


class Endpoint(NamedTuple):
    """An endpoint that looks at tokens, and how it answers those that it believes."""

    method: str
    path: str
    body: Any
    opens: Callable[[RawResponse], bool]
    to_customers: bool = False

    def ask(self, authorizations: list[bytes]) -> bytes:
        line = f"{self.method} {self.path} HTTP/1.1"
        headers = [
            b"Accept: application/json",
            *(b"Authorization: " + value for value in authorizations),
        ]
        return (
            with_json(line, self.body, *headers, lasting=True)
            if self.body
            else request(line, *headers, lasting=True)
        )

    def refuses(self, response: RawResponse) -> bool:
        """``verify`` masks the link; all others answer that the token is invalid or too large."""
        if response.status == 431:
            return True
        if self.path == "/payment-links/verify":
            return response.status == 200 and response.json()["link"].keys() == {
                "id",
                "status",
                "expires_at",
                "otp_required",
                "email",
            }
        return response.status == 401 and response.json()["code"] == "token_invalid"


def endpoints(wire: RawConnection, factory: TokenFactory) -> list[Endpoint]:
    """Doors of the factory's organization, with direct links and a gated one behind them."""
    token = factory.internal_admin().signed()
    made = []
    for gated in (False, True, False):
        body = {
            "email": factory.email,
            "org_id": factory.org_id,
            "notify": False,
            "otp_required": gated,
        }
        response = wire.ask(
            with_json(
                "POST /payment-links HTTP/1.1",
                body,
                b"Authorization: Bearer " + token,
                lasting=True,
            )
        )
        assert response.status == 201, response
        made.append(response.json()["id"])
    direct, gated_link, payable = made
    create = {"email": factory.email, "org_id": factory.org_id, "notify": False}
    return [
        Endpoint("POST", "/payment-links", create, lambda response: response.status == 201),
        Endpoint(
            "GET",
            f"/orgs/{factory.org_id}/payment-links?limit=1",
            None,
            lambda response: response.json()["total"] >= 2,
        ),
        Endpoint(
            "DELETE",
            f"/payment-links/{direct}",
            None,
            lambda response: "revoked" in response.json(),
        ),
        Endpoint(
            "DELETE",
            "/payment-links",
            {"email": f"nobody+{factory.email}"},
            lambda response: response.json()["revoked"] == 0,
        ),
        Endpoint(
            "GET",
            f"/payment-links/{gated_link}",
            None,
            lambda response: response.json()["email"] == factory.email,
            to_customers=True,
        ),
        Endpoint(
            "GET",
            f"/pay/{gated_link}",
            None,
            lambda response: response.json()["email"] == factory.email,
            to_customers=True,
        ),
        Endpoint(
            "POST",
            "/payment-links/verify",
            {"link_id": gated_link},
            lambda response: response.json()["link"]["email"] == factory.email,
            to_customers=True,
        ),
        Endpoint(
            "PATCH",
            f"/payment-links/{gated_link}",
            {"description": "Office cleaning"},
            lambda response: response.json()["id"] == gated_link,
        ),
        Endpoint(
            "POST",
            f"/payment-links/{payable}/payments",
            {"payment_id": "pay-1", "amount": 1, "currency": "USD"},
            lambda response: response.json()["payment_id"] == "pay-1",
        ),
        Endpoint(
            "GET",
            f"/payment-links/{gated_link}/events",
            None,
            lambda response: len(response.json()["events"]) > 0,
        ),
        Endpoint(
            "GET",
            f"/orgs/{factory.org_id}/events?limit=1",
            None,
            lambda response: len(response.json()["events"]) == 1,
        ),
        Endpoint(
            "POST",
            "/payment-links/scheduled",
            {"period": 1},
            lambda response: response.json()["due"] == 0,
        ),
    ]


class Asked(NamedTuple):
    """A request under way: of a family of mutations, or a control."""

    family: str | None
    endpoint: Endpoint
    authorizations: list[bytes]


def wave(
    families: Iterator[Callable[[TokenFactory], bytes | list[bytes]]],
    victim: TokenFactory,
    closed: list[Endpoint],
    control: TokenFactory,
    opened: list[Endpoint],
) -> list[Asked]:
    """What is asked at the same moment, a good token among every few."""
    asked = []
    for family in islice(families, AT_ONCE - AT_ONCE // CONTROL_EVERY):
        drawn = family(victim)
        asked.append(
            Asked(
                family.__name__,
                victim.chance.choice(closed),
                drawn if isinstance(drawn, list) else [b"Bearer " + drawn],
            )
        )
    for _ in range(AT_ONCE // CONTROL_EVERY):
        endpoint = control.chance.choice(opened)
        draft = (
            control.customer()
            if endpoint.to_customers and control.chance.random() < 0.5
            else control.internal_admin()
        )
        asked.append(Asked(None, endpoint, [b"Bearer " + draft.signed()]))
    victim.chance.shuffle(asked)
    return asked


@pytest.mark.usefixtures("redis_db")
def test_no_mutated_token_is_believed_and_every_good_one_is(
    set_up: SetUp, own_store: RedisServer, tmp_path: Path, run_length: RunLength
) -> None:
    """Full: 100,000 mutations, a third for each way to say whose tokens are believed."""
    chance, now = Random(1138), int(datetime.now(UTC).timestamp())
    victim, control = (
        TokenFactory(set_up.issuers, "acme", JANE, now, chance),
        TokenFactory(set_up.issuers, "globex", JOHN, now, chance),
    )
    families, drawn, wrong = cycle(FAMILIES), Counter[str | None](), list[str]()
    with (
        run_web(tmp_path, own_store.url, **set_up.settings) as service,
        raw_connections(*[service.port] * AT_ONCE) as callers,
    ):
        closed, opened = endpoints(callers[0], victim), endpoints(callers[0], control)
        while drawn.total() - drawn[None] < run_length(400, 33_334):
            asked = wave(families, victim, closed, control, opened)
            for caller, one in zip(callers, asked, strict=True):
                caller.send(one.endpoint.ask(one.authorizations))
            for caller, one in zip(callers, asked, strict=True):
                response = caller.receive()
                drawn[one.family] += 1
                if not (
                    one.endpoint.refuses(response) if one.family else one.endpoint.opens(response)
                ):
                    wrong.append(f"{one} was answered {response}"[:2000])
        left = callers[0].ask(closed[1].ask([b"Bearer " + victim.internal_admin().signed()])).json()
    assert not wrong, "\n".join(wrong)
    assert (left["total"], left["counts"]["active"]) == (3, 3)
    counts = [drawn[family.__name__] for family in FAMILIES]
    assert max(counts) - min(counts) <= 1
    assert drawn[None] > len(opened)


@pytest.mark.parametrize(
    "command", ["web", "worker", "scheduler", "up", "check", "token --role internal-admin"]
)
def test_a_secret_of_less_than_32_bytes_stops_the_start(
    own_store: RedisServer, tmp_path: Path, command: str
) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": own_store.url,
        "DATA_DIR": str(tmp_path),
        "SECRET_KEY": "s" * 31,
    }
    ended = subprocess.run(  # noqa: PLW1510
        [COMMAND, *command.split()],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == (1 if command == "check" else 2)
    assert "SECRET_KEY" in ended.stdout + ended.stderr
    assert "must be 32 bytes or more, not 31" in ended.stdout + ended.stderr
    assert "s" * 31 not in ended.stdout + ended.stderr
