"""What an SMTP server receives is the e-mail, and nothing else."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from service.orgs.model import Profile
from tasks.mail.files import FileSession
from tasks.mail.mailer import Unsendable
from tasks.mail_kinds.link_mails import compose_link_mail
from tests.support.delivery_harness import SENDER, received
from tests.support.factories import make_link
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import MailServer
from tests.support.smtp_setup import (
    CountingServer,
    blocking_session,
    lease_is_held,
    mail_to,
)
from tests.tasks.mail.test_headers import INJECTIONS

HEADERS = [
    *(b"Content-Type:", b"MIME-Version:"),
    *(b"From:", b"To:", b"Subject:", b"Date:", b"Message-ID:"),
    *(b"Auto-Submitted:", b"X-Auto-Response-Suppress:"),
    *(b"X-Payment-Links-Kind:", b"Content-Language:"),
]
"""The header of every mail, in this order."""


class TestPlain:
    def test_a_mail_arrives_as_it_was_sent(self, mail_server: MailServer) -> None:
        sent = mail_to()
        with blocking_session(mail_server) as session:
            session.send(sent)
        message, [arrived] = received(sent), mail_server.mailbox.messages
        assert {name: str(arrived[name]) for name in ("From", "To", "Subject", "Message-ID")} == {
            name: str(message[name]) for name in ("From", "To", "Subject", "Message-ID")
        }
        assert arrived.get_content().split() == ["Hello"]

    def test_its_envelope_has_bare_addresses(self, mail_server: MailServer) -> None:
        with blocking_session(mail_server) as session:
            session.send(mail_to())
        [envelope] = mail_server.mailbox.envelopes
        assert (envelope.mail_from, envelope.rcpt_tos) == ("pay@shop.example", ["jane@example.com"])

    def test_lines_that_begin_with_a_dot_arrive_whole(self, mail_server: MailServer) -> None:
        with blocking_session(mail_server) as session:
            session.send(mail_to(text=".\n..\n.hidden\nlast\n"))
        assert mail_server.mailbox.messages[0].get_content().splitlines() == [
            ".",
            "..",
            ".hidden",
            "last",
        ]

    def test_many_mails_take_one_session(self) -> None:
        with CountingServer() as server:
            with blocking_session(server) as session:
                for number in range(20):
                    session.send(mail_to(f"jane+{number}@example.com"))
            assert len(server.mailbox.messages) == 20
            assert server.connections == 1

    def test_no_mail_takes_no_session(self) -> None:
        with CountingServer() as server:
            with blocking_session(server):
                pass
            assert server.connections == 0

    def test_a_session_ends_with_quit(self) -> None:
        with ScriptedServer() as server:
            with blocking_session(server) as session:
                session.send(mail_to())
            assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"]

    @pytest.mark.parametrize("limit", ["SIZE 1000000", "SIZE 0", "SIZE"])
    def test_the_size_is_declared_where_the_server_asks_for_it(self, limit: str) -> None:
        mail = mail_to()
        with (
            ScriptedServer(EHLO=f"250-here\r\n250 {limit}") as server,
            blocking_session(server) as session,
        ):
            session.send(mail)
            assert server.commands[1] == f"MAIL FROM:<pay@shop.example> SIZE={len(mail.content)}"

    def test_a_mail_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        with (
            ScriptedServer(EHLO="250-here\r\n250 SIZE 500") as server,
            blocking_session(server) as session,
        ):
            with pytest.raises(Unsendable, match="takes"):
                session.send(mail_to(text="x" * 500))
            assert server.verbs() == ["EHLO"]
            session.send(mail_to())
            assert server.connections == 1

    def test_servers_learn_our_name(self) -> None:
        with (
            ScriptedServer() as server,
            blocking_session(server, helo="links.shop.example") as session,
        ):
            session.open()
            assert server.commands == ["EHLO links.shop.example"]

    @pytest.mark.parametrize("use_tls", [True, False])
    def test_a_server_that_knows_only_helo_gets_mails(self, use_tls: bool) -> None:
        with (
            ScriptedServer(EHLO="502 what?") as server,
            blocking_session(server, use_tls=use_tls) as session,
        ):
            session.send(mail_to())
            assert server.verbs() == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "."]


BARE_HEADS = {
    "LF": b"To: jane@example.com\nBcc: evil@example.com\r\n\r\nHello\r\n",
    "two LF": b"To: jane@example.com\r\nSubject: x\n\nHello\r\n",
    "CR": b"To: jane@example.com\rBcc: evil@example.com\r\n\r\nHello\r\n",
    "CR at the end": b"To: jane@example.com\r\r\n\r\nHello\r\n",
    "NUL": b"To: jane@example.com\0\r\n\r\nHello\r\n",
}
NO_ADDRESSES = [
    "jane@example.com> SIZE=1\r\nRCPT TO:<evil@example.com",
    "jane@example.com>\nRCPT TO:<evil@example.com",
    "jane@example.com, evil@example.com",
    "jane@example.com\0",
    "jane doe@example.com",
    "=?utf-8?q?jane?=@example.com",
    "jürgen@example.com",
    "jane@exämple.com",
]


class TestOnTheWire:
    """The bytes that a server receives."""

    @pytest.mark.parametrize(
        ("body", "heard"),
        [
            pytest.param(
                b".\r\n..\r\n.hidden\r\n", [b"..\r\n", b"...\r\n", b"..hidden\r\n"], id="CRLF"
            ),
            pytest.param(
                b"a\n.\nRCPT TO:<e@x>\n", [b"a\r\n", b"..\r\n", b"RCPT TO:<e@x>\r\n"], id="LF"
            ),
            pytest.param(b"a\r.\rb\r\n", [b"a\r\n", b"..\r\n", b"b\r\n"], id="CR"),
            pytest.param(b"a\n.\r\nb", [b"a\r\n", b"..\r\n", b"b\r\n"], id="mixed, without an end"),
        ],
    )
    def test_a_dot_is_doubled_after_every_line_end_and_each_is_crlf(
        self, body: bytes, heard: list[bytes]
    ) -> None:
        with ScriptedServer() as server, blocking_session(server) as session:
            session.send(msgspec.structs.replace(mail_to(), content=b"Subject: x\r\n\r\n" + body))
            assert server.content == [b"Subject: x\r\n", b"\r\n", *heard]

    def test_a_dot_is_doubled_in_the_very_first_line(self) -> None:
        with ScriptedServer() as server, blocking_session(server) as session:
            session.send(msgspec.structs.replace(mail_to(), content=b".\r\n\r\nHello\r\n"))
            assert server.content == [b"..\r\n", b"\r\n", b"Hello\r\n"]

    @pytest.mark.parametrize("content", BARE_HEADS.values(), ids=BARE_HEADS)
    def test_a_head_with_a_bare_line_end_or_nul_is_never_sent(
        self, content: bytes, tmp_path: Path
    ) -> None:
        mail = msgspec.structs.replace(mail_to(), content=content)
        with ScriptedServer() as server, blocking_session(server) as session:
            with pytest.raises(Unsendable, match="its head holds a bare CR, LF or NUL"):
                session.send(mail)
            assert not {"MAIL", "DATA"} & set(server.verbs())
        with pytest.raises(Unsendable, match="its head holds a bare CR, LF or NUL"):
            asyncio.run(FileSession(tmp_path).send(mail, lease_is_held))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("field", ["sender", "recipient"])
    @pytest.mark.parametrize("address", NO_ADDRESSES)
    def test_an_envelope_with_more_than_an_address_is_never_sent(
        self, field: str, address: str
    ) -> None:
        with ScriptedServer() as server, blocking_session(server) as session:
            with pytest.raises(Unsendable, match="sender or recipient is not one address"):
                session.send(msgspec.structs.replace(mail_to(), **{field: address}))
            assert not {"MAIL", "RCPT", "DATA"} & set(server.verbs())

    @pytest.mark.parametrize("kind", sorted(INJECTIONS.keys() - {"surrogate"}))
    def test_an_organization_s_name_brings_no_header_and_no_body(self, kind: str) -> None:
        """The API rejects such a name, but a stored profile may contain it."""
        name = INJECTIONS[kind]
        link = make_link(datetime.now(UTC))
        profile, url = Profile(display_name=name, reply_to=name), "https://pay.example/pay/x"
        with ScriptedServer() as server, blocking_session(server) as session:
            session.send(
                compose_link_mail(
                    link, profile=profile, url=url, sender=SENDER, now=datetime.now(UTC)
                )
            )
            head = b"".join(server.content).partition(b"\r\n\r\n")[0]
            assert re.findall(rb"^[^ \r\n]*:", head, re.MULTILINE) == HEADERS
            assert re.fullmatch(rb"([^\r\n\0]+\r\n)*[^\r\n\0]+", head)
            assert server.commands[1:4] == [
                "MAIL FROM:<bounces@shop.example>",
                "RCPT TO:<jane@example.com>",
                "DATA",
            ]
