"""Doubles of mail servers: a mailer in memory, and an SMTP server with scripted replies."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from email.message import EmailMessage
from inspect import isawaitable
from typing import Any, Self

from tasks.mail.mailer import ConfirmLease, MailSession
from tasks.mail.mime import Mail
from tests.support.delivery_harness import received

Reply = str | Callable[[], str | Iterable[str] | None] | None
"""A reply to a command: a text, a function that returns a text or its lines, or None to hang up."""


Answer = Callable[[EmailMessage], object]


def refusing(*recipients: str, error: Exception) -> Answer:
    """Raises ``error`` for mails to ``recipients``; to anybody if none is named."""

    def answer(message: EmailMessage) -> None:
        if not recipients or str(message["To"]) in recipients:
            raise error

    return answer


class ScriptedMailer:
    """Creates sessions that take every mail unless ``answer`` raises, and counts those opened."""

    def __init__(
        self, answer: Answer = lambda _: None, on_open: Callable[[], object] = lambda: None
    ) -> None:
        self.answer = answer
        self.on_open = on_open
        self.sent: list[EmailMessage] = []
        self.opened = 0
        self.open_sessions = set[MailSession]()

    def __call__(self) -> MailSession:
        return _ScriptedSession(self)

    @property
    def recipients(self) -> list[str]:
        return [str(message["To"]) for message in self.sent]


class _ScriptedSession(MailSession):
    def __init__(self, mailer: ScriptedMailer) -> None:
        self._mailer = mailer
        self.is_proven = False

    @property
    def is_open(self) -> bool:
        return self in self._mailer.open_sessions

    async def open(self) -> None:
        self._mailer.on_open()
        self._mailer.opened += 1
        self._mailer.open_sessions.add(self)

    async def keep_open(self) -> None:
        if not self.is_open:
            await self.open()

    async def send(self, mail: Mail, confirm_lease: ConfirmLease) -> None:
        await confirm_lease()
        self.is_proven = True
        message = received(mail)
        answer = self._mailer.answer(message)
        if isawaitable(answer):
            await answer
        self._mailer.sent.append(message)

    async def close(self) -> None:
        self._mailer.open_sessions.discard(self)


class Conversation(socketserver.StreamRequestHandler):
    """One connection to a scripted server."""

    server: "ScriptedServer"
    command = ""
    """The last one."""

    def handle(self) -> None:
        self.server.connections += 1
        try:
            if self.say("greeting"):
                while self._converse():
                    pass
        except OSError:
            pass

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def read_command(self) -> bytes:
        """A line; an empty one at the end of the connection."""
        return self.rfile.readline()

    def read_content(self) -> bool:
        """Returns False if the connection ends before the content does."""
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            self.server.content.append(line)
        self.server.commands.append(".")
        return True

    def say(self, verb: str) -> bool:
        """Replies to ``verb``; returns False at the end of the connection."""
        reply = self.server.reply_to(verb, self)
        said = reply() if callable(reply) else reply
        if said is None:
            return False
        for line in [said] if isinstance(said, str) else said:
            self.write(line)
        return True

    def write(self, line: str) -> None:
        self.last = line
        self.wfile.write(line.encode() + b"\r\n")

    def secure(self, tls: ssl.SSLContext) -> None:
        self.wfile.write(b"220 go ahead\r\n")
        self.request = tls.wrap_socket(self.request, server_side=True)
        self.rfile = self.request.makefile("rb")
        self.wfile: Any = self.request.makefile("wb", buffering=0)

    def _converse(self) -> bool:
        """Handles one command; returns False at the end of the connection."""
        line = self.read_command()
        if not line:
            return False
        self.command = line.decode().rstrip("\r\n")
        self.server.commands.append(self.command)
        verb = self.command.split(" ", 1)[0].upper()
        if verb == "STARTTLS" and self.server.tls is not None:
            self.secure(self.server.tls)
            return True
        if verb in {"RCPT", "DATA"} and not self.last.startswith("25") and not self.server.lax:
            self.write("503 not now")
            return True
        if not self.say(verb):
            return False
        if verb == "DATA" and self.last.startswith("354"):
            return self.read_content() and self.say(".")
        return verb != "QUIT"


class ScriptedServer(socketserver.ThreadingTCPServer):
    """An SMTP server that looks the reply to each command up in ``replies``.

    ``greeting`` comes first, and ``.`` is the end of a mail. Unless it is ``lax``, it rejects
    RCPT and DATA after it has declined what comes before.
    """

    ehlo = "250-here\r\n250 PIPELINING"
    lax = False
    conversation_class = Conversation
    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = True

    def __init__(
        self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", /, **replies: Reply
    ) -> None:
        self.replies: dict[str, Reply] = {
            "greeting": "220 ready",
            "EHLO": self.ehlo,
            "DATA": "354 go on",
            **replies,
        }
        self.commands: list[str] = []
        self.content: list[bytes] = []
        self.connections = 0
        self.tls = tls
        self.stopping = threading.Event()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, 0), self.conversation_class)

    def __enter__(self) -> Self:
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> tuple[str, int]:
        return str(self.server_address[0]), int(self.server_address[1])

    def reply_to(self, verb: str, conversation: Conversation) -> Reply:
        return self.replies.get(verb, "250 fine")

    def verbs(self) -> list[str]:
        return [command.split(" ", 1)[0].upper() for command in self.commands]

    def after(self, seconds: float, reply: str = "250 at last") -> Callable[[], str | None]:
        """A reply after so many seconds, or none if the test ends before."""

        def late() -> str | None:
            return None if self.stopping.wait(seconds) else reply

        return late

    def trickling(self, lines: int, every: float) -> Callable[[], Iterator[str]]:
        """A reply of many lines, one every so many seconds."""

        def trickle() -> Iterator[str]:
            for _ in range(lines):
                self.stopping.wait(every)
                yield "250-wait"
            yield "250 taken"

        return trickle

    def never(self) -> str | None:
        self.stopping.wait()
        return None


def refused_address() -> tuple[str, int]:
    """An address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    return host, port
