"""A worker ends in the middle of sixteen sessions: no mail is lost, few come again."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.support.relay import Kind
from tests.support.run_length import RunLength
from tests.support.sender import SESSIONS, OpenPost, Post, recipients
from tests.support.servers import wait_until

STOPS_WITHIN = 10.0
A_MAIL_TAKES = 0.2
"""Seconds before a mail is confirmed."""


@pytest.fixture(scope="module")
def rounds(run_length: RunLength) -> int:
    return run_length(1, 10)


@pytest.fixture(scope="module")
def hurries(run_length: RunLength) -> bool:
    """Short: leases are ended by hand."""
    return bool(run_length(1, 0))


@pytest.fixture(scope="module", autouse=True)
def repeated(open_post: OpenPost, rounds: int, hurries: bool) -> Iterator["Future[list[set[str]]]"]:
    """Whose mail came twice after each kill, beside the test of another worker."""
    post = open_post()

    def kill(number: int) -> set[str]:
        campaign = start_campaign(post, f"jane{number}-")
        post.sender.processes[0].kill_all()
        return finish(post, campaign, hurries=hurries)

    with ThreadPoolExecutor() as threads:
        yield threads.submit(lambda: list(map(kill, range(rounds))))


def test_a_worker_that_is_asked_to_stop_repeats_only_what_was_not_confirmed(
    open_post: OpenPost, rounds: int, hurries: bool
) -> None:
    post = open_post()
    for number in range(rounds):
        slow = recipients(f"slow{number}-", 3)
        campaign = start_campaign(post, f"john{number}-", slow)
        began = time.monotonic()
        assert post.sender.processes[0].stop() == 0
        stopped = time.monotonic()
        assert stopped - began < STOPS_WITHIN
        assert len(post.relay.receipts) < len(campaign), "it stopped too late to show anything"
        confirmed = {
            receipt.recipient
            for receipt in post.relay.receipts
            if receipt.confirmed_at is not None and receipt.confirmed_at < stopped
        }
        assert not confirmed & set(slow)
        assert not finish(post, campaign, hurries=hurries) & confirmed


def test_a_worker_that_is_killed_repeats_at_most_one_mail_a_session(
    repeated: "Future[list[set[str]]]",
) -> None:
    assert all(len(each) <= SESSIONS for each in repeated.result())


def start_campaign(post: Post, name: str, slow: Sequence[str] = ()) -> list[str]:
    """The recipients of mails of which a third has arrived, and all of ``slow``.

    Those are not confirmed for a minute.
    """
    post.relay.become(Kind(replies={".": post.relay.after(A_MAIL_TAKES, "250 taken")}))
    for recipient in slow:
        post.relay.answer(recipient, dot=post.relay.after(60))
    post.sender.owe(*slow)
    wait_until(lambda: post.relay.copies().keys() == set(slow), "the slow ones")
    campaign = recipients(name, 15 * SESSIONS)
    post.sender.owe(*campaign)
    wait_until(lambda: len(post.relay.receipts) > len(campaign) / 3, "a third of them")
    return [*slow, *campaign]


def finish(post: Post, campaign: list[str], *, hurries: bool) -> set[str]:
    """Starts the worker again, until all is sent; the recipients whose mail came twice."""
    post.relay.script.clear()
    post.sender.processes[0].start()
    if hurries:
        post.sender.make_due(campaign)
    post.sender.wait_until_sent(campaign, 60)
    copies = post.relay.copies()
    assert copies.keys() == set(campaign)
    assert max(copies.values()) <= 2
    repeated = {recipient for recipient, count in copies.items() if count == 2}
    for recipient in repeated:
        first, second = post.relay.to(recipient)
        assert first.message_id == second.message_id
    return repeated
