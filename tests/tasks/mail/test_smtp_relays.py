"""From settings to a mail server: its address, its certificate, our name, and how we log in."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from config.settings import load
from tasks.mail.mailer import MailerUnavailable
from tasks.runtime import smtp_session_factory
from tests.support.relay import Kind, Login, Relay
from tests.support.servers import unreachable
from tests.support.smtp_setup import mail_to
from tests.support.tls import Tls

PASSWORDS = {"ASCII": ("ann", "pass word+1"), "not ASCII": ("änn", "pässwörd ✓")}


def send(smtp_url: str, **settings: str) -> None:
    """Sends a mail in a session of its own, as a worker with these settings does."""
    loaded = load(
        {
            "SECRET_KEY": "s" * 32,
            "REDIS_URL": "redis://localhost",
            "PUBLIC_URL": "https://pay.example.com",
            "MAIL_FROM": "pay@shop.example",
            "SMTP_URL": smtp_url,
            **settings,
        },
        listens=False,
    )
    assert loaded.smtp is not None
    session = smtp_session_factory(loaded, loaded.smtp)()

    async def run() -> None:
        await session.open()
        await session.send(mail_to(), lease_is_held)
        await session.close()

    asyncio.run(run())


async def lease_is_held() -> None:
    pass


def with_login(relay: Relay, user: str, password: str) -> str:
    return relay.url(f"{quote(user, safe='')}:{quote(password, safe='')}")


class TestLogins:
    @pytest.mark.parametrize(("user", "password"), PASSWORDS.values(), ids=PASSWORDS)
    @pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN", "CRAM-MD5"])
    def test_each_mechanism_alone_is_enough(self, mechanism: str, user: str, password: str) -> None:
        with Relay(Kind(login=Login(mechanism, user, password))) as relay:
            send(with_login(relay, user, password))
            assert len(relay.receipts) == 1

    @pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN", "CRAM-MD5"])
    def test_a_wrong_password_is_our_fault(self, mechanism: str) -> None:
        with Relay(Kind(login=Login(mechanism, "ann", "right"))) as relay:
            with pytest.raises(MailerUnavailable, match=r"535 5\.7\.8"):
                send(with_login(relay, "ann", "wrong"))
            assert relay.receipts == []

    def test_a_token_is_read_from_its_file_at_each_login(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        url_query = f"?token_file={file}"
        with Relay() as relay:
            for token in ("first", "second"):
                relay.become(Kind(login=Login("XOAUTH2", "ann", token)))
                file.write_text(f"{token}\n")
                send(relay.url("ann", url_query))
                assert len(relay.receipts) == 1

    def test_a_token_that_has_expired_is_our_fault_and_not_told(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("an-old-token")
        with Relay(Kind(login=Login("XOAUTH2", "ann", "a-new-token"))) as relay:
            with pytest.raises(MailerUnavailable, match=r"535 5\.7\.8") as refusal:
                send(relay.url("ann", f"?token_file={tmp_path / 'token'}"))
            assert "an-old-token" not in str(refusal.value)

    def test_a_token_file_that_is_missing_is_our_fault(self, tmp_path: Path) -> None:
        with (
            Relay(Kind(login=Login("XOAUTH2", "ann", "token"))) as relay,
            pytest.raises(MailerUnavailable),
        ):
            send(relay.url("ann", f"?token_file={tmp_path / 'absent'}"))

    def test_a_relay_on_this_machine_needs_neither_tls_nor_a_login(self) -> None:
        with Relay() as relay:
            send(relay.url())
            assert len(relay.receipts) == 1


class TestAddresses:
    @pytest.fixture(autouse=True)
    def has_ipv6(self) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")

    def test_ipv6(self) -> None:
        with Relay(host="::1") as relay:
            send(relay.url())
            assert len(relay.receipts) == 1

    @pytest.fixture
    def two_addresses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``mail.example`` is on this machine, by IPv6 and IPv4."""

        def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            assert host in {"mail.example", b"mail.example"}
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    @pytest.mark.usefixtures("two_addresses")
    @pytest.mark.parametrize("silent", [False, True], ids=["refuses", "is silent"])
    def test_an_ipv6_address_that_is_dead_beside_an_ipv4_address_that_lives(
        self, silent: bool
    ) -> None:
        with Relay() as relay:
            port = relay.address[1]
            with unreachable(port, "::1") if silent else nullcontext():
                send(f"smtp://mail.example:{port}", SMTP_TIMEOUT="10s")
            assert len(relay.receipts) == 1


class TestNames:
    def test_the_server_is_told_the_host_of_public_url(self) -> None:
        with Relay() as relay:
            send(relay.url())
            assert relay.helo_names == {"pay.example.com"}

    @pytest.mark.parametrize("name", ["mx.shop.example", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
    def test_or_the_name_in_settings(self, name: str) -> None:
        with Relay() as relay:
            send(relay.url(), SMTP_HELO=name)
            assert relay.helo_names == {name}


class TestCertificates:
    @pytest.fixture
    def relay(self, tls: Tls) -> Iterator[Relay]:
        with Relay(tls=tls.server) as relay:
            yield relay

    def test_an_authority_of_our_own_is_trusted(self, relay: Relay, tls: Tls) -> None:
        send(relay.url(), SMTP_CA_FILE=str(tls.certificate))
        assert len(relay.receipts) == 1
        assert "STARTTLS" in relay.verbs()

    def test_an_unknown_authority_is_our_fault(self, relay: Relay) -> None:
        with pytest.raises(MailerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            send(relay.url())
        assert relay.receipts == []

    def test_without_tls_its_certificate_does_not_matter(self, relay: Relay) -> None:
        send(relay.url(query="?tls=off"))
        assert len(relay.receipts) == 1
        assert "STARTTLS" not in relay.verbs()
