"""Delivery: claim under a lease, hand over in one session, settle. Whatever dies here leaves a lease that runs out."""

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby, zip_longest
from typing import Any, Generic, TypeVar

import structlog

from service.errors import Unreadable
from service.health.heartbeat import Heartbeat
from service.storage.client import Client
from service.storage.command import Command
from tasks.mail.mailer import Deferred, Mailer, NoSession, Refused
from tasks.message import Drop, Kind, Payload, QueuedMessage

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=20)
"""How long a claimed mail belongs to its worker: longer than one mail may take."""
BATCH = 220
TOGETHER = 4
"""Partitions whose batches are claimed in one round trip, and opened in another."""
SLICE = timedelta(seconds=1)
"""How long what was claimed together may take; what is not begun by then is given back, and others have their turn."""
SHIFT = 10.0
"""Seconds after which a job ends and rings again."""
LONGEST_WAIT_FOR_SESSION = timedelta(minutes=1)
LONGEST_WAIT_FOR_RECIPIENT = timedelta(minutes=15)
LONGEST_REASON = 500
"""Characters of a server's words that are kept with a link."""


T = TypeVar("T")


class Delivery(Generic[Payload]):
    """Sends what partitions owe of one kind."""

    def __init__(
        self,
        kind: Kind[Payload],
        client: Client,
        open_mailer: Callable[[], Mailer],
        clock: Callable[[], datetime],
        should_stop: Callable[[], bool],
        heartbeat: Heartbeat,
    ) -> None:
        self._kind = kind
        self._client = client
        self._executor = ThreadPoolExecutor(1)  # one: its commands keep their order
        self._open_mailer = open_mailer
        self._clock = clock
        self._should_stop = should_stop
        self._heartbeat = heartbeat
        self._unmarked: list[Command[bool]] = []
        self._unlogged: list[QueuedMessage[Payload]] = []
        self._sessions_missed = 0

    def drain(
        self, partitions: Sequence[str], newly_waiting: Callable[[], Sequence[str]] = lambda: ()
    ) -> list[str]:
        """Sends what the partitions owe, a batch of each in turn; those of ``newly_waiting`` come next. Gives what may owe more.

        Raises:
            Unavailable: Redis does not answer. A mail that was handed over meanwhile is marked as soon as it does.
        """
        waiting, shift_ends = deque(partitions), time.monotonic() + SHIFT
        self._ask(self._heartbeat.record())  # sets the clock before anything is judged by it
        with self._open_mailer() as mailer:
            while waiting and time.monotonic() < shift_ends and not self._should_stop():
                begun, left = self._send_batches(
                    [waiting.popleft() for _ in range(min(TOGETHER, len(waiting)))], mailer
                )
                waiting.extendleft(reversed(left))
                waiting.extend(begun)
                self._mark_sent()
                self._log_sent()
                waiting.extendleft(new for new in newly_waiting() if new not in waiting)
        return list(waiting)

    def _send_batches(
        self, partitions: Sequence[str], mailer: Mailer
    ) -> tuple[list[str], list[str]]:
        """Those that may owe more: of which some was sent, and of which nothing was begun."""
        slice_ends = self._clock() + SLICE
        letters = self._claim(partitions)
        owing = list(dict.fromkeys(letter.partition for letter in letters))
        for position, (letter, following) in enumerate(zip_longest(letters, letters[1:])):
            if self._should_stop() or self._clock() > slice_ends:
                self._give_back(letters[position:])
                begun = {letter.partition for letter in letters[:position]}
                return [one for one in owing if one in begun], [
                    one for one in owing if one not in begun
                ]
            try:
                self._connect(mailer)
                self._send(letter, mailer, following)
            except NoSession as error:
                self._put_off(letters[position:], str(error))
                return [], []
        return owing, []

    def _claim(self, partitions: Sequence[str]) -> list[QueuedMessage[Payload]]:
        now = self._clock()
        deadline = now + LEASE
        claims = [
            self._kind.claim(partition, now=now, deadline=deadline, limit=BATCH)
            for partition in partitions
        ]
        _, *found = self._ask_all([self._heartbeat.record(), *claims])
        claimed = [
            (partition, members)
            for partition, members in zip(partitions, found, strict=True)
            if members
        ]  # None: unreadable
        opened = self._ask_all(
            [self._kind.open(partition, members) for partition, members in claimed]
        )
        letters = []
        for (partition, members), records in zip(claimed, opened, strict=True):
            for member, record in zip(members, records or [None] * len(members), strict=True):
                if isinstance(
                    record, ValueError
                ):  # left under its lease: it stays owed, and is looked at again
                    log.error("record_unreadable", exc_info=record, **self._kind.describe(member))
                elif record is not None:
                    letters.append(
                        QueuedMessage(self._kind, self._clock, partition, member, record, deadline)
                    )
        return letters

    def _connect(self, mailer: Mailer) -> None:
        if not mailer.ready:
            self._mark_sent()  # which is not to wait for a server
            mailer.connect()
        self._sessions_missed = 0

    def _send(
        self,
        letter: QueuedMessage[Payload],
        mailer: Mailer,
        following: QueuedMessage[Payload] | None,
    ) -> None:
        try:
            if self._hand_over(letter, mailer, following):
                self._unmarked.append(letter.sent())
                self._unlogged.append(letter)
        except Drop as drop:
            self._ask(letter.failed(str(drop), attempts=0))
            log.info("mail_dropped", reason=str(drop), **letter.about)
        except Refused as refusal:
            error = str(refusal)[:LONGEST_REASON]
            self._ask(letter.failed(error, attempts=1))
            log.warning("mail_refused", reason=loggable(error), **letter.about)
        except NoSession:
            raise
        except Deferred as delay:
            error = str(delay)[:LONGEST_REASON]
            at = self._clock() + backoff(letter.attempts(), LONGEST_WAIT_FOR_RECIPIENT)
            self._ask(letter.retry(error, attempts=1, at=at))
            log.info(
                "mail_deferred",
                reason=loggable(error),
                until=at.isoformat(timespec="seconds"),
                **letter.about,
            )

    def _hand_over(
        self,
        letter: QueuedMessage[Payload],
        mailer: Mailer,
        following: QueuedMessage[Payload] | None,
    ) -> bool:
        """Whether the server took it. Its lease is looked at while the server thinks, and the next mail is made then."""

        def owed() -> Callable[[], bool]:
            answer = self._start([self._renewal([letter], self._clock() + LEASE)])
            return lambda: bool(answer()[0])

        return mailer.send(
            letter.mail(),
            within=letter.left(),
            owed=owed,
            meanwhile=partial(self._meanwhile, following),
        )

    def _meanwhile(self, following: QueuedMessage[Payload] | None) -> None:
        """What is done while the server thinks about a mail's content."""
        self._log_sent()
        if following is not None:
            following.make()

    def _give_back(self, letters: Sequence[QueuedMessage[Payload]]) -> None:
        """Whoever is next may have them."""
        now = self._clock()
        self._ask_all(
            [
                self._renewal(list(theirs), now)
                for _, theirs in groupby(letters, lambda letter: letter.partition)
            ]
        )

    def _renewal(
        self, letters: Sequence[QueuedMessage[Payload]], until: datetime
    ) -> Command[list[str]]:
        """Gives those of one partition that are still ours, and now are until ``until``: none that was revoked or lost."""
        partition, deadline = letters[0].partition, letters[0].deadline
        for letter in letters:
            letter.deadline = until
        return self._kind.renew(
            partition, [letter.member for letter in letters], deadline=deadline, until=until
        )

    def _put_off(self, letters: Sequence[QueuedMessage[Payload]], error: str) -> None:
        """Nothing can be sent now. No mail counts it as a try, and what was said is no reader's business."""
        at = self._clock() + backoff(self._sessions_missed, LONGEST_WAIT_FOR_SESSION)
        error = loggable(error)
        self._ask_all([letter.retry(error, attempts=0, at=at) for letter in letters])
        self._sessions_missed += 1
        log.warning("mail_server_away", reason=error, waiting=len(letters))

    def _mark_sent(self) -> None:
        """Marks what was handed over."""
        self._ask_all([])

    def _log_sent(self) -> None:
        for letter in self._unlogged:
            log.info("mail_sent", **letter.about)
        self._unlogged.clear()

    def _ask(self, call: Command[T]) -> T:
        reply: T = self._ask_all([call])[0]
        return reply

    def _ask_all(self, calls: Sequence[Command[Any]]) -> list[Any]:
        """The replies to ``calls``, None to one whose keys hold something else: others are not to suffer."""
        return self._start(calls)()

    def _start(self, calls: Sequence[Command[Any]]) -> Callable[[], list[Any]]:
        """Sends ``calls``, and before them, on the same way, what marks as sent whatever was handed over.

        What cannot be marked now is marked with whatever is asked next.
        """
        marks = list(self._unmarked)
        answer = self._executor.submit(self._client.run_each, [*marks, *calls])

        def replies() -> list[Any]:
            told: list[Any] = answer.result()
            del self._unmarked[: len(marks)]
            return [
                None if isinstance(reply, Unreadable) else reply for reply in told[len(marks) :]
            ]

        return replies


def backoff(attempts: int, longest: timedelta) -> timedelta:
    """5 s, 15 s, 45 s, …: how long to wait after ``attempts`` earlier tries."""
    return min(timedelta(seconds=5 * int(3 ** min(attempts, 10))), longest)


def loggable(reason: str) -> str:
    """A server's codes (RFC 5321, RFC 3463) without its words, which name the recipient; or what broke."""
    codes = re.match(r"[0-9]{3}([ -][0-9]\.[0-9]{1,3}\.[0-9]{1,3})?", reason)
    return codes[0] if codes else reason.partition(":")[0][:80]
