"""Mail servers as they are: slow, strict, limited, old. Every mail arrives, and arrives once."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from service.orgs import store as orgs
from service.orgs.model import Profile
from tests.support.relay import Kind
from tests.support.run_length import RunLength
from tests.support.sender import SESSIONS, OpenPost, Post, recipients
from tests.support.servers import wait_until

SLOW, TARPIT, GREYLISTED = "slow@example.com", "tarpit@example.com", "greylisted@example.com"
SILENT, FIRST = "silent@example.com", "first@example.com"
LATE_BY = 1.5
"""Seconds that a busy machine may add to a wait."""
A_WHILE = 0.03
"""Seconds that a mail takes where the number of sessions matters."""


def confirm_and_wait() -> Iterator[str]:
    yield "250 taken"
    time.sleep(A_WHILE)
    yield "421 4.4.2 idle for too long"


KINDS: dict[str, Kind] = {
    "knows HELO only": Kind(replies={"EHLO": "502 5.5.1 unknown command"}),
    "has no extensions": Kind(extensions=()),
    "has no 8BITMIME": Kind(extensions=("PIPELINING", "SMTPUTF8")),
    "has no SMTPUTF8": Kind(extensions=("PIPELINING", "8BITMIME")),
    "loses commands that are pipelined": Kind(loses_pipelined=True),
    "forwards": Kind(replies={"RCPT": "251 2.1.5 will forward"}),
    "cannot verify": Kind(replies={"RCPT": "252 2.1.5 will try", ".": "252 2.0.0 taken"}),
    "says little": Kind(replies=dict.fromkeys(("MAIL", "RCPT", "."), "250")),
    "says much": Kind(replies=dict.fromkeys(("MAIL", "RCPT", "."), "250-so\r\n250-far\r\n250 ok")),
    "ends a session after 5 mails": Kind(mails_per_session=5),
    "ends a session after 1 mail": Kind(mails_per_session=1),
    "ends a session unasked": Kind(replies={".": lambda: ["250 taken", "421 4.4.2 timeout"]}),
    "ends an idle session": Kind(replies={".": confirm_and_wait}),
}


@pytest.fixture(scope="module")
def delays(run_length: RunLength) -> list[int]:
    """Seconds before a slow server's reply to the final dot. The longest outlasts a lease."""
    return [run_length(1, 12), run_length(3, 60), run_length(25, 240)]


@pytest.fixture(scope="module")
def tarpit_delay(run_length: RunLength) -> int:
    """Seconds before a tarpit's reply to RCPT."""
    return run_length(5, 50)


@pytest.fixture(scope="module")
def code_life(run_length: RunLength) -> int:
    """The life of a code in seconds; its server greylists it for half of that."""
    return run_length(24, 600)


@pytest.fixture(scope="module")
def others() -> list[str]:
    return recipients("other", 40)


@pytest.fixture(scope="module", autouse=True)
def slow(
    open_post: OpenPost,
    delays: list[int],
    tarpit_delay: int,
    code_life: int,
    others: list[str],
) -> Post:
    """Two processes for each queue, with slow recipients and those of ``others``, all at once."""
    post = open_post("worker", "worker")
    owe_both(post, FIRST)
    wait_until(lambda: post.relay.copies().keys() >= {FIRST, f"code.{FIRST}"}, "running workers")
    post.relay.greylist(GREYLISTED, code_life / 2)
    post.sender.owe_code(GREYLISTED, timedelta(seconds=code_life))
    for delay in delays:
        post.relay.answer(f"{delay}.{SLOW}", dot=post.relay.after(delay))
        post.relay.answer(f"code.{delay}.{SLOW}", dot=post.relay.after(delay))
        owe_both(post, f"{delay}.{SLOW}")
    post.relay.answer(TARPIT, RCPT=post.relay.after(tarpit_delay))
    post.relay.answer(f"code.{TARPIT}", RCPT=post.relay.after(tarpit_delay))
    owe_both(post, TARPIT)
    wait_until(lambda: len(post.relay.tries) == 2 * len(delays) + 5, "all to be under way")
    post.sender.owe(*others[10:])
    for other in others[:10]:
        owe_both(post, other)
    return post


def owe_both(post: Post, recipient: str) -> None:
    """A link to ``recipient``, and a code to another of that name."""
    post.sender.owe(recipient)
    post.sender.owe_code(f"code.{recipient}", timedelta(minutes=10))


@pytest.fixture(scope="module", autouse=True)
def silent(open_post: OpenPost, run_length: RunLength) -> Iterator["Future[Post]"]:
    """A server that never confirms one mail, once the worker gave it up. Short: without waits."""
    post = open_post(SMTP_TIMEOUT=f"{run_length(3, 60)}s")
    post.relay.answer(SILENT, dot=post.relay.never)
    post.sender.owe(SILENT)

    def give_up() -> Post:
        for times in (1, 2, 3):
            wait_until(partial(is_unconfirmed, post, times), f"unknown outcome {times}", 180)
            if run_length(1, 0):
                post.sender.make_due([SILENT])
        wait_until(lambda: post.sender.delivery(SILENT).state == "failed", "the end of it", 180)
        return post

    with ThreadPoolExecutor() as threads:
        yield threads.submit(give_up)


def is_unconfirmed(post: Post, times: int) -> bool:
    return post.sender.delivery(SILENT).unconfirmed == times


@pytest.fixture(scope="module")
def plain(open_post: OpenPost) -> Post:
    return open_post()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_server_of_any_kind_gets_every_mail_once(plain: Post, kind: Kind) -> None:
    plain.relay.become(kind)
    for name in ("jane", "john"):
        plain.check_all_arrive(recipients(name, 24))


@pytest.mark.parametrize("refuses", [False, True], ids=["421", "reset"])
def test_a_server_that_takes_few_sessions_gets_fewer(open_post: OpenPost, refuses: bool) -> None:
    post = open_post()
    confirm = post.relay.after(A_WHILE, "250 taken")
    post.relay.become(Kind(max_sessions=3, refuses_connections=refuses, replies={".": confirm}))
    post.check_all_arrive(recipients("jane", 60))
    assert post.relay.connections < 2 * SESSIONS


def test_a_server_that_greets_late_is_awaited(plain: Post, run_length: RunLength) -> None:
    plain.relay.become(Kind(replies={"greeting": plain.relay.after(run_length(2, 12), "220 hi")}))
    plain.check_all_arrive(recipients("early", 24))


def test_a_mail_that_is_too_big_fails_alone(plain: Post) -> None:
    plain.relay.become(Kind(max_size=14_000))
    logo = "data:image/png;base64," + "iVBORw0KGgoA" * 900
    plain.sender.store.run(orgs.put_profile("big", Profile(logo=logo)))
    plain.sender.owe("big@example.com", org_id="big")
    plain.check_all_arrive(recipients("small", 24))
    wait_until(lambda: plain.sender.delivery("big@example.com").state == "failed", "the big one")
    assert plain.relay.to("big@example.com") == []


def test_a_link_that_is_revoked_after_its_mail_was_claimed_is_not_sent(plain: Post) -> None:
    plain.relay.become(Kind())
    busy, revoked = recipients("busy", SESSIONS), recipients("revoked", 4)
    for recipient in busy:
        plain.relay.answer(recipient, RCPT=plain.relay.after(1.5))
    plain.sender.owe(*busy)
    wait_until(lambda: len(plain.relay.tries) == SESSIONS, "every session to be busy")
    plain.sender.owe(*revoked)
    wait_until(lambda: all(map(plain.sender.is_claimed, revoked)), "the mails to be claimed")
    for recipient in revoked:
        plain.sender.revoke(recipient)
    plain.sender.wait_until_sent(busy)
    plain.check_all_arrive(recipients("later", 4))
    assert not plain.relay.tries.keys() & set(revoked)
    assert plain.sender.states(revoked) == {"none": len(revoked)}


def test_slow_recipients_delay_nobody_else(
    slow: Post, others: list[str], tarpit_delay: int
) -> None:
    slow.sender.wait_until_sent(others)
    codes = [f"code.{other}" for other in others[:10]]
    wait_until(lambda: slow.relay.copies().keys() >= set(codes), "every code")
    tarpits = slow.relay.tries[TARPIT] + slow.relay.tries[f"code.{TARPIT}"]
    last = max(slow.relay.to(each)[0].at for each in (*others, *codes))
    assert last < min(tarpits) + tarpit_delay
    assert all(slow.relay.copies()[each] == 1 for each in (*others, *codes))


def test_a_tarpit_gets_its_mail_once(slow: Post, tarpit_delay: int) -> None:
    slow.sender.wait_until_sent([TARPIT], tarpit_delay + 30)
    for recipient in (TARPIT, f"code.{TARPIT}"):
        wait_until(partial(slow.relay.to, recipient), f"the mail to {recipient}")
        assert len(slow.relay.to(recipient)) == len(slow.relay.tries[recipient]) == 1


def test_a_greylisted_code_is_tried_again_soon_enough(slow: Post, code_life: int) -> None:
    """At most a quarter of the life it has left after the try before, and it arrives in time."""
    wait_until(lambda: slow.relay.to(GREYLISTED), "the code to arrive", code_life)
    tries = slow.relay.tries[GREYLISTED]
    ends_at = tries[0] + code_life
    for earlier, later in itertools.pairwise(tries):
        assert later - earlier < (ends_at - earlier) / 4 + LATE_BY
    assert len(slow.relay.to(GREYLISTED)) == 1


def test_a_server_that_never_confirms_gets_a_mail_four_times_and_no_more(
    silent: "Future[Post]",
) -> None:
    post = silent.result()
    assert post.sender.delivery(SILENT).error == "the server never confirmed"
    assert len(post.relay.to(SILENT)) == 4
    assert len({receipt.message_id for receipt in post.relay.to(SILENT)}) == 1
    post.check_all_arrive(recipients("confirmed", 10))


def test_a_server_that_hangs_up_before_it_has_a_mail_is_tried_as_long_as_it_takes(
    plain: Post,
) -> None:
    """The mail was never handed over, so its outcome is known."""
    plain.relay.become(Kind())
    plain.relay.answer(SILENT, DATA=None)
    plain.sender.owe(SILENT)
    for attempts in range(1, 6):
        wait_until(partial(has_failed, plain, attempts), f"attempt {attempts}")
        plain.sender.make_due([SILENT])
    plain.relay.script.clear()
    plain.sender.wait_until_sent([SILENT])
    assert plain.sender.delivery(SILENT).unconfirmed == 0
    plain.check_each_arrived_once([SILENT])


def has_failed(post: Post, attempts: int) -> bool:
    return post.sender.delivery(SILENT).attempts == attempts


@pytest.mark.parametrize("number", range(3))
def test_a_server_that_takes_long_to_confirm_gets_the_mail_once(
    slow: Post, delays: list[int], number: int
) -> None:
    """Short: after 1, 3 and 25 s; full: after 12 s, a minute and 4 minutes."""
    recipient = f"{delays[number]}.{SLOW}"
    slow.sender.wait_until_sent([recipient], delays[number] + 30)
    assert slow.sender.delivery(recipient).attempts == 1
    for each in (recipient, f"code.{recipient}"):
        wait_until(partial(is_confirmed, slow, each), "its confirmation")
        assert len(slow.relay.to(each)) == len(slow.relay.tries[each]) == 1


def is_confirmed(post: Post, recipient: str) -> bool:
    return all(receipt.confirmed_at is not None for receipt in post.relay.to(recipient))
