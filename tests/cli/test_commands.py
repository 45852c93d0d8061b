"""The command: tokens that open the API, refusals in one line, and a check that says what is wrong."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from redis import Redis

from service.auth.tokens import Admin, Role, own_admin_key, verify_admin
from service.cli import check_redis as check_module
from service.cli import commands as cli
from service.cli.commands import main
from service.health import store as heartbeats
from service.health.heartbeat import host_name
from service.process import logs
from service.process.data_dir import LOCK_VARIABLE, load_or_create_secret
from service.storage import keys
from service.storage.client import Client
from service.storage.command import command
from service.storage.redis_url import connect
from tests.support.servers import MailServer, Store, free_port, store, valkey_server
from tests.support.tls import self_signed

SECRET = "correct horse battery staple, 32 bytes"
OTHERS = "an other secret of thirty-two bytes"
TRY = "; to try the service without any of them, run `payment-links up`"
VARIABLES = "SECRET_KEY REDIS_URL QUEUE_REDIS_URL PUBLIC_URL CHECKOUT_URL SMTP_URL MAIL_FROM LINK_TTL RETENTION HOST PORT LOG_FORMAT"
ADMIN_VARIABLES = "ADMIN_JWT_PUBLIC_KEY ADMIN_JWKS_URL ADMIN_JWT_ISSUER TRUSTED_PROXIES CORS_ORIGINS WEB_CONCURRENCY DATA_DIR"


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of our variables is set, and DATA_DIR is an empty folder."""
    for name in (*VARIABLES.split(), *ADMIN_VARIABLES.split(), LOCK_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


README = Path(__file__).parents[2] / "README.md"


def run(*args: str, **environ: str) -> Result:
    return CliRunner().invoke(main, args, env=environ)


def pem(key: Any) -> str:
    return str(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )


def holder(
    result: Result, *, secret: str = SECRET, now: datetime | None = None, issuer: str | None = None
) -> Admin:
    """Who the API takes the printed token for."""
    assert result.exit_code == 0, result.output
    return verify_admin(
        result.stdout.strip(),
        own_admin_key(secret.encode()),
        now=now or datetime.now(UTC),
        issuer=issuer,
    )


class TestToken:
    def test_an_internal_admin_s_token_is_good(self) -> None:
        result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET)
        assert holder(result) == Admin("payment-links token", Role.INTERNAL_ADMIN)

    def test_an_org_admin_s_token_is_good_for_its_organization(self) -> None:
        result = run("token", "--role", "org-admin", "--org", "acme", SECRET_KEY=SECRET)
        assert holder(result) == Admin("payment-links token", Role.ORG_ADMIN, "acme")

    def test_it_prints_the_token_and_nothing_else(self) -> None:
        result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET)
        assert len(result.stdout.splitlines()) == 1
        assert result.stdout.count(".") == 2
        assert result.stderr == ""

    def test_it_names_whom_it_is_for(self) -> None:
        assert (
            holder(
                run("token", "--role", "internal-admin", "--subject", "ann", SECRET_KEY=SECRET)
            ).subject
            == "ann"
        )

    @pytest.mark.parametrize(
        ("life", "lasts"),
        [
            ("10m", timedelta(minutes=10)),
            ("24h", timedelta(hours=24)),
            ("366d", timedelta(days=366)),
            ("1s", timedelta(seconds=1)),
        ],
    )
    def test_it_is_good_for_as_long_as_was_asked_for(self, life: str, lasts: timedelta) -> None:
        result = run("token", "--role", "internal-admin", "--life", life, SECRET_KEY=SECRET)
        claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == lasts.total_seconds()
        assert holder(result, now=datetime.fromtimestamp(claims["iat"], UTC))

    def test_it_is_good_for_a_day_where_nobody_says(self) -> None:
        result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET)
        claims = jwt.decode(result.stdout.strip(), options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 24 * 3600

    def test_it_needs_no_redis(self) -> None:
        assert run("token", "--role", "internal-admin", SECRET_KEY=SECRET).exit_code == 0

    def test_it_uses_the_secret_that_up_keeps(self, tmp_path: Path) -> None:
        secret = load_or_create_secret(tmp_path)
        assert holder(run("token", "--role", "internal-admin"), secret=secret)

    def test_a_secret_that_is_set_comes_before_the_one_that_up_keeps(self, tmp_path: Path) -> None:
        load_or_create_secret(tmp_path)
        assert holder(run("token", "--role", "internal-admin", SECRET_KEY=SECRET), secret=SECRET)

    def test_its_issuer_is_the_one_that_admin_tokens_must_have(self) -> None:
        """A token that the service would refuse is not printed: it carries the issuer, or the setting is refused."""
        result = run(
            "token",
            "--role",
            "internal-admin",
            SECRET_KEY=SECRET,
            ADMIN_JWT_ISSUER="https://id.example",
        )
        assert result.exit_code == 2 or holder(result, issuer="https://id.example")

    @pytest.mark.parametrize(
        "subject", ["", "x" * 10_000], ids=["empty", "longer than a token may be"]
    )
    def test_a_subject_that_the_service_would_refuse_is_refused(self, subject: str) -> None:
        assert (
            run(
                "token", "--role", "internal-admin", "--subject", subject, SECRET_KEY=SECRET
            ).exit_code
            == 2
        )

    @pytest.mark.parametrize(
        "args",
        [
            [],
            ["--role", "customer"],
            ["--role", "org-admin"],
            ["--role", "internal-admin", "--org", "acme"],
            ["--role", "org-admin", "--org", ""],
            ["--role", "org-admin", "--org", "a b"],
            ["--role", "org-admin", "--org", ".."],
            ["--role", "org-admin", "--org", "a" * 65],
            ["--role", "internal-admin", "--life", "0s"],
            ["--role", "internal-admin", "--life", "367d"],
            ["--role", "internal-admin", "--life", "tomorrow"],
            ["--role", "internal-admin", "--life", "-1h"],
            ["--role", "internal-admin", "extra"],
        ],
        ids=[
            "no role",
            "no such role",
            "org-admin of none",
            "internal-admin of one",
            "empty organization",
            "bad organization",
            "organization that is a path",
            "long organization",
            "no life",
            "too long a life",
            "no duration",
            "negative life",
            "more than is asked for",
        ],
    )
    def test_a_bad_combination_is_refused_and_prints_no_token(self, args: list[str]) -> None:
        result = run("token", *args, SECRET_KEY=SECRET)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Error: " in result.stderr

    @pytest.mark.parametrize(
        "environ",
        [
            {"ADMIN_JWT_PUBLIC_KEY": pem(ec.generate_private_key(ec.SECP256R1()))},
            {"ADMIN_JWKS_URL": "https://id.example/keys"},
        ],
        ids=["key", "key set"],
    )
    def test_it_makes_none_where_the_identity_provider_does(self, environ: dict[str, str]) -> None:
        result = run("token", "--role", "internal-admin", SECRET_KEY=SECRET, **environ)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "identity provider" in result.stderr

    @pytest.mark.parametrize(
        ("environ", "line"),
        [
            ({"SECRET_KEY": "short"}, "SECRET_KEY: must be 32 bytes or more, not 5"),
            (
                {"SECRET_KEY": SECRET, "PORT": "http"},
                "PORT: must be a whole number from 1 to 65535",
            ),
        ],
        ids=["short", "another setting"],
    )
    def test_wrong_settings_end_it_with_one_line(self, environ: dict[str, str], line: str) -> None:
        result = run("token", "--role", "internal-admin", **environ)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{line}\n")

    def test_elsewhere_than_up_it_says_where_the_secret_would_be(self, tmp_path: Path) -> None:
        result = run("token", "--role", "internal-admin")
        line = f"SECRET_KEY: required, unless `payment-links up` keeps one in DATA_DIR, and {tmp_path} holds none\n"
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", line)


class TestProcesses:
    @pytest.mark.parametrize("command", ["worker", "scheduler"])
    def test_a_wrong_address_stops_none_that_listens_nowhere(
        self, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran: list[str] = []
        monkeypatch.setattr(cli, "wait_for_data", lambda redis_url, _: ran.append(redis_url))
        monkeypatch.setattr(cli, "exit_on_stop_signals", lambda: None)
        monkeypatch.setattr("tasks.worker.supervise", lambda _: None)
        monkeypatch.setattr("tasks.scheduler.run", lambda _: None)
        monkeypatch.setattr(logs, "configure", lambda _: None)
        result = run(
            command,
            SECRET_KEY=SECRET,
            REDIS_URL="redis://localhost",
            HOST="a b",
            PORT="http",
            WEB_CONCURRENCY="0",
        )
        assert (result.exit_code, result.stderr, ran) == (0, "", ["redis://localhost"])

    @pytest.mark.parametrize("command", ["web", "worker", "scheduler"])
    @pytest.mark.parametrize(
        ("environ", "line"),
        [
            ({}, f"REDIS_URL, SECRET_KEY: required{TRY}"),
            ({"SECRET_KEY": SECRET}, f"REDIS_URL: required{TRY}"),
            ({"REDIS_URL": "redis://localhost"}, f"SECRET_KEY: required{TRY}"),
            (
                {"SECRET_KEY": SECRET, "REDIS_URL": "redis://localhost", "LINK_TTL": "1s"},
                "LINK_TTL: must lie between 5m and 365d",
            ),
        ],
        ids=["none", "no Redis", "no secret", "another setting"],
    )
    def test_wrong_settings_end_it_with_one_line(
        self, command: str, environ: dict[str, str], line: str
    ) -> None:
        result = run(command, **environ)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{line}\n")

    def test_wrong_settings_end_up_with_one_line(self) -> None:
        result = run("up", PORT="0")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "PORT: must be a whole number from 1 to 65535\n"

    @pytest.mark.parametrize(
        "key",
        [
            "-----BEGIN PUBLIC KEY-----\nZm9v\n-----END PUBLIC KEY-----\n",
            pem(ec.generate_private_key(ec.SECP384R1())),
        ],
        ids=["garbage", "P-384"],
    )
    def test_web_refuses_a_provider_s_key_that_it_cannot_use(
        self, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before it serves: a worker that dies of it is started again, and dies again."""
        served: list[bool] = []
        monkeypatch.setattr("granian.Granian.serve", lambda _: served.append(True))
        monkeypatch.setattr(logs, "configure", lambda _: None)
        result = run(
            "web", SECRET_KEY=SECRET, REDIS_URL="redis://localhost", ADMIN_JWT_PUBLIC_KEY=key
        )
        assert not served
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("ADMIN_JWT_PUBLIC_KEY: ")
        assert len(result.stderr.splitlines()) == 1

    def test_a_worker_is_for_a_queue_that_there_is(self) -> None:
        assert (
            run(
                "worker", "--queue", "faxes", SECRET_KEY=SECRET, REDIS_URL="redis://localhost"
            ).exit_code
            == 2
        )

    def test_it_says_what_it_can_do(self) -> None:
        result = run("--help")
        assert result.exit_code == 0
        assert all(
            command in result.stdout
            for command in ("up", "web", "worker", "scheduler", "token", "check")
        )

    def test_it_says_its_version(self) -> None:
        assert run("--version").exit_code == 0


def findings(result: Result) -> dict[str, tuple[str, str]]:
    """What ``check`` looked at: its verdict, and what it found."""
    found: dict[str, tuple[str, str]] = {}
    for line in result.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        what, _, text = rest.strip().partition(": ")
        assert verdict in {"ok", "warn", "FAIL"}
        found[what] = (verdict, text)
    return found


def look(**environ: str) -> Result:
    result = run("check", **{"SECRET_KEY": SECRET, **environ})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(
        result.exception
    )
    assert result.exit_code == ("FAIL" in {verdict for verdict, _ in findings(result).values()})
    return result


@pytest.fixture
def key_set() -> Iterator[tuple[str, list[Any]]]:
    """The URL of an identity provider's keys, and the list of those it serves."""
    keys: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(
                {
                    "keys": [
                        {"kid": str(number), **json.loads(key)} for number, key in enumerate(keys)
                    ]
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/keys", keys
    server.shutdown()
    thread.join()
    server.server_close()


class TestCheckSettings:
    @pytest.mark.parametrize(
        ("environ", "line"),
        [
            ({"SECRET_KEY": ""}, "REDIS_URL, SECRET_KEY: required"),
            (
                {"REDIS_URL": "redis://localhost", "SECRET_KEY": "short"},
                "SECRET_KEY: must be 32 bytes or more, not 5",
            ),
            ({"REDIS_URL": "memcached://localhost"}, "REDIS_URL: must begin with"),
            (
                {"REDIS_URL": "redis://localhost", "MAIL_FROM": "Shop <pay@shop..example>"},
                "MAIL_FROM: ",
            ),
        ],
        ids=["nothing set", "secret", "redis", "sender"],
    )
    def test_wrong_settings_are_all_it_says(self, environ: dict[str, str], line: str) -> None:
        found = findings(look(**environ))
        assert list(found) == ["settings"]
        assert found["settings"][0] == "FAIL"
        assert found["settings"][1].startswith(line)

    def test_settings_that_are_complete_are_good(self, valkey: Store) -> None:
        assert findings(look(REDIS_URL=valkey.url))["settings"] == ("ok", "complete")

    def test_it_looks_at_the_store_that_up_keeps(self, tmp_path: Path) -> None:
        load_or_create_secret(tmp_path)
        found = findings(look(SECRET_KEY=""))
        assert found["settings"] == ("ok", "complete")
        assert found["redis"][0] == "FAIL"


class TestCheckRedis:
    @pytest.fixture(params=["Valkey", "Redis"])
    def durable_store(self, request: pytest.FixtureRequest) -> Iterator[Store]:
        """An empty store that loses nothing."""
        binary = (
            valkey_server()
            if request.param == "Valkey"
            else request.getfixturevalue("redis_binary")
        )
        with store(binary, durable=True) as server:
            yield server

    def test_a_durable_store_is_good(self, durable_store: Store) -> None:
        result = look(REDIS_URL=durable_store.url)
        found = findings(result)
        assert result.exit_code == 0
        assert found["redis"] == ("ok", "answers")
        assert found["redis persistence"] == ("ok", "append-only file, appendfsync always")
        assert found["redis eviction"] == ("ok", "none")
        assert found["redis data"] == ("ok", "none yet")
        assert {verdict for what, (verdict, _) in found.items() if what.startswith("redis")} == {
            "ok"
        }

    @pytest.mark.parametrize(
        ("options", "what", "verdict", "advice"),
        [
            ([], "redis persistence", "warn", "appendonly yes"),
            (
                ["--appendonly", "yes", "--appendfsync", "everysec"],
                "redis persistence",
                "warn",
                "appendfsync always",
            ),
            (
                ["--maxmemory-policy", "allkeys-lru"],
                "redis eviction",
                "FAIL",
                "maxmemory-policy noeviction",
            ),
            (
                ["--maxmemory-policy", "volatile-ttl"],
                "redis eviction",
                "FAIL",
                "maxmemory-policy noeviction",
            ),
        ],
        ids=[
            "no append-only file",
            "fsync every second",
            "eviction of all",
            "eviction of what expires",
        ],
    )
    def test_a_store_that_may_lose_links_is_named_with_what_helps(
        self, options: list[str], what: str, verdict: str, advice: str
    ) -> None:
        with store(valkey_server(), *options) as server:
            found = findings(look(REDIS_URL=server.url))[what]
        assert found[0] == verdict
        assert advice in found[1]

    @pytest.mark.parametrize(
        "url", ["unix://{0}/nobody", "redis://127.0.0.1:{1}", "redis+sentinel://127.0.0.1:{1}/main"]
    )
    def test_a_store_that_is_away_is_named(self, url: str, tmp_path: Path) -> None:
        result = look(REDIS_URL=url.format(tmp_path, free_port()))
        assert findings(result)["redis"][0] == "FAIL"
        assert result.exit_code == 1

    def test_a_cluster_that_is_away_is_named(self, valkey: Store) -> None:
        result = look(
            REDIS_URL=f"redis+cluster://127.0.0.1:{free_port()}", QUEUE_REDIS_URL=valkey.url
        )
        assert findings(result)["redis"][0] == "FAIL"
        assert findings(result)["queue redis"][0] == "ok"

    def test_a_store_of_old_is_named(self, valkey: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(check_module, "MIN_VERSION", (99, 0))
        assert findings(look(REDIS_URL=valkey.url))["redis version"][0] == "FAIL"

    def test_a_clock_that_differs_is_named(
        self, valkey: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(check_module, "MAX_CLOCK_SKEW", timedelta(seconds=-1))
        assert findings(look(REDIS_URL=valkey.url))["redis clock"][0] == "warn"

    def test_a_queue_of_its_own_need_not_be_durable(self, valkey: Store) -> None:
        with store(valkey_server()) as queue:
            found = findings(look(REDIS_URL=valkey.url, QUEUE_REDIS_URL=queue.url))
        assert found["queue redis"] == ("ok", "answers")
        assert "queue redis persistence" not in found

    def test_a_queue_that_is_away_is_named(self, valkey: Store, tmp_path: Path) -> None:
        found = findings(look(REDIS_URL=valkey.url, QUEUE_REDIS_URL=f"unix://{tmp_path}/nobody"))
        assert (found["redis"][0], found["queue redis"][0]) == ("ok", "FAIL")

    @pytest.fixture
    def url_of(self, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
        """The URL of a user with these rules (redis.io: ACL)."""
        port = free_port()
        with (
            store(valkey_server(), "--port", str(port), durable=True) as server,
            Redis.from_url(server.url) as connection,
        ):

            def url_of(rules: str) -> str:
                connection.execute_command(
                    "ACL", "SETUSER", "operator", "reset", "on", ">hunter2", *rules.split()
                )
                return f"redis://operator:hunter2@127.0.0.1:{port}"

            yield url_of

    @pytest.mark.parametrize(
        ("rules", "told"),
        [
            (
                "~* +@all -eval -evalsha",
                "scripts cannot be run: NOPERM: the user may not run 'eval'",
            ),
            ("~other:* +@all", "scripts cannot be run: NOPERM: the user may not use these keys"),
            ("~* +@all -zadd -time", "NOPERM: the user may not run ZADD, TIME"),
        ],
        ids=["no scripts", "no keys", "no command"],
    )
    def test_a_command_that_the_user_may_not_run_is_named(
        self, url_of: Callable[[str], str], rules: str, told: str
    ) -> None:
        result = look(REDIS_URL=url_of(rules))
        assert findings(result)["redis"] == ("ok", "answers")
        assert findings(result)["redis commands"] == ("FAIL", told)
        assert not [secret for secret in ("operator", "hunter2") if secret in result.output]

    def test_a_server_that_tells_nothing_of_itself_works_all_the_same(
        self, url_of: Callable[[str], str]
    ) -> None:
        result = look(REDIS_URL=url_of("~* &* +@all -info -config"))
        found = findings(result)
        assert (result.exit_code, found["redis"], found["redis commands"]) == (
            0,
            ("ok", "answers"),
            ("ok", "allowed"),
        )
        for what in ("version", "persistence", "eviction"):
            assert found[f"redis {what}"][0] == "warn"
            assert "not allowed" in found[f"redis {what}"][1]

    @pytest.mark.parametrize(
        "of_its_own", [True, False], ids=["Redis of its own", "the same Redis"]
    )
    @pytest.mark.parametrize(
        ("rules", "refused"),
        [
            ("~* +@all -eval", "EVAL"),
            ("~* +@all -blmove -multi", "MULTI, BLMOVE"),
            ("~pl:* ~payment-links:* +@all", "keys that begin with rq:"),
        ],
        ids=["no scripts", "no commands", "no keys"],
    )
    def test_a_queue_whose_user_may_not_do_all_is_named(
        self,
        valkey: Store,
        url_of: Callable[[str], str],
        rules: str,
        refused: str,
        *,
        of_its_own: bool,
    ) -> None:
        url = url_of(rules)
        found = findings(look(REDIS_URL=valkey.url if of_its_own else url, QUEUE_REDIS_URL=url))
        service_may_run_scripts = of_its_own or refused != "EVAL"
        assert found["redis commands"][0] == ("ok" if service_may_run_scripts else "FAIL")
        assert found["queue commands"] == ("FAIL", f"NOPERM: the user may not use {refused}")

    def test_a_user_as_readme_describes_it_may_do_all(self, url_of: Callable[[str], str]) -> None:
        rules = re.search(r"`(~pl:\*[^`]*)`", README.read_text())
        assert rules is not None
        found = findings(look(REDIS_URL=url_of(rules[1])))
        assert (found["redis commands"], found["queue commands"]) == (
            ("ok", "allowed"),
            ("ok", "allowed"),
        )
        assert found["redis persistence"] == ("ok", "append-only file, appendfsync always")

    def test_a_user_who_may_send_no_scripts_is_named(self, url_of: Callable[[str], str]) -> None:
        look(REDIS_URL=url_of("~* +@all"))
        found = findings(look(REDIS_URL=url_of("~* +@all -eval")))
        assert found["redis commands"] == (
            "FAIL",
            "scripts cannot be run: NOPERM: the user may not run 'eval'",
        )

    def test_a_certificate_that_is_not_trusted_is_named(
        self, redis_binary: str, tmp_path: Path
    ) -> None:
        port, _ = free_port(), self_signed(tmp_path)
        pem_file = str(tmp_path / "server.pem")
        options = [
            "--tls-cert-file",
            pem_file,
            "--tls-key-file",
            pem_file,
            "--tls-auth-clients",
            "no",
        ]
        with store(redis_binary, "--tls-port", str(port), *options):
            found = findings(look(REDIS_URL=f"rediss://127.0.0.1:{port}"))
        assert found["redis"] == (
            "FAIL",
            "does not answer: certificate verify failed: self-signed certificate",
        )

    def test_it_tells_no_password(self) -> None:
        result = look(REDIS_URL=f"redis://ann:hunter2@127.0.0.1:{free_port()}")
        assert "hunter2" not in result.output


class TestCheckTokens:
    def test_our_own_are_good(self, valkey: Store) -> None:
        assert findings(look(REDIS_URL=valkey.url))["admin tokens"] == ("ok", "our own, HS256")

    def test_a_provider_s_key_is_good(self, valkey: Store) -> None:
        key = pem(ec.generate_private_key(ec.SECP256R1()))
        found = findings(look(REDIS_URL=valkey.url, ADMIN_JWT_PUBLIC_KEY=key))
        assert found["admin tokens"] == ("ok", "the identity provider's, ES256")

    @pytest.mark.parametrize(
        "key",
        [
            "-----BEGIN PUBLIC KEY-----\nZm9v\n-----END PUBLIC KEY-----\n",
            pem(ec.generate_private_key(ec.SECP384R1())),
        ],
        ids=["garbage", "P-384"],
    )
    def test_a_provider_s_key_that_cannot_be_used_is_named(self, key: str, valkey: Store) -> None:
        verdict, text = findings(look(REDIS_URL=valkey.url, ADMIN_JWT_PUBLIC_KEY=key))[
            "admin tokens"
        ]
        assert verdict == "FAIL"
        assert text.startswith("ADMIN_JWT_PUBLIC_KEY: ")

    def test_a_key_set_is_counted(self, valkey: Store, key_set: tuple[str, list[Any]]) -> None:
        url, keys = key_set
        keys += [
            jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key())
            for _ in range(2)
        ]
        keys.append(
            jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
        )
        found = findings(look(REDIS_URL=valkey.url, ADMIN_JWKS_URL=url))
        assert found["admin tokens"] == ("ok", "the identity provider's, 2 keys")

    def test_a_key_set_without_a_usable_key_is_named(
        self, valkey: Store, key_set: tuple[str, list[Any]]
    ) -> None:
        url, keys = key_set
        weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
        keys.append(jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key()))
        verdict, text = findings(look(REDIS_URL=valkey.url, ADMIN_JWKS_URL=url))["admin tokens"]
        assert verdict == "FAIL"
        assert text.startswith("ADMIN_JWKS_URL: ")

    def test_a_key_set_that_is_away_is_named(self, valkey: Store) -> None:
        url = f"http://127.0.0.1:{free_port()}/keys"
        assert findings(look(REDIS_URL=valkey.url, ADMIN_JWKS_URL=url))["admin tokens"][0] == "FAIL"


class TestCheckWorkers:
    @pytest.fixture
    def client(self, valkey: Store) -> Iterator[Client]:
        client = Client(connect(valkey.url))
        with Redis.from_url(valkey.url) as connection:
            connection.flushall()
        yield client
        client.close()

    def record(self, client: Client, *queues: str, host: str | None = None, age: float = 0) -> None:
        for queue in queues:
            key = keys.heartbeats(f"worker-{queue}")
            now = client.run(heartbeats.record(f"worker-{queue}", "elsewhere:1", skew=timedelta(0)))
            client.run(
                command(int, "HSET", key, f"{host or host_name()}:7", f"{(now - age) * 1000:.0f} 0")
            )

    def probe(self, valkey: Store, *options: str) -> Result:
        return run("check", "--worker", *options, SECRET_KEY=SECRET, REDIS_URL=valkey.url)

    def test_workers_that_are_alive_are_good(self, valkey: Store, client: Client) -> None:
        self.record(client, "links", "otps")
        result = self.probe(valkey)
        assert (result.exit_code, list(findings(result))) == (0, ["worker-links", "worker-otps"])

    def test_one_that_has_stopped_is_not(self, valkey: Store, client: Client) -> None:
        self.record(client, "links", age=25)
        self.record(client, "otps")
        result = self.probe(valkey)
        assert result.exit_code == 1
        assert findings(result)["worker-links"][0] == "FAIL"
        assert findings(result)["worker-links"][1].startswith("last alive 25.")

    def test_those_of_other_machines_do_not_count(self, valkey: Store, client: Client) -> None:
        self.record(client, "links", "otps", host="elsewhere")
        assert self.probe(valkey).exit_code == 1

    def test_a_worker_for_one_queue_is_asked_for_alone(self, valkey: Store, client: Client) -> None:
        self.record(client, "otps")
        assert self.probe(valkey).exit_code == 1
        assert self.probe(valkey, "--queue", "otps").exit_code == 0

    def test_while_redis_is_away_no_worker_is_blamed(self) -> None:
        url = f"redis://operator:hunter2@127.0.0.1:{free_port()}"
        result = run("check", "--worker", SECRET_KEY=SECRET, REDIS_URL=url)
        assert (result.exit_code, findings(result)["redis"][0]) == (0, "warn")
        assert "hunter2" not in result.output

    def test_wrong_settings_are_told(self) -> None:
        assert run("check", "--worker").exit_code == 1


class TestCheckDisk:
    @pytest.fixture(params=[(0.04, 10_000), (0.5, 255)], ids=["less than 5 %", "less than 256 MB"])
    def full(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        share, free = request.param
        usage = SimpleNamespace(total=int(free * 2**20 / share), free=free * 2**20)
        monkeypatch.setattr(
            "service.process.disk.shutil",
            SimpleNamespace(disk_usage=lambda _: (usage.total, 0, usage.free)),
        )

    @pytest.mark.usefixtures("full")
    def test_a_disk_that_is_almost_full_is_named(self, valkey: Store, tmp_path: Path) -> None:
        verdict, text = findings(look(REDIS_URL=valkey.url))["disk"]
        assert (verdict, str(tmp_path) in text) == ("warn", True)

    @pytest.mark.usefixtures("full")
    @pytest.mark.parametrize("name", ["data", "my data %"])
    def test_that_of_the_embedded_store_is_looked_at(
        self, tmp_path: Path, mail_server: MailServer, name: str
    ) -> None:
        data_dir = tmp_path / name
        data_dir.mkdir()
        load_or_create_secret(data_dir)
        assert (
            findings(
                look(
                    SECRET_KEY="",
                    DATA_DIR=str(data_dir),
                    SMTP_URL=mail_server.url,
                    MAIL_FROM="pay@shop.example",
                )
            )["disk"][0]
            == "warn"
        )

    def test_one_with_room_is_good(self, valkey: Store) -> None:
        assert findings(look(REDIS_URL=valkey.url))["disk"][0] == "ok"

    def test_none_is_looked_at_where_nothing_is_written(
        self, valkey: Store, mail_server: MailServer
    ) -> None:
        assert "disk" not in findings(
            look(REDIS_URL=valkey.url, SMTP_URL=mail_server.url, MAIL_FROM="pay@shop.example")
        )


class TestCheckMail:
    def test_files_instead_of_mails_are_named(self, valkey: Store, tmp_path: Path) -> None:
        verdict, text = findings(look(REDIS_URL=valkey.url))["mail"]
        assert verdict == "warn"
        assert str(tmp_path / "outbox") in text

    def test_a_server_without_tls_is_named(self, valkey: Store, mail_server: MailServer) -> None:
        found = findings(
            look(REDIS_URL=valkey.url, SMTP_URL=mail_server.url, MAIL_FROM="pay@shop.example")
        )
        assert found["mail"] == ("warn", f"127.0.0.1:{mail_server.port} lets us in, without TLS")

    def test_a_server_that_would_have_the_password_without_tls_is_named(
        self, valkey: Store, mail_server: MailServer
    ) -> None:
        url = f"smtp://ann:hunter2@127.0.0.1:{mail_server.port}"
        result = look(REDIS_URL=valkey.url, SMTP_URL=url, MAIL_FROM="pay@shop.example")
        assert findings(result)["mail"][0] == "FAIL"
        assert "STARTTLS" in findings(result)["mail"][1]
        assert "hunter2" not in result.output

    def test_a_server_that_is_away_is_named(self, valkey: Store) -> None:
        port = free_port()
        found = findings(
            look(
                REDIS_URL=valkey.url,
                SMTP_URL=f"smtp://127.0.0.1:{port}",
                MAIL_FROM="pay@shop.example",
            )
        )
        assert found["mail"][0] == "FAIL"
        assert found["mail"][1].startswith(f"127.0.0.1:{port} does not let us in")

    def test_a_server_that_cannot_be_is_named(self, valkey: Store) -> None:
        found = findings(
            look(
                REDIS_URL=valkey.url, SMTP_URL="smtp://mail..example", MAIL_FROM="pay@shop.example"
            )
        )
        assert "FAIL" in {verdict for verdict, _ in found.values()}
