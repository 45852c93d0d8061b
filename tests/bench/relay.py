"""A mail relay at a distance, in a process of its own, which takes every mail.

``python -m tests.bench.relay --port 2525 --distance 50ms --data 60ms`` prints a line for each mail:
when it was confirmed, by ``time.monotonic``, and its recipient.
"""

import asyncio
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import click
import uvloop

from tests.bench.figures import ROOT
from tests.support.servers import free_port, wait_until

TARPIT = "tarpit.example"
"""A domain whose recipients are accepted only after ``TARPIT_SECONDS``."""
TARPIT_SECONDS = 60.0
HELLO = b"250-relay\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME"
END_OF_CONTENT = b"\r\n.\r\n"


class Distance(NamedTuple):
    """How long a relay takes, in seconds."""

    round_trip: float = 0
    """From a command to its reply; two before a greeting, as TCP's handshake takes one."""
    data: float = 0
    """What a mail's confirmation takes beside its round trip."""

    @property
    def mail(self) -> float:
        """For one mail in an open session: MAIL, RCPT, DATA and the content, one by one."""
        return 4 * self.round_trip + self.data


class Receipt(NamedTuple):
    """When the relay's confirmation of a mail reached its client."""

    at: float
    recipient: str


class Relay:
    """A relay that runs."""

    def __init__(self, port: int, printed: Path) -> None:
        self.url = f"smtp://127.0.0.1:{port}"
        self.port = port
        self._printed = printed.open("rb")
        self._receipts: list[Receipt] = []
        self._line = b""

    def receipts(self) -> list[Receipt]:
        """Those of all mails so far."""
        *lines, self._line = (self._line + self._printed.read()).split(b"\n")
        for line in lines:
            at, recipient = line.decode().split()
            self._receipts.append(Receipt(float(at), recipient))
        return self._receipts

    @contextmanager
    def taking(self, count: int) -> Iterator[None]:
        """Ends when as many more mails have come."""
        expected = len(self.receipts()) + count
        yield
        wait_until(lambda: len(self.receipts()) >= expected, f"{count} mails", within=120)

    def accepts(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def run_relay(directory: Path, distance: Distance) -> Iterator[Relay]:
    """Runs while the context lasts."""
    port = free_port()
    printed = directory / f"relay-{port}"
    command = [sys.executable, "-m", "tests.bench.relay", f"--port={port}"]
    command += [f"--distance={distance.round_trip * 1000}ms", f"--data={distance.data * 1000}ms"]
    with printed.open("wb") as out, subprocess.Popen(command, stdout=out, cwd=ROOT) as process:
        relay = Relay(port, printed)
        try:
            wait_until(relay.accepts, "the relay to answer")
            yield relay
        finally:
            process.kill()


class Reply(NamedTuple):
    text: bytes
    confirms: str
    """The recipient whose mail it confirms."""
    ends: bool
    """Whether the session ends with it."""


class Session(asyncio.Protocol):
    """A client's session. Commands may come before the replies to earlier ones."""

    def __init__(self, distance: Distance) -> None:
        self._distance = distance
        self._received = b""
        self._recipient = ""
        self._in_content = False
        self._replies: deque[Reply] = deque()
        self._last_reply_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reply(b"220 relay", self._distance.round_trip)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            part, end, rest = self._received.partition(
                END_OF_CONTENT if self._in_content else b"\r\n"
            )
            if not end:
                return
            self._received = rest
            if self._in_content:
                self._confirm()
            else:
                self._answer(part)

    def _confirm(self) -> None:
        self._in_content = False
        self._reply(b"250 taken", self._distance.data, confirms=self._recipient)

    def _answer(self, line: bytes) -> None:
        match line[:4].upper():
            case b"EHLO":
                self._reply(HELLO)
            case b"RCPT":
                self._recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                late = self._recipient.endswith(f"@{TARPIT}")
                self._reply(b"250 ok", TARPIT_SECONDS if late else 0)
            case b"DATA":
                self._in_content = True
                self._reply(b"354 go on")
            case b"QUIT":
                self._reply(b"221 bye", ends=True)
            case b"HELO" | b"MAIL" | b"RSET" | b"NOOP":
                self._reply(b"250 ok")
            case _:
                self._reply(b"502 what?")

    def _reply(
        self, text: bytes, later: float = 0, *, confirms: str = "", ends: bool = False
    ) -> None:
        """Sends ``text`` a round trip and ``later`` seconds from now, after all earlier replies."""
        loop = asyncio.get_running_loop()
        due = max(loop.time() + self._distance.round_trip + later, self._last_reply_at)
        self._last_reply_at = due
        self._replies.append(Reply(text, confirms, ends))
        loop.call_at(due, self._send_next)

    def _send_next(self) -> None:
        """Timers of one moment may fire in any order: each sends what is next."""
        reply = self._replies.popleft()
        if self._transport.is_closing():
            return
        self._transport.write(reply.text + b"\r\n")
        if reply.confirms:
            print(time.monotonic(), reply.confirms, flush=True)
        if reply.ends:
            self._transport.close()


async def _serve(port: int, distance: Distance) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(distance), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def _milliseconds(text: str) -> float:
    return float(text.removesuffix("ms")) / 1000


@click.command(help=__doc__)
@click.option("--port", default=2525, show_default=True)
@click.option("--distance", default="0ms", type=_milliseconds, help="A round trip: 50ms.")
@click.option("--data", default="0ms", type=_milliseconds, help="What a confirmation takes: 60ms.")
def main(port: int, distance: float, data: float) -> None:
    uvloop.run(_serve(port, Distance(distance, data)))


if __name__ == "__main__":
    main()
