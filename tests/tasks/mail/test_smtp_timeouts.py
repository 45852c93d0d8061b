"""Servers that are down, or slow, and sessions that are dropped."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from tasks.mail.mailer import (
    Deferred,
    MailerUnavailable,
    Refused,
    SessionEnded,
    Unconfirmed,
)
from tasks.mail.smtp import SmtpSession
from tests.support.scripted_smtp import Conversation, Reply, ScriptedServer, refused_address
from tests.support.servers import free_port, unreachable
from tests.support.smtp_setup import (
    SHORT_TIMEOUT,
    CountingServer,
    blocking_session,
    lease_is_held,
    mail_to,
    session_with,
)
from tests.support.tls import Tls

STEP_TIMEOUT = SHORT_TIMEOUT / 5


@contextmanager
def takes(*, at_least: float = 0, at_most: float) -> Iterator[None]:
    """Seconds."""
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began <= at_most


class TestUnavailable:
    def test_a_closed_port(self) -> None:
        with (
            blocking_session(refused_address()) as session,
            pytest.raises(MailerUnavailable, match="ConnectionRefusedError"),
        ):
            session.send(mail_to())

    @pytest.mark.parametrize("host", ["mail.invalid", "mail..example"])
    def test_no_such_host(self, host: str) -> None:
        with blocking_session((host, 25)) as session, pytest.raises(MailerUnavailable):
            session.send(mail_to())

    @pytest.mark.parametrize(
        "greeting",
        ["554 no mail here", "421 too busy", None, "nonsense"],
        ids=["554", "421", "hangs up", "words"],
    )
    def test_a_server_that_does_not_greet(self, greeting: str | None) -> None:
        with ScriptedServer(greeting=greeting) as server, blocking_session(server) as session:
            with pytest.raises(MailerUnavailable, match=greeting) as error:
                session.send(mail_to())
            assert not re.search("-1|None", str(error.value))
            assert not session.is_open

    @pytest.mark.parametrize(
        "reply", ["550 not you", "421 too busy", None], ids=["550", "421", "hangs up"]
    )
    @pytest.mark.parametrize("use_tls", [True, False])
    def test_a_server_that_does_not_want_to_know_us(self, reply: str | None, use_tls: bool) -> None:
        with (
            ScriptedServer(EHLO=reply, HELO=reply) as server,
            blocking_session(server, use_tls=use_tls) as session,
        ):
            with pytest.raises(MailerUnavailable, match=reply):
                session.send(mail_to())
            assert not session.is_open

    def test_the_next_mail_tries_again(self) -> None:
        with ScriptedServer(greeting="421 too busy") as server, blocking_session(server) as session:
            with pytest.raises(MailerUnavailable):
                session.send(mail_to())
            server.replies["greeting"] = "220 ready"
            session.send(mail_to())

    def test_a_server_that_went_away_ends_the_session(self) -> None:
        port = free_port()
        server = CountingServer()
        server.port = port
        with blocking_session(("127.0.0.1", port)) as session:
            with server:
                session.send(mail_to())
            with pytest.raises(SessionEnded):
                session.send(mail_to())
            with pytest.raises(MailerUnavailable, match="ConnectionRefusedError"):
                session.send(mail_to())


class TestAddresses:
    """A host that has several."""

    @pytest.fixture
    def set_addresses(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Sets those of mail.example."""
        look_up = socket.getaddrinfo

        def set_them(*addresses: tuple[str, int]) -> None:
            found = [look_up(*address, type=socket.SOCK_STREAM)[0] for address in addresses]
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda host, *a, **k: found if host == "mail.example" else look_up(host, *a, **k),
            )

        return set_them

    def test_one_that_is_silent_does_not_hold_up_the_next(
        self, set_addresses: Callable[..., None]
    ) -> None:
        silent = free_port()
        with (
            ScriptedServer() as server,
            unreachable(silent),
            blocking_session(("mail.example", 25)) as session,
        ):
            set_addresses(("127.0.0.1", silent), server.address)
            with takes(at_most=2):
                session.send(mail_to())

    def test_an_ipv6_address_where_nobody_listens(self, set_addresses: Callable[..., None]) -> None:
        with ScriptedServer() as server, blocking_session(("mail.example", 25)) as session:
            set_addresses(("::1", free_port()), server.address)
            session.send(mail_to())

    def test_ipv6(self) -> None:
        with ScriptedServer(None, "::1") as server, blocking_session(server) as session:
            session.send(mail_to())

    def test_they_share_the_time_of_one_session(self, set_addresses: Callable[..., None]) -> None:
        silent = free_port()
        with (
            unreachable(silent),
            blocking_session(("mail.example", 25), timeout=SHORT_TIMEOUT) as session,
        ):
            set_addresses(*[("127.0.0.1", silent)] * 3)
            with (
                takes(at_most=4 * STEP_TIMEOUT),
                pytest.raises(MailerUnavailable, match=r"^TimeoutError$"),
            ):
                session.send(mail_to())


@pytest.mark.usefixtures("quits_soon")
class TestTimeouts:
    @pytest.mark.parametrize("verb", ["greeting", "EHLO"])
    def test_a_server_that_does_not_begin_is_given_up(self, verb: str) -> None:
        with ScriptedServer() as server:
            server.replies[verb] = server.never
            with (
                blocking_session(server, timeout=SHORT_TIMEOUT) as session,
                takes(at_least=STEP_TIMEOUT, at_most=1.5),
                pytest.raises(MailerUnavailable, match=r"(?i)timed? ?out"),
            ):
                session.send(mail_to())

    @pytest.mark.parametrize(
        ("verb", "error"),
        [("MAIL", MailerUnavailable), ("RCPT", Deferred), ("DATA", Deferred), (".", Unconfirmed)],
        ids=["sender", "recipient", "content", "final dot"],
    )
    def test_a_server_that_hangs_is_given_up(self, verb: str, error: type[Exception]) -> None:
        with ScriptedServer() as server:
            server.replies[verb] = server.never
            with blocking_session(server, timeout=SHORT_TIMEOUT) as session:
                with takes(at_least=STEP_TIMEOUT, at_most=4), pytest.raises(error) as delay:
                    session.send(mail_to())
                assert type(delay.value) is error
                assert not session.is_open

    def test_the_reply_to_the_final_dot_may_take_longest(self) -> None:
        with ScriptedServer() as server:
            server.replies["."] = server.after(2 * STEP_TIMEOUT)
            with blocking_session(server, timeout=SHORT_TIMEOUT) as session:
                session.send(mail_to())

    def test_each_step_has_time_of_its_own(self) -> None:
        with ScriptedServer() as server:
            for verb in ("greeting", "MAIL", "RCPT"):
                code = "220 at last" if verb == "greeting" else "250 at last"
                server.replies[verb] = server.after(0.5 * STEP_TIMEOUT, code)
            with (
                blocking_session(server, timeout=SHORT_TIMEOUT) as session,
                takes(at_least=STEP_TIMEOUT, at_most=4),
            ):
                session.send(mail_to())

    @pytest.mark.parametrize(
        ("verb", "error"), [("RCPT", Deferred), (".", Unconfirmed)], ids=["recipient", "final dot"]
    )
    def test_a_reply_that_trickles_in_is_given_up(self, verb: str, error: type[Exception]) -> None:
        """Every line comes in time, but the reply never ends."""
        with ScriptedServer() as server:
            server.replies[verb] = server.trickling(60, every=0.1)
            with (
                blocking_session(server, timeout=SHORT_TIMEOUT) as session,
                takes(at_most=4),
                pytest.raises(error),
            ):
                session.send(mail_to())

    @pytest.mark.parametrize("verb", ["greeting", "EHLO", "QUIT"])
    def test_a_session_that_trickles_is_left(self, verb: str) -> None:
        with ScriptedServer() as server:
            server.replies[verb] = server.trickling(60, every=0.1)
            with (
                takes(at_most=4),
                suppress(MailerUnavailable),
                blocking_session(server, timeout=SHORT_TIMEOUT) as session,
            ):
                session.open()

    def test_a_refusal_stands_though_the_server_trickles_afterwards(self) -> None:
        with ScriptedServer() as server:
            server.replies |= {"RCPT": "550 no such user", "RSET": server.trickling(60, every=0.1)}
            with takes(at_most=4), blocking_session(server, timeout=SHORT_TIMEOUT) as session:
                with pytest.raises(Refused):
                    session.send(mail_to())
                with pytest.raises(SessionEnded):
                    session.send(mail_to())
                assert not session.is_open

    def test_a_server_that_does_not_say_goodbye_is_left(self) -> None:
        with ScriptedServer() as server:
            server.replies["QUIT"] = server.never
            with takes(at_most=2), blocking_session(server) as session:
                session.send(mail_to())

    def test_a_session_that_hangs_while_it_is_idle_is_opened_again(self) -> None:
        with ScriptedServer() as server:
            server.replies["NOOP"] = server.never
            with blocking_session(server, timeout=SHORT_TIMEOUT) as session:
                session.open()
                session.keep_open()
                assert session.is_open
                assert server.connections == 2


class Tarpit(ScriptedServer):
    """Never replies to ``verb``, after TLS if it has a certificate.

    Once it is to ``look``, it notices that the client has hung up.
    """

    def __init__(self, verb: str, tls: Tls | None) -> None:
        offer = "250-here\r\n250 STARTTLS" if tls else "250 here"
        super().__init__(tls.server if tls else None, EHLO=offer)
        self.verb = verb
        self.is_reached, self.look, self.is_left = (threading.Event() for _ in range(3))

    def reply_to(self, verb: str, conversation: Conversation) -> Reply:
        is_secure = self.tls is None or "STARTTLS" in self.commands
        return (
            partial(self.wait, conversation)
            if verb == self.verb and is_secure
            else super().reply_to(verb, conversation)
        )

    def wait(self, conversation: Conversation) -> None:
        self.is_reached.set()
        self.look.wait(10)
        try:
            conversation.rfile.read()
        finally:
            self.is_left.set()


async def begin(session: SmtpSession, server: Tarpit) -> "asyncio.Task[None]":
    """Sends an e-mail until the server hangs."""

    async def send() -> None:
        await session.open()
        await session.send(mail_to(), lease_is_held)

    task = asyncio.create_task(send())
    assert await asyncio.to_thread(server.is_reached.wait, 10)
    return task


async def is_left(server: Tarpit) -> bool:
    server.look.set()
    return await asyncio.to_thread(server.is_left.wait, 10)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
class TestDropping:
    """It takes no time, whatever the server is doing."""

    @pytest.fixture
    def tls_if_any(self, encrypted: bool, tls: Tls) -> Tls | None:
        return tls if encrypted else None

    @pytest.mark.parametrize(
        ("verb", "error"),
        [
            ("EHLO", MailerUnavailable),
            ("MAIL", MailerUnavailable),
            ("RCPT", Deferred),
            ("DATA", Deferred),
            (".", Unconfirmed),
        ],
    )
    def test_what_is_under_way_when_a_session_is_aborted_fails(
        self, verb: str, error: type[Exception], tls_if_any: Tls | None
    ) -> None:
        async def abort(server: Tarpit) -> None:
            session = session_with(server, **({"tls": tls_if_any.client} if tls_if_any else {}))
            sending = await begin(session, server)
            session.abort()
            async with asyncio.timeout(2):
                with pytest.raises(error) as failure:
                    await sending
            assert type(failure.value) is error
            assert not session.is_open
            assert await is_left(server)

        with Tarpit(verb, tls_if_any) as server:
            asyncio.run(abort(server))

    @pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA", "."])
    def test_a_session_whose_task_is_cancelled_is_closed(
        self, verb: str, tls_if_any: Tls | None
    ) -> None:
        async def cancel(server: Tarpit) -> None:
            session = session_with(server, **({"tls": tls_if_any.client} if tls_if_any else {}))
            sending = await begin(session, server)
            sending.cancel()
            async with asyncio.timeout(2):
                with pytest.raises(asyncio.CancelledError):
                    await sending
            assert not session.is_open
            assert await is_left(server)

        with Tarpit(verb, tls_if_any) as server:
            asyncio.run(cancel(server))
