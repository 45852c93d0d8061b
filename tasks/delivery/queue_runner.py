"""Sends the e-mails of a queue, in several sessions at a time, and settles each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Generic

import structlog

from service.errors import Unavailable, Unreadable
from service.health.heartbeat import Heartbeat
from service.outbox.queues import MailQueue
from service.storage.pipeline import AutoPipeline
from service.values.mail_replies import reply_code
from tasks.delivery.circuit_breaker import CircuitBreaker
from tasks.delivery.claims import Claims
from tasks.delivery.pause import (
    ADDRESS_REFUSED,
    MAX_PAUSE,
    Cause,
    Pause,
    RefusalStreak,
    backoff,
)
from tasks.delivery.sessions import PoolSize, SessionPool
from tasks.mail.mailer import (
    Deferred,
    MailerUnavailable,
    MailSession,
    Refused,
    SessionEnded,
    Unconfirmed,
    Unsendable,
)
from tasks.mail.mime import Mail
from tasks.mail.profiles import ProfileCache
from tasks.message import (
    Failed,
    LeaseLost,
    MailHandler,
    Outcome,
    Payload,
    QueuedMessage,
    Retry,
    Sent,
    SkipMessage,
)

log = structlog.get_logger(__name__)

STOP_SECONDS = 6.0
"""How long e-mails that are being sent have to end once the runner stops."""
RETRY_SECONDS = 1.0
"""The time between two attempts while Redis does not answer."""
MIN_WAIT, MAX_BACKOFF = timedelta(seconds=1), timedelta(minutes=15)
SUSPECT_WAIT = timedelta(seconds=15)
"""How long an e-mail that may be refused for our sake waits: others, meanwhile, may be taken."""
MAX_UNCONFIRMED = 4
"""So often may an e-mail be handed over without a confirmation."""
SERVICE_CLOSES = "421"
"""The code with which a server ends a session that is too much for it (RFC 5321, 3.8)."""
MAX_ERROR_LENGTH = 500
"""Characters of a server's reply that are stored with a link."""


class QueueRunner(Generic[Payload]):
    """Sends what waits in the partitions for which it is woken."""

    def __init__(
        self,
        queue: MailQueue,
        handler: MailHandler[Payload],
        pipeline: AutoPipeline,
        create_session: Callable[[], MailSession],
        pool_size: PoolSize,
        clock: Callable[[], datetime],
        heartbeat: Heartbeat,
    ) -> None:
        self._handler = handler
        self._pipeline = pipeline
        self._clock = clock
        self._heartbeat = heartbeat
        self._profiles = ProfileCache(pipeline, clock)
        self.circuit_breaker = CircuitBreaker(queue, pipeline, self.wake)
        self._claims = Claims(queue, handler, pipeline, self.circuit_breaker, clock)
        self._pool = SessionPool(pool_size, create_session, self._deliver, self._check_idle)
        self._pause = Pause(clock, heartbeat)
        self._streak = RefusalStreak[QueuedMessage[Payload]]()
        self._suspects = set[tuple[str, str]]()
        self._settling = set[asyncio.Task[None]]()
        self._probe: QueuedMessage[Payload] | None = None
        self._changed = asyncio.Event()
        self._dry = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sends e-mails until ``stop`` is called."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._pool.start(tasks)
            keeping = tasks.create_task(self._claims.keep_leases())
            retrying = tasks.create_task(self.circuit_breaker.run())
            claiming = tasks.create_task(self._claim_until_stopped())
            await self._stopping.wait()
            ends_at = asyncio.get_running_loop().time() + STOP_SECONDS
            await asyncio.gather(
                claiming,
                self._claims.release(self._pool.take_waiting()),
                self._pool.close(STOP_SECONDS),
            )
            await self._stop_settling(ends_at)
            keeping.cancel()
            retrying.cancel()
            await asyncio.gather(
                self._claims.release([*self._claims.held]), self._remove_heartbeat()
            )

    def stop(self) -> None:
        """Lets ``run`` end, once it has sent what it is sending."""
        self._stopping.set()
        self._changed.set()

    def wake(self, partitions: Iterable[str]) -> None:
        """Sends what waits in ``partitions``."""
        self._claims.add_partitions(partitions)
        self._dry.clear()
        self._changed.set()

    async def wait_until_dry(self, seconds: float) -> bool:
        """Waits until nothing is left to send now; returns False if that takes longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._dry.wait()
        return self._dry.is_set()

    async def _remove_heartbeat(self) -> None:
        with suppress(Unavailable, Unreadable):
            await self._pipeline.run(self._heartbeat.remove())

    async def _claim_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            free = self._count_free()
            if free > 0 and self._claims.may_find_more:
                await self._claim(free)
                continue
            if not self._claims.held and (self._pause.is_waiting or not self._claims.may_find_more):
                if not self._claims.has_unsettled:
                    self._dry.set()
                await self._end_pause_if_nothing_is_owed()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause.seconds_to_next_look()):
                    await self._changed.wait()

    def _count_free(self) -> int:
        """How many e-mails are to be claimed now; in a pause one, to find out whether it can end.

        Otherwise, half of them at least at a time, which takes fewer round trips.
        """
        if self._pause.is_active:
            return int(not self._pause.is_waiting and self._probe not in self._claims.held)
        most = 2 * self._pool.get_limit()
        free = most - len(self._claims.held)
        return free if 2 * free >= most else 0

    async def _claim(self, limit: int) -> None:
        claimed = await self._claims.claim(limit)
        if self._pause.is_waiting or self._stopping.is_set():  # since it was asked for
            self._claims.add_partitions(message.partition for message in claimed)
            await self._claims.release(claimed)
            return
        self._probe = claimed[0] if claimed and self._pause.is_active else None
        self._pool.put(claimed)

    async def _end_pause_if_nothing_is_owed(self) -> None:
        """Nobody then finds out whether the server would take it, unless idle sessions do."""
        if not self._pause.is_active or self._pause.is_waiting:
            return
        if self._pause.cause is Cause.CONNECTION and self._pool.keeps_open:
            return
        if not await self._claims.is_anything_owed():
            self._suspects.clear()
            self._pause.end()

    async def _deliver(self, message: QueuedMessage[Payload], session: MailSession) -> None:
        await self._attempt(message, self._send_and_settle(message, session))

    async def _attempt(self, message: QueuedMessage[Payload], work: Awaitable[None]) -> None:
        """Does ``work``; if that fails, lets go of the e-mail."""
        try:
            await work
        except (LeaseLost, Unavailable, Unreadable):
            self._claims.let_go(message)  # it is claimed again once its lease has lapsed
        except Exception:
            self._claims.let_go(message)
            log.exception("mail_not_sent", **message.log_fields)
        self._changed.set()

    async def _send_and_settle(self, message: QueuedMessage[Payload], session: MailSession) -> None:
        """Sends the e-mail and settles it; no session waits for an unavailable partition."""
        outcome = await self._send(message, session)
        if outcome is None:
            return
        try:
            await self._settle(message, outcome)
        except Unavailable:
            if outcome != Sent():
                raise
            self._claims.set_aside(message)
            settling = self._tasks.create_task(self._settle_later(message))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

    async def _send(self, message: QueuedMessage[Payload], session: MailSession) -> Outcome | None:
        """Returns the outcome; None if another session will send the e-mail."""
        is_probe = message is self._probe
        try:
            if not session.is_open:
                await self._pool.open(session)
            if not is_probe:
                await self._release_in_pause(message)
            mail = message.compose(await self._profiles.get(message.payload.org_id))
            await session.send(mail, message.renew)
        except (SkipMessage, Unsendable) as skip:
            log.info("mail_skipped", reason=str(skip), **message.log_fields)
            return Failed(str(skip), counts_as_attempt=False)
        except MailerUnavailable as error:
            if self._can_send_elsewhere(session, error):
                self._pool.put([message])
                return None
            cause = Cause.SENDER if session.is_open else Cause.CONNECTION
            await self._hold_back(str(error), cause)
            at = min(self._pause.until, self._retry_at(message, MAX_PAUSE))
            # No words of the reply: they concern our login.
            return Retry(self._pause.code, at=at, counts_as_attempt=False)
        except Refused as refusal:
            reason = str(refusal)[:MAX_ERROR_LENGTH]
            return await self._judge(message, mail, reason, is_probe=is_probe)
        except Deferred as delay:
            if is_probe:
                self._pause.end()
            return self._defer(message, delay, session)
        self._streak.clear()
        self._suspects.discard(message.key)
        if is_probe:
            self._pause.end()
        return Sent()

    async def _release_in_pause(self, message: QueuedMessage[Payload]) -> None:
        """Raises ``LeaseLost`` if a pause has begun since the e-mail was claimed."""
        if self._pause.is_waiting:
            self._claims.add_partitions([message.partition])
            await self._claims.release([message])
            raise LeaseLost

    def _can_send_elsewhere(self, session: MailSession, error: MailerUnavailable) -> bool:
        """Whether the server has had enough of this session only, or takes fewer."""
        if isinstance(error, SessionEnded) and session.is_proven:
            return True
        return not (session.is_open or self._pause.is_active) and self._drop(session, error)

    def _drop(self, session: MailSession, error: MailerUnavailable) -> bool:
        """Does without a session that cannot be opened, if there are others."""
        if not self._pool.drop(session):
            return False
        log.info("session_not_opened", reason=reply_code(str(error)))
        return True

    async def _hold_back(self, reason: str, cause: Cause) -> None:
        """Pauses the queue, and lets go of the e-mails that wait for a session."""
        self._pause.begin(reason, cause)
        waiting = self._pool.take_waiting()
        self._claims.add_partitions(message.partition for message in waiting)
        await self._claims.release(waiting)

    async def _judge(
        self, message: QueuedMessage[Payload], mail: Mail, reason: str, *, is_probe: bool
    ) -> Outcome:
        """Decides whose fault a refusal is: while it may be ours, no e-mail fails.

        An e-mail that was suspected before fails if it is refused while others are taken.
        """
        code = reply_code(reason)
        if is_probe and code != self._pause.code:
            self._pause.end()
        earlier: list[QueuedMessage[Payload]] = []
        if ADDRESS_REFUSED.fullmatch(code):
            self._streak.clear()
        elif not self._pause.is_active and message.key not in self._suspects:
            domain = mail.recipient.rpartition("@")[2].lower()
            earlier = self._streak.add(code, domain, message)
        if self._pause.is_active or earlier:
            self._suspects.add(message.key)
            await self._hold_back(reason, Cause.RECIPIENTS)
            await self._requeue([each for each in earlier if each is not message])
            at = self._retry_at(message, SUSPECT_WAIT)
            return Retry(code, at=at, counts_as_attempt=False)
        self._suspects.discard(message.key)
        log.warning("mail_refused", reason=code, **message.log_fields)
        return Failed(reason)

    async def _requeue(self, messages: Iterable[QueuedMessage[Payload]]) -> None:
        """Owes e-mails again that failed for what turns out to be our fault."""
        for message in messages:
            self._suspects.add(message.key)
            with suppress(Unavailable, Unreadable):
                await message.requeue(self._retry_at(message, SUSPECT_WAIT))
        self._streak.clear()

    def _retry_at(self, message: QueuedMessage[Payload], wait: timedelta) -> datetime:
        """After ``wait``, or earlier if the e-mail is not of use for much longer."""
        now = self._clock()
        return now + max(MIN_WAIT, min(wait, (message.payload.expires_at - now) / 4))

    def _defer(
        self, message: QueuedMessage[Payload], delay: Deferred, session: MailSession
    ) -> Outcome:
        reason, is_unconfirmed = str(delay)[:MAX_ERROR_LENGTH], isinstance(delay, Unconfirmed)
        if reason.startswith(SERVICE_CLOSES):
            self._pool.use_fewer(session)
        attempts, unconfirmed = self._handler.attempts(message.payload)
        if is_unconfirmed and unconfirmed + 1 >= MAX_UNCONFIRMED:
            log.warning("mail_unconfirmed", **message.log_fields)
            return Failed("the server never confirmed")
        at = self._retry_at(message, backoff(attempts, MAX_BACKOFF))
        log.info(
            "mail_deferred",
            reason=reply_code(reason),
            until=at.isoformat(timespec="seconds"),
            **message.log_fields,
        )
        return Retry(reason, at=at, unconfirmed=is_unconfirmed)

    async def _settle(self, message: QueuedMessage[Payload], outcome: Outcome) -> None:
        await message.settle(outcome)
        self._claims.let_go(message)
        if self._pause.is_waiting:
            self._claims.add_partitions([message.partition])  # for when it ends
        if outcome == Sent():
            log.info("mail_sent", **message.log_fields)

    async def _settle_later(self, message: QueuedMessage[Payload]) -> None:
        """Records that the e-mail was sent, as soon as its partition answers."""
        await self._attempt(message, self._keep_settling(message))

    async def _keep_settling(self, message: QueuedMessage[Payload]) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(Unavailable):
                await self._settle(message, Sent())
                return

    async def _stop_settling(self, ends_at: float) -> None:
        """Waits until ``ends_at``, in the loop's time, for what is yet to be settled."""
        if self._settling:
            seconds = max(0.0, ends_at - asyncio.get_running_loop().time())
            await asyncio.wait(self._settling, timeout=seconds)
        for settling in self._settling:
            settling.cancel()

    async def _check_idle(self, session: MailSession) -> None:
        """Keeps a session open, and finds out whether it can be."""
        try:
            await session.keep_open()
        except MailerUnavailable as error:
            if not self._drop(session, error):
                await self._hold_back(str(error), Cause.CONNECTION)
        except Exception:
            log.exception("session_not_checked")
        else:
            if self._pause.cause is Cause.CONNECTION:
                self._pause.end()
        self._changed.set()
