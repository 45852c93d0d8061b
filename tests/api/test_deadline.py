"""How long many may wait, by one timer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.api.deadline import Deadline

SHORT = 0.2


async def outcome(awaited: Awaitable[str]) -> tuple[str, float]:
    """What came of it, and after how many seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        return await awaited, loop.time() - began
    except TimeoutError:
        return "late", loop.time() - began


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def never() -> str:
    return await asyncio.get_running_loop().create_future()


def test_what_comes_in_time_is_given() -> None:
    async def story() -> None:
        assert await Deadline(SHORT).wait_for(after(0)) == "done"

    asyncio.run(story())


def test_each_has_its_time_whenever_it_began() -> None:
    async def story() -> None:
        deadline = Deadline(SHORT)

        async def begin(delay: float, awaited: Callable[[], Awaitable[str]]) -> tuple[str, float]:
            await asyncio.sleep(delay)
            return await outcome(deadline.wait_for(awaited()))

        quick = [begin(n * SHORT / 4, lambda: after(SHORT / 4)) for n in range(12)]
        slow = [begin(n * SHORT / 4, never) for n in range(12)]
        told = await asyncio.gather(*quick, *slow)
        assert {said for said, _ in told[:12]} == {"done"}
        assert {said for said, _ in told[12:]} == {"late"}
        assert all(SHORT <= seconds < 2 * SHORT for _, seconds in told[12:]), told

    asyncio.run(story())


def test_it_begins_anew_after_a_pause() -> None:
    async def story() -> None:
        deadline = Deadline(SHORT)
        for _ in range(2):
            assert await deadline.wait_for(after(0)) == "done"
            await asyncio.sleep(1.5 * SHORT)
            said, seconds = await outcome(deadline.wait_for(never()))
            assert said == "late"
            assert SHORT <= seconds < 2 * SHORT

    asyncio.run(story())


def test_who_does_not_end_holds_nobody_else_up() -> None:
    """One that takes its time to go, as a task that cleans up may, while others are ended beside it."""

    async def story() -> None:
        deadline = Deadline(SHORT)

        async def stubborn() -> str:
            try:
                return await never()
            finally:
                await asyncio.sleep(3 * SHORT)

        async def later() -> tuple[str, float]:
            await asyncio.sleep(1.5 * SHORT)
            return await outcome(deadline.wait_for(never()))

        (first, _), (second, seconds) = await asyncio.gather(outcome(deadline.wait_for(stubborn())), later())
        assert (first, second) == ("late", "late")
        assert SHORT <= seconds < 2 * SHORT

    asyncio.run(story())


def test_who_is_cancelled_is_not_late() -> None:
    async def story() -> None:
        waiting = asyncio.create_task(Deadline(SHORT).wait_for(never()))
        await asyncio.sleep(SHORT / 4)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(story())
