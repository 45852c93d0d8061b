"""``payment-links check`` names what is wrong with settings, keys, the mail server and the disk."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from service.process.data_dir import load_or_create_secret
from tests.support.cli_runner import pem, results_of, run_check
from tests.support.key_server import KeyServer, served
from tests.support.servers import MailServer, RedisServer, free_port


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
    def test_wrong_settings_are_the_only_result(self, environ: dict[str, str], line: str) -> None:
        results = results_of(run_check(**environ))
        assert list(results) == ["settings"]
        assert results["settings"][0] == "FAIL"
        assert results["settings"][1].startswith(line)

    def test_complete_settings_are_ok(self, valkey: RedisServer) -> None:
        assert results_of(run_check(REDIS_URL=valkey.url))["settings"] == ("ok", "complete")

    def test_the_embedded_store_is_checked(self, tmp_path: Path) -> None:
        load_or_create_secret(tmp_path)
        results = results_of(run_check(SECRET_KEY=""))
        assert results["settings"] == ("ok", "complete")
        assert results["redis"][0] == "FAIL"


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    with served(KeyServer()) as server:
        yield server


class TestCheckTokens:
    def test_our_own_key_is_ok(self, valkey: RedisServer) -> None:
        assert results_of(run_check(REDIS_URL=valkey.url))["admin tokens"] == (
            "ok",
            "our own, HS256",
        )

    def test_a_public_key_is_ok(self, valkey: RedisServer) -> None:
        key = pem(ec.generate_private_key(ec.SECP256R1()))
        results = results_of(run_check(REDIS_URL=valkey.url, ADMIN_JWT_PUBLIC_KEY=key))
        assert results["admin tokens"] == ("ok", "the identity provider's, ES256")

    @pytest.mark.parametrize(
        "key",
        [
            "-----BEGIN PUBLIC KEY-----\nZm9v\n-----END PUBLIC KEY-----\n",
            pem(ec.generate_private_key(ec.SECP384R1())),
        ],
        ids=["garbage", "P-384"],
    )
    def test_an_unusable_public_key_fails(self, key: str, valkey: RedisServer) -> None:
        status, detail = results_of(run_check(REDIS_URL=valkey.url, ADMIN_JWT_PUBLIC_KEY=key))[
            "admin tokens"
        ]
        assert status == "FAIL"
        assert detail.startswith("ADMIN_JWT_PUBLIC_KEY: ")

    def test_usable_keys_of_a_key_set_are_counted(
        self, valkey: RedisServer, key_server: KeyServer
    ) -> None:
        key_server.add("ES256", "first")
        key_server.add("EdDSA", "second")
        unusable = ec.generate_private_key(ec.SECP384R1()).public_key()
        key_server.keys.append(jwt.algorithms.ECAlgorithm.to_jwk(unusable, as_dict=True))
        results = results_of(run_check(REDIS_URL=valkey.url, ADMIN_JWKS_URL=key_server.url))
        assert results["admin tokens"] == ("ok", "the identity provider's, 2 keys")

    def test_a_key_set_without_a_usable_key_fails(
        self, valkey: RedisServer, key_server: KeyServer
    ) -> None:
        weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
        key_server.keys.append(jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True))
        result = run_check(REDIS_URL=valkey.url, ADMIN_JWKS_URL=key_server.url)
        status, detail = results_of(result)["admin tokens"]
        assert status == "FAIL"
        assert detail.startswith("ADMIN_JWKS_URL: ")

    def test_an_unavailable_key_set_fails(self, valkey: RedisServer) -> None:
        url = f"http://127.0.0.1:{free_port()}/keys"
        assert (
            results_of(run_check(REDIS_URL=valkey.url, ADMIN_JWKS_URL=url))["admin tokens"][0]
            == "FAIL"
        )


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
    def test_an_almost_full_disk_is_a_warning(self, valkey: RedisServer, tmp_path: Path) -> None:
        status, detail = results_of(run_check(REDIS_URL=valkey.url))["disk"]
        assert (status, str(tmp_path) in detail) == ("warn", True)

    @pytest.mark.usefixtures("full")
    @pytest.mark.parametrize("name", ["data", "my data %"])
    def test_the_disk_of_the_embedded_store_is_checked(
        self, tmp_path: Path, mail_server: MailServer, name: str
    ) -> None:
        data_dir = tmp_path / name
        data_dir.mkdir()
        load_or_create_secret(data_dir)
        assert (
            results_of(
                run_check(
                    SECRET_KEY="",
                    DATA_DIR=str(data_dir),
                    SMTP_URL=mail_server.url,
                    MAIL_FROM="pay@shop.example",
                )
            )["disk"][0]
            == "warn"
        )

    def test_a_disk_with_room_is_ok(self, valkey: RedisServer) -> None:
        assert results_of(run_check(REDIS_URL=valkey.url))["disk"][0] == "ok"

    def test_no_disk_is_checked_where_nothing_is_written(
        self, valkey: RedisServer, mail_server: MailServer
    ) -> None:
        assert "disk" not in results_of(
            run_check(REDIS_URL=valkey.url, SMTP_URL=mail_server.url, MAIL_FROM="pay@shop.example")
        )
