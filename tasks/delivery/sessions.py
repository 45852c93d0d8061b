"""The sessions of a process with its mail server: as many as are needed and as the server takes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Generic, NamedTuple

from tasks.mail.mailer import MailSession
from tasks.message import Payload, QueuedMessage

IDLE_SECONDS = 30.0
"""The time after which an idle session is closed, or, if it is kept open, checked."""
GROWTH_INTERVAL_SECONDS = 30.0
"""The time between one session more and the next, once the server wanted fewer."""
ABORT_SECONDS = 1.0


class PoolSize(NamedTuple):
    """How many sessions are kept open, and how many there can be."""

    kept_open: int
    maximum: int


class SessionPool(Generic[Payload]):
    """Hands each e-mail to ``deliver`` with a session that nobody else uses meanwhile.

    ``check_idle`` gets sessions that are to be kept open.
    """

    def __init__(
        self,
        size: PoolSize,
        create_session: Callable[[], MailSession],
        deliver: Callable[[QueuedMessage[Payload], MailSession], Awaitable[None]],
        check_idle: Callable[[MailSession], Awaitable[None]],
    ) -> None:
        self._size = size
        self._create_session = create_session
        self._deliver = deliver
        self._check_idle = check_idle
        self._waiting: asyncio.Queue[QueuedMessage[Payload]] = asyncio.Queue()
        self._sessions: dict[MailSession, asyncio.Task[None]] = {}
        self._busy: set[MailSession] = set()
        self._limit = size.maximum
        self._grows_at = 0.0
        self._is_closing = False

    @property
    def keeps_open(self) -> bool:
        """Whether idle sessions are kept open, and so checked."""
        return self._size.kept_open > 0

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._open_sessions()

    def get_limit(self) -> int:
        """How many sessions there can be now."""
        now = asyncio.get_running_loop().time()
        if self._limit < self._size.maximum and now >= self._grows_at:
            self._limit += 1
            self._grows_at = now + GROWTH_INTERVAL_SECONDS
        return self._limit

    def put(self, messages: Iterable[QueuedMessage[Payload]]) -> None:
        for message in messages:
            self._waiting.put_nowait(message)
        self._open_sessions()

    def take_waiting(self) -> list[QueuedMessage[Payload]]:
        """Returns, and removes, the e-mails that no session has begun."""
        return [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]

    async def open(self, session: MailSession) -> None:
        """Opens a session, and then others that are needed.

        Raises:
            MailerUnavailable
        """
        await session.open()
        self._open_sessions()

    def drop(self, session: MailSession) -> bool:
        """Does without a session that the server did not want, if there are others.

        Returns whether there are. There will be no more than those for a while.
        """
        others = [
            other
            for other in self._sessions
            if other is not session and (other.is_open or other in self._busy)
        ]
        if not others:
            self._limit = self._size.maximum  # the server takes none: that is no limit of its own
            return False
        del self._sessions[session]
        self._limit_to(len(others))
        return True

    def use_fewer(self, session: MailSession) -> None:
        """Does without a session that the server ended in the middle, unless it is the last one."""
        if len(self._sessions) > 1:
            self._sessions.pop(session, None)
        self._limit_to(len(self._sessions))

    def _limit_to(self, count: int) -> None:
        self._limit = count
        self._grows_at = asyncio.get_running_loop().time() + GROWTH_INTERVAL_SECONDS

    async def close(self, seconds: float) -> None:
        """Waits so long for the e-mails that are being sent, and ends all sessions."""
        self._is_closing = True
        tasks = [*self._sessions.values()]
        for session, task in self._sessions.items():
            if session not in self._busy or not session.is_open:
                task.cancel()
        await _wait(tasks, seconds)
        for session in self._busy:
            session.abort()
        await _wait(tasks, ABORT_SECONDS)
        for task in tasks:
            task.cancel()

    def _open_sessions(self) -> None:
        """Opens sessions for the e-mails that wait, and those that are kept open.

        At first one, then as many as are open already: a wrong password is tried once.
        """
        if self._is_closing:
            return
        count, free = len(self._sessions), len(self._sessions) - len(self._busy)
        opened = sum(session.is_open for session in self._sessions)
        wanted = max(self._waiting.qsize() - free, self._size.kept_open - count)
        for _ in range(min(wanted, self.get_limit() - count, max(1, opened) - (count - opened))):
            session = self._create_session()
            self._sessions[session] = self._tasks.create_task(self._run(session))

    async def _run(self, session: MailSession) -> None:
        try:
            if len(self._sessions) <= self._size.kept_open:
                await self._use(session, self._check_idle(session))
            while session in self._sessions and not self._is_closing:
                if not await self._serve_next(session):
                    break
        finally:
            self._sessions.pop(session, None)
            self._open_sessions()  # for an e-mail that came as this session ended
            await session.close()

    async def _serve_next(self, session: MailSession) -> bool:
        """Returns False once the session is not needed any more."""
        message = None
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._waiting.get()
        if message is not None:
            await self._use(session, self._deliver(message, session))
        elif len(self._sessions) > self._size.kept_open:
            return False
        else:
            await self._use(session, self._check_idle(session))
        return True

    async def _use(self, session: MailSession, work: Awaitable[None]) -> None:
        self._busy.add(session)
        try:
            await work
        finally:
            self._busy.discard(session)
            self._open_sessions()


async def _wait(tasks: Iterable[asyncio.Task[None]], seconds: float) -> None:
    if unfinished := [task for task in tasks if not task.done()]:
        await asyncio.wait(unfinished, timeout=seconds)
