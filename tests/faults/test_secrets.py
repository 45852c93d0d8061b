"""No secret is left in the store's files, its keys, RQ's jobs or any log."""

import base64
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import redis

from service.auth.tokens import Role, derive_key
from service.outbox.doorbell import DELIVERY_JOB, open_rq_queue
from service.outbox.queues import OTP_QUEUE
from service.storage import keys
from tests.faults.secret_scenario import CHECKOUT, PASSWORD, USER, LoginServer, Scenario
from tests.support.admins import admin_token
from tests.support.event_logs import logged
from tests.support.run_length import RunLength
from tests.support.secret_scan import Place, chance, find_secrets, forms_of, in_files, stored
from tests.support.servers import MailServer, RedisServer
from tests.support.service_processes import SECRET, Service
from tests.support.tls import self_signed


class Residue(NamedTuple):
    """What was secret, and what is left where it might be."""

    secrets: list[bytes]
    codes: list[bytes]
    link_ids: list[bytes]
    store: RedisServer
    logs: list[Path]

    def places(self) -> list[Place]:
        with redis.Redis.from_url(self.store.url) as connection:
            return [*stored(connection), *in_files(self.written())]

    def written(self) -> list[Path]:
        return [
            *self.logs,
            *(path for path in self.store.socket.parent.rglob("*") if path.is_file()),
        ]


@pytest.fixture(scope="module")
def residue(
    own_store: RedisServer, tmp_path_factory: pytest.TempPathFactory, run_length: RunLength
) -> Residue:
    """The service at work for a while, twice on one store, with logs for people and in JSON."""
    tls, mail_server = self_signed(tmp_path_factory.mktemp("tls")), LoginServer()
    options: dict[str, Any] = {
        "tls_context": tls.server,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": mail_server.authenticate,
    }
    with ExitStack() as started:
        mails = started.enter_context(MailServer(mail_server, **options))
        smtp_url = f"smtp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{mails.port}"
        settings = {
            "SSL_CERT_FILE": str(tls.certificate),
            "OTP_RESEND_AFTER": "1s",
            "OTP_CLIENT_SENDS_PER_HOUR": "10000",
            "CHECKOUT_URL": CHECKOUT + "{link_id}",
        }
        services = [
            Service(
                tmp_path_factory.mktemp(log_format),
                own_store.url,
                smtp_url,
                LOG_FORMAT=log_format,
                **settings,
            )
            for log_format in ("json", "console")
        ]
        for service in services:
            started.enter_context(service)
        scenario = Scenario(services, own_store, mail_server)
        scenario.work(run_length(10, 100))
    logs = [
        process.log
        for service in services
        for process in (service.web, service.worker, service.scheduler)
    ] + [scenario.checked]
    secrets = [secret.encode() for secret in (SECRET, PASSWORD, *scenario.tokens)]
    secrets += [part.encode() for token in scenario.tokens for part in token.split(".")[1:]]
    secrets += [
        derive_key(SECRET.encode(), purpose)
        for purpose in ("admin-jwt", "customer-jwt", "otp", "idempotency")
    ]
    codes = [code.encode() for code in (*mail_server.codes.values(), *scenario.codes)]
    return Residue(
        secrets,
        codes,
        [keys.local_id(link_id).encode() for link_id in mail_server.link_ids],
        own_store,
        logs,
    )


def test_no_code_token_key_or_password_is_left_anywhere(residue: Residue) -> None:
    """False alarms are rarer than one in a thousand runs. Full: 112 customers; short: 22."""
    places = residue.places()
    assert find_secrets([*residue.secrets, *residue.codes], places) == []
    assert chance(residue.codes, places) < 0.001


def test_no_link_id_is_left_in_a_log(residue: Residue) -> None:
    """Whoever has all of one can open the link."""
    assert find_secrets(residue.link_ids, in_files(residue.logs)) == []


def test_the_service_had_every_occasion(residue: Residue) -> None:
    logs = "".join(path.read_text() for path in residue.logs)
    events = [
        "mail_sent",
        "mail_refused",
        "mail_deferred",
        "mail_skipped",
        "mail_not_composed",
        "record_unreadable",
        "mail_paused",
    ]
    events += [
        "data_unreadable",
        "unavailable",
        "queue_unavailable",
        "Traceback",
    ]
    assert [event for event in events if event not in logs] == []
    with redis.Redis.from_url(residue.store.url, decode_responses=True) as connection:
        logged_types = {entry.type for entry in logged(connection)}
    assert {
        "sent",
        "delivery_failed",
        "code_verified",
        "checkout_started",
        "payment_recorded",
        "paid",
        "payment_voided",
        "reminders_stopped",
        "resent",
        "superseded",
        "updated",
    } <= logged_types
    assert len(residue.codes) >= 40
    assert len(residue.link_ids) >= 20


def plant_job(connection: "redis.Redis", _: Path, secret: bytes) -> None:
    open_rq_queue(OTP_QUEUE, connection).enqueue(DELIVERY_JOB, secret.decode(), result_ttl=0)


def plant_failure(connection: "redis.Redis", _: Path, secret: bytes) -> None:
    packed = base64.b64encode(zlib.compress(b"Traceback: ValueError: " + secret + b" is not good"))
    connection.xadd("rq:results:planted", {"exc_string": packed})


def plant_for_a_moment(connection: "redis.Redis", _: Path, secret: bytes) -> None:
    connection.set("planted for a moment", b"it is " + secret)
    connection.delete("planted for a moment")


def plant_line(_: "redis.Redis", log: Path, secret: bytes) -> None:
    with log.open("ab") as file:
        file.write(b'{"event": "oops", "given": "' + secret + b'"}\n')


PLANTS: dict[str, Callable[["redis.Redis", Path, bytes], object]] = {
    "the value of b'a string'": lambda connection, _, secret: connection.append(
        "a string", b" otp=" + secret
    ),
    "the value of b'a hash'": lambda connection, _, secret: connection.hset(
        "a hash", len(secret), secret
    ),
    "the value of b'fields'": lambda connection, _, secret: connection.hset(
        "fields", secret, "code"
    ),
    "the value of b'a list'": lambda connection, _, secret: connection.rpush("a list", secret),
    "the value of b'a set'": lambda connection, _, secret: connection.sadd("a set", secret),
    "the value of b'scores'": lambda connection, _, secret: connection.zadd("scores", {secret: 1}),
    "the value of b'compressed": lambda connection, _, secret: connection.set(
        f"compressed {len(secret)}", zlib.compress(secret)
    ),
    "the value of b'rq:job:": plant_job,
    "the value of b'rq:results:": plant_failure,
    "the name of b'pl:": lambda connection, _, secret: connection.set(b"pl:" + secret, 1),
    "incr.aof": plant_for_a_moment,
    "web.log": plant_line,
}
"""What is said of a place, and how to put a secret there."""


def test_every_planted_secret_is_found(residue: Residue) -> None:
    """A code and a token in each place."""
    token = admin_token(Role.ORG_ADMIN, "planted").encode()
    codes = {place: f"{zlib.crc32(place.encode()) % 10**6:06}".encode() for place in PLANTS}
    with redis.Redis.from_url(residue.store.url) as connection:
        for place, plant in PLANTS.items():
            plant(connection, residue.logs[0], codes[place])
            plant(connection, residue.logs[0], token)
    found = find_secrets([*codes.values(), token], residue.places())
    for place, code in codes.items():
        assert [
            trace for trace in found if place in trace and trace.startswith(code[:4].decode())
        ] != [], place
        assert [trace for trace in found if place in trace and trace.startswith("eyJ")] != [], place


@pytest.mark.parametrize(
    "secret",
    [b"042817", b"pass+word/1 \xc3\xa9", bytes(range(200, 232))],
    ids=["code", "password", "key"],
)
def test_a_secret_is_found_however_it_is_written(secret: bytes) -> None:
    assert [
        form
        for form in forms_of(secret)
        if not find_secrets([secret], [("here", b"before " + form + b" after")])
    ] == []
    for before in (b"", b"a", b"ab"):
        assert find_secrets([secret], [("here", base64.b64encode(before + secret + b"after"))])


def test_codes_within_something_longer_are_found_where_there_are_many() -> None:
    codes = [b"%06d" % number for number in range(100_000, 100_010)]
    assert find_secrets(codes, [("here", b" ".join(b"otp" + code + b"x" for code in codes))])


def test_digits_that_are_no_code_are_not_found() -> None:
    noise = [b"1042817", b"0428170", b"12:00:00.042817Z", b"a042817", b"1.042817"]
    assert find_secrets([b"042817"], [("here", line) for line in noise]) == []


def test_a_person_can_search_too(residue: Residue) -> None:
    def search(secret: str) -> "subprocess.CompletedProcess[str]":
        command = [
            sys.executable,
            "-m",
            "tests.support.secret_scan",
            "--store",
            residue.store.url,
            "--files",
            *map(str, residue.written()),
        ]
        return subprocess.run(
            command, input=f"{secret}\n", capture_output=True, text=True, timeout=60, check=False
        )

    with redis.Redis.from_url(residue.store.url) as connection:
        connection.set("planted for a person", "the secret of a person")
    found, nothing = search("the secret of a person"), search("the secret of nobody")
    assert (found.returncode, found.stdout.splitlines()[0][:4]) == (1, "the ")
    assert (nothing.returncode, nothing.stdout) == (0, "")
