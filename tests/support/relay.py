"""A mail server as there are many: slow, strict, with limits and a login."""

import email
import email.policy
import hmac
import json
import secrets
import socket
import ssl
import threading
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import NamedTuple

from tests.support.proxy import abort
from tests.support.scripted_smtp import Conversation, Reply, ScriptedServer


class Login(NamedTuple):
    """The only mechanism that a relay announces, and who may use it with which secret."""

    mechanism: str
    user: str
    secret: str


@dataclass
class Kind:
    """How a mail server differs from others. ``replies`` overrides its usual ones, by verb."""

    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8")
    login: Login | None = None
    max_sessions: int | None = None
    refuses_connections: bool = False
    """Whether it resets connections beyond ``max_sessions``, instead of a 421."""
    mails_per_session: int | None = None
    max_size: int | None = None
    loses_pipelined: bool = False
    """Whether it loses commands that come together with another one."""
    replies: dict[str, Reply] = field(default_factory=dict)

    def is_full(self, sessions: int) -> bool:
        return self.max_sessions is not None and sessions > self.max_sessions


@dataclass
class Receipt:
    """A mail whose content arrived and was not refused, and when it was confirmed, if ever."""

    recipient: str
    content: bytes
    at: float
    confirmed_at: float | None = None

    @property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])


class Session(Conversation):
    """A connection to a relay, which knows what was said in it."""

    server: "Relay"

    def setup(self) -> None:
        super().setup()
        self.is_secure = False
        self.user: str | None = None
        self.recipient = ""
        self.mails = 0

    def handle(self) -> None:
        with self.server.track(self) as count:
            if self.server.kind.refuses_connections and self.server.kind.is_full(count):
                abort(self.request)
            else:
                super().handle()

    def read_command(self) -> bytes:
        if not self.server.kind.loses_pipelined:
            return super().read_command()
        line, end, _ = self.request.recv(65536).partition(b"\n")
        return bytes(line + end)

    def read_content(self) -> bool:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b"."))
        self.mails += 1
        self.receipt = Receipt(self.recipient, b"".join(lines), time.monotonic())
        self.server.receipts.append(self.receipt)
        return True

    def say(self, verb: str) -> bool:
        self.lines: list[str] = []
        goes_on = super().say(verb) and not self.last.startswith("421")
        verdict = self.lines[0][0] if self.lines else ""
        if verb == "." and verdict == "2":
            self.receipt.confirmed_at = time.monotonic()
        elif verb == "." and verdict:
            self.server.receipts.remove(self.receipt)
        return goes_on

    def write(self, line: str) -> None:
        super().write(line)
        self.lines.append(line)

    def ask(self, challenge: str) -> bytes:
        """What the client answers to a challenge of AUTH."""
        self.write(f"334 {challenge}")
        return self.rfile.readline().strip()

    def secure(self, tls: ssl.SSLContext) -> None:
        super().secure(tls)
        self.is_secure = True


class Relay(ScriptedServer):
    """Keeps ``receipts`` of what arrived. ``script`` is its replies to mails for a recipient."""

    conversation_class = Session

    def __init__(
        self,
        kind: Kind | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(tls, host)
        self._sessions: set[Session] = set()
        self._lock = threading.Lock()
        self.become(kind or Kind())

    def become(self, kind: Kind) -> None:
        """Is another server from now on, which has received nothing yet and has no sessions."""
        self.kind = kind
        self.replies = {"DATA": "354 go on", "QUIT": "221 bye", **kind.replies}
        self.script: dict[tuple[str, str], Reply] = {}
        self.receipts: list[Receipt] = []
        self.tries: dict[str, list[float]] = defaultdict(list)
        """The times of RCPT, by recipient."""
        self.helo_names: set[str] = set()
        self.most_sessions = 0
        self.hang_up()

    def url(self, userinfo: str = "", query: str = "") -> str:
        """For ``SMTP_URL``."""
        host, port = self.address
        return (
            f"smtp://{userinfo}{'@' if userinfo else ''}"
            f"{f'[{host}]' if ':' in host else host}:{port}{query}"
        )

    def answer(self, recipient: str, **replies: Reply) -> None:
        """Replies so to ``RCPT``, or ``dot``, of mails to ``recipient``."""
        for verb, reply in replies.items():
            self.script["." if verb == "dot" else verb, recipient] = reply

    def greylist(self, recipient: str, seconds: float) -> None:
        """Declines the recipient until so many seconds after the first try."""

        def reply() -> str:
            first, *_, last = [*self.tries[recipient], time.monotonic()]
            return "250 OK" if last - first > seconds else "450 4.2.0 greylisted"

        self.answer(recipient, RCPT=reply)

    def to(self, recipient: str) -> list[Receipt]:
        return [receipt for receipt in list(self.receipts) if receipt.recipient == recipient]

    def copies(self) -> dict[str, int]:
        """How often the content of each recipient's mail has arrived."""
        copies: dict[str, int] = defaultdict(int)
        for receipt in list(self.receipts):
            copies[receipt.recipient] += 1
        return copies

    @property
    def efforts(self) -> int:
        """Connections and mails that were begun."""
        return self.connections + self.verbs().count("MAIL")

    def hang_up(self) -> None:
        """Ends all sessions."""
        with self._lock:
            for session in self._sessions:
                with suppress(OSError):
                    session.request.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def track(self, session: Session) -> Iterator[int]:
        """Counts ``session`` while it is open; yields how many there are."""
        with self._lock:
            self._sessions.add(session)
            self.most_sessions = max(self.most_sessions, len(self._sessions))
            count = len(self._sessions)
        try:
            yield count
        finally:
            with self._lock:
                self._sessions.remove(session)

    def reply_to(self, verb: str, conversation: Conversation) -> Reply:
        assert isinstance(conversation, Session)
        rules: dict[str, Callable[[Session], str | None]] = {
            "greeting": self._greet,
            "EHLO": self._reply_to_ehlo,
            "HELO": self._reply_to_ehlo,
            "AUTH": self._authenticate,
            "MAIL": self._reply_to_sender,
            "RCPT": self._note_recipient,
            ".": self._check_content,
        }
        objection = rules[verb](conversation) if verb in rules else None
        if objection is not None and not objection.startswith("2"):
            return objection
        usual = self.replies.get(verb, objection or "250 OK")
        return self.script.get((verb, conversation.recipient), usual)

    def _greet(self, _: Session) -> str:
        full = self.kind.is_full(len(self._sessions))
        return "421 4.7.0 too many connections" if full else "220 ready"

    def _reply_to_ehlo(self, session: Session) -> str:
        self.helo_names.add(session.command.partition(" ")[2])
        offers = [
            *self.kind.extensions,
            *([] if self.kind.max_size is None else [f"SIZE {self.kind.max_size}"]),
            *(["STARTTLS"] if self.tls is not None and not session.is_secure else []),
            *([] if self.kind.login is None else [f"AUTH {self.kind.login.mechanism}"]),
        ]
        *lines, last = ["relay.example", *offers]
        return "\r\n".join([*(f"250-{line}" for line in lines), f"250 {last}"])

    def _reply_to_sender(self, session: Session) -> str | None:
        session.recipient = ""
        parameters = session.command.upper().split()[2:]
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "SIZE" and self.kind.max_size is not None:
                if int(value) > self.kind.max_size:
                    return "552 5.3.4 too big"
            elif {"BODY": "8BITMIME"}.get(name, name) not in self.kind.extensions:
                return f"555 5.5.4 {name} is not implemented"
        if session.mails == self.kind.mails_per_session:
            return "421 4.7.0 enough mails in this connection"
        if self.kind.login is not None and session.user is None:
            return "530 5.7.0 log in first"
        return None

    def _note_recipient(self, session: Session) -> None:
        session.recipient = session.command.partition("<")[2].partition(">")[0]
        self.tries[session.recipient].append(time.monotonic())

    def _check_content(self, session: Session) -> str | None:
        content = session.receipt.content
        if self.kind.max_size is not None and len(content) > self.kind.max_size:
            return "552 5.3.4 too big"
        if "8BITMIME" not in self.kind.extensions and not content.isascii():
            return "554 5.6.1 8-bit content"
        return None

    def _authenticate(self, session: Session) -> str:
        _, mechanism, *initial = session.command.split(" ")
        if self.kind.login is None or mechanism.upper() != self.kind.login.mechanism:
            return "504 5.5.4 unknown mechanism"
        if self._is_right(session, self.kind.login, initial[0].encode() if initial else None):
            session.user = self.kind.login.user
            return "235 2.7.0 welcome"
        return "535 5.7.8 wrong user or password"

    def _is_right(self, session: Session, login: Login, initial: bytes | None) -> bool:
        user, secret = login.user.encode(), login.secret.encode()
        match login.mechanism:
            case "PLAIN":
                return _decode(initial or session.ask("")) == b"\0%b\0%b" % (user, secret)
            case "LOGIN":
                told = (
                    initial or session.ask(_encode(b"Username:")),
                    session.ask(_encode(b"Password:")),
                )
                return tuple(map(_decode, told)) == (user, secret)
            case "CRAM-MD5":
                challenge = b"<%b@relay.example>" % secrets.token_hex(8).encode()
                digest = hmac.new(secret, challenge, "md5").hexdigest()
                told_digest = _decode(session.ask(_encode(challenge)))
                return told_digest == b"%b %b" % (user, digest.encode())
            case "XOAUTH2":
                right = b"user=%b\1auth=Bearer %b\1\1" % (user, secret)
                if _decode(initial or session.ask("")) == right:
                    return True
                session.ask(_encode(json.dumps({"status": "401"}).encode()))
                return False
        raise NotImplementedError(login.mechanism)


def _encode(text: bytes) -> str:
    return b64encode(text).decode()


def _decode(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        return b""
