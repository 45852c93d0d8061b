"""Doubles of mail servers: a mailer in memory, and an SMTP server with scripted replies."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from email.message import EmailMessage
from typing import Any, Self

from tasks.mail.mailer import LeaseCheck, Mailer, do_nothing, skip_lease_check
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


class ScriptedMailer(Mailer):
    """Accepts every mail unless ``answer`` raises. It is its own factory, and counts sessions."""

    def __init__(self, answer: Answer = lambda _: None) -> None:
        self.answer = answer
        self.sent: list[EmailMessage] = []
        self.sessions = 0
        self.open = False

    def __call__(self) -> Mailer:
        return self

    def __enter__(self) -> Self:
        self.sessions += 1
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False

    def send(
        self,
        mail: Mail,
        *,
        timeout: float = 10.0,
        start_lease_check: Callable[[], LeaseCheck] = skip_lease_check,
        while_waiting: Callable[[], object] = do_nothing,
    ) -> bool:
        if not start_lease_check()():
            return False
        message = received(mail)
        self.answer(message)
        while_waiting()
        self.sent.append(message)
        return True

    @property
    def recipients(self) -> list[str]:
        return [str(message["To"]) for message in self.sent]


class ScriptedServer(socketserver.ThreadingTCPServer):
    """An SMTP server that looks the reply to each command up in ``replies``.

    ``greeting`` comes first, and ``.`` is the end of a mail. Unless it is ``lax``, it rejects
    RCPT and DATA after it has declined what comes before.
    """

    ehlo = "250-here\r\n250 PIPELINING"
    lax = False
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None, /, **replies: Reply) -> None:
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
        super().__init__(("127.0.0.1", 0), _Conversation)

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
        return "127.0.0.1", int(self.server_address[1])

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


class _Conversation(socketserver.StreamRequestHandler):
    server: ScriptedServer

    def handle(self) -> None:
        self.server.connections += 1
        try:
            if self._say("greeting"):
                while self._converse():
                    pass
        except OSError:
            pass

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def _converse(self) -> bool:
        """Handles one command; returns False at the end of the connection."""
        line = self.rfile.readline()
        if not line:
            return False
        command = line.decode().rstrip("\r\n")
        self.server.commands.append(command)
        verb = command.split(" ", 1)[0].upper()
        if verb == "STARTTLS" and self.server.tls is not None:
            self._secure(self.server.tls)
            return True
        if verb in {"RCPT", "DATA"} and not self._last.startswith("25") and not self.server.lax:
            self._write("503 not now")
            return True
        if not self._say(verb):
            return False
        if verb == "DATA" and self._last.startswith("354"):
            return self._hear_content() and self._say(".")
        return verb != "QUIT"

    def _hear_content(self) -> bool:
        """Returns False if the connection ends before the content does."""
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            self.server.content.append(line)
        self.server.commands.append(".")
        return True

    def _say(self, verb: str) -> bool:
        reply = self.server.replies.get(verb, "250 fine")
        said = reply() if callable(reply) else reply
        if said is None:
            return False
        for line in [said] if isinstance(said, str) else said:
            self._write(line)
        return True

    def _write(self, line: str) -> None:
        self._last = line
        self.wfile.write(line.encode() + b"\r\n")

    def _secure(self, tls: ssl.SSLContext) -> None:
        self.wfile.write(b"220 go ahead\r\n")
        self.request = tls.wrap_socket(self.request, server_side=True)
        self.rfile = self.request.makefile("rb")
        self.wfile: Any = self.request.makefile("wb", buffering=0)


def refused_address() -> tuple[str, int]:
    """An address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    return host, port
