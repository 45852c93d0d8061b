"""What an SMTP server receives is the e-mail, and nothing else."""

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from service.orgs.model import Profile
from tasks.mail.files import FileMailer
from tasks.mail.mailer import (
    Refused,
)
from tasks.mail_kinds.link_mails import compose_link_mail
from tests.support.delivery_harness import received
from tests.support.factories import make_link
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import MailServer
from tests.support.smtp_setup import (
    CountingServer,
    mail_to,
    mailer_for,
)
from tests.tasks.mail.test_headers import INJECTIONS

HEADERS = [
    *(b"From:", b"To:", b"Subject:", b"Date:", b"Message-ID:"),
    *(
        b"Auto-Submitted:",
        b"X-Payment-Links-Kind:",
        b"Content-Language:",
        b"MIME-Version:",
        b"Content-Type:",
    ),
]
"""The header of every mail, in this order."""


@pytest.mark.usefixtures("pipelined")
class TestPlain:
    def test_a_mail_arrives_as_it_was_sent(self, mail_server: MailServer) -> None:
        sent = mail_to()
        with mailer_for(mail_server) as mailer:
            mailer.send(sent)
        message, [arrived] = received(sent), mail_server.mailbox.messages
        assert {name: str(arrived[name]) for name in ("From", "To", "Subject", "Message-ID")} == {
            name: str(message[name]) for name in ("From", "To", "Subject", "Message-ID")
        }
        assert arrived.get_content().split() == ["Hello"]

    def test_its_envelope_has_bare_addresses(self, mail_server: MailServer) -> None:
        with mailer_for(mail_server) as mailer:
            mailer.send(mail_to())
        [envelope] = mail_server.mailbox.envelopes
        assert (envelope.mail_from, envelope.rcpt_tos) == ("pay@shop.example", ["jane@example.com"])

    def test_lines_that_begin_with_a_dot_arrive_whole(self, mail_server: MailServer) -> None:
        with mailer_for(mail_server) as mailer:
            mailer.send(mail_to(text=".\n..\n.hidden\nlast\n"))
        assert mail_server.mailbox.messages[0].get_content().splitlines() == [
            ".",
            "..",
            ".hidden",
            "last",
        ]

    def test_many_mails_take_one_session(self) -> None:
        with CountingServer() as server:
            with mailer_for(server) as mailer:
                for number in range(20):
                    mailer.send(mail_to(f"jane+{number}@example.com"))
            assert len(server.mailbox.messages) == 20
            assert server.connections == 1

    def test_no_mail_takes_no_session(self) -> None:
        with CountingServer() as server:
            with mailer_for(server):
                pass
            assert server.connections == 0

    def test_a_session_ends_with_quit(self) -> None:
        with ScriptedServer() as server:
            with mailer_for(server) as mailer:
                mailer.send(mail_to())
            assert server.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"]

    def test_the_size_is_told_where_the_server_asks_for_it(self, pipelined: bool) -> None:
        offers = ["250-here", *["250-PIPELINING"] * pipelined, "250 SIZE 1000000"]
        with ScriptedServer(EHLO="\r\n".join(offers)) as server:
            message = mail_to()
            with mailer_for(server) as mailer:
                mailer.send(message)
            told = f"mail from:<pay@shop.example> size={len(message.content)}"
            assert told in [command.lower() for command in server.commands]

    def test_a_mail_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        with MailServer(data_size_limit=100) as server, mailer_for(server) as mailer:
            with pytest.raises(Refused, match="552"):
                mailer.send(mail_to(text="x" * 200))
            assert not server.mailbox.messages

    def test_a_forwarded_recipient_is_taken(self) -> None:
        with ScriptedServer(RCPT="251 will forward") as server, mailer_for(server) as mailer:
            mailer.send(mail_to())

    def test_a_server_that_only_knows_helo_is_spoken_to(self) -> None:
        with ScriptedServer(EHLO="502 what?") as server, mailer_for(server) as mailer:
            mailer.send(mail_to())
            assert "HELO" in server.verbs()


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
        with ScriptedServer() as server, mailer_for(server) as mailer:
            mailer.send(msgspec.structs.replace(mail_to(), content=b"Subject: x\r\n\r\n" + body))
            assert server.content == [b"Subject: x\r\n", b"\r\n", *heard]

    def test_a_dot_is_doubled_in_the_very_first_line(self) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            mailer.send(msgspec.structs.replace(mail_to(), content=b".\r\n\r\nHello\r\n"))
            assert server.content == [b"..\r\n", b"\r\n", b"Hello\r\n"]

    @pytest.mark.parametrize("content", BARE_HEADS.values(), ids=BARE_HEADS)
    def test_a_head_with_a_bare_line_end_or_nul_is_never_sent(
        self, content: bytes, tmp_path: Path
    ) -> None:
        mail = msgspec.structs.replace(mail_to(), content=content)
        with ScriptedServer() as server, mailer_for(server) as mailer:
            with pytest.raises(Refused, match="its head holds a bare CR, LF or NUL"):
                mailer.send(mail)
            assert not {"MAIL", "DATA"} & set(server.verbs())
        with pytest.raises(Refused, match="its head holds a bare CR, LF or NUL"):
            FileMailer(tmp_path).send(mail)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("field", ["sender", "recipient"])
    @pytest.mark.parametrize("address", NO_ADDRESSES)
    def test_an_envelope_with_more_than_an_address_is_never_sent(
        self, field: str, address: str
    ) -> None:
        with ScriptedServer() as server, mailer_for(server) as mailer:
            with pytest.raises(Refused, match="sender or recipient is not one address"):
                mailer.send(msgspec.structs.replace(mail_to(), **{field: address}))
            assert not {"MAIL", "RCPT", "DATA"} & set(server.verbs())

    @pytest.mark.parametrize("kind", sorted(INJECTIONS.keys() - {"surrogate"}))
    def test_an_organization_s_name_brings_no_header_and_no_body(self, kind: str) -> None:
        """The API rejects such a name, but a stored profile may contain it."""
        name = INJECTIONS[kind]
        link = make_link(datetime.now(UTC))
        profile, url = Profile(display_name=name, reply_to=name), "https://pay.example/pay/x"
        with ScriptedServer() as server, mailer_for(server) as mailer:
            mailer.send(
                compose_link_mail(
                    link, profile=profile, url=url, sender="pay@shop.example", now=datetime.now(UTC)
                )
            )
            head = b"".join(server.content).partition(b"\r\n\r\n")[0]
            assert re.findall(rb"^[^ \r\n]*:", head, re.MULTILINE) == HEADERS
            assert re.fullmatch(rb"([^\r\n\0]+\r\n)*[^\r\n\0]+", head)
            assert server.commands[1:4] == [
                "MAIL FROM:<pay@shop.example>",
                "RCPT TO:<jane@example.com>",
                "DATA",
            ]
