"""Pictures: who draws them, how often, and what is kept of them."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from service.errors import Invalid
from service.values.pictures import Pictures


class Draftsman:
    """Draws ten bytes a picture, and remembers in which thread."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.at_once = self.most_at_once = 0

    def __call__(self) -> bytes:
        self.threads.append(threading.get_ident())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        threading.Event().wait(0.01)
        self.at_once -= 1
        return b"0123456789"


@pytest.fixture
def draw() -> Draftsman:
    return Draftsman()


def ask(pictures: Pictures, draw: Callable[[], bytes], *keys: object) -> list[bytes]:
    """The pictures of ``keys``, asked for at once."""

    async def run() -> list[bytes]:
        return await asyncio.gather(*(pictures.get(key, draw) for key in keys))

    return asyncio.run(run())


def test_a_picture_is_drawn_off_the_event_loop(draw: Draftsman) -> None:
    assert ask(Pictures(), draw, "a") == [b"0123456789"]
    assert draw.threads != [threading.get_ident()]


def test_it_is_drawn_once_for_all_who_ask_at_once(draw: Draftsman) -> None:
    assert ask(Pictures(), draw, *["a"] * 20) == [b"0123456789"] * 20
    assert len(draw.threads) == 1


def test_different_pictures_are_drawn_one_at_a_time(draw: Draftsman) -> None:
    ask(Pictures(), draw, *range(10))
    assert (len(draw.threads), draw.most_at_once) == (10, 1)


def test_it_is_kept(draw: Draftsman) -> None:
    async def run() -> None:
        pictures = Pictures()
        for _ in range(3):
            await pictures.get("a", draw)

    asyncio.run(run())
    assert len(draw.threads) == 1


def test_what_was_asked_for_longest_ago_makes_room(draw: Draftsman) -> None:
    async def run() -> list[int]:
        pictures = Pictures(max_kept_bytes=25)
        drawn = []
        for key in "abacab":
            await pictures.get(key, draw)
            drawn.append(len(draw.threads))
        return drawn

    assert asyncio.run(run()) == [1, 2, 2, 3, 3, 4]


def test_a_picture_that_is_larger_than_all_that_may_be_kept_is_drawn(draw: Draftsman) -> None:
    assert ask(Pictures(max_kept_bytes=5), draw, "a", "b") == [b"0123456789"] * 2


def test_who_goes_away_takes_no_picture_from_others(draw: Draftsman) -> None:
    async def run() -> bytes:
        pictures = Pictures()
        first, second = (asyncio.create_task(pictures.get("a", draw)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(run()) == b"0123456789"
    assert len(draw.threads) == 1


def test_a_picture_that_cannot_be_drawn_is_tried_again() -> None:
    tried = []

    def draw() -> bytes:
        tried.append(1)
        raise Invalid("size", "is too small")

    async def run() -> None:
        pictures = Pictures()
        for _ in range(2):
            with pytest.raises(Invalid):
                await pictures.get("a", draw)

    asyncio.run(run())
    assert len(tried) == 2
