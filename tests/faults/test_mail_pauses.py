"""Mail servers that refuse: whose fault it is, and what is held back until it is mended."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, zip_longest

import pytest

from service.health.model import Reason
from tests.support.relay import Kind, Login
from tests.support.sender import SESSIONS, OpenPost, Post, recipients
from tests.support.servers import wait_until
from tests.support.web import run_web

CAMPAIGN = recipients("jane", 60)
A_WHILE = 0.1
"""Seconds that a mail takes where the number of sessions matters."""
UNKNOWN, BLOCKED = "550 5.1.1 no such mailbox", "550 5.7.1 blocked"
with_login = partial(Kind, login=Login("PLAIN", "ann", "hunter2"))


def confirm() -> str:
    time.sleep(A_WHILE)
    return "250 taken"


MENDED = with_login(replies={".": confirm})
ABOUT_US = {
    "greets nobody": with_login(replies={"greeting": "421 4.3.2 closed"}),
    "rejects our password": Kind(login=Login("PLAIN", "ann", "another")),
    "declines our sender": with_login(replies={"MAIL": "451 4.3.0 not now"}),
    "denies relaying": with_login(replies={"RCPT": "554 5.7.1 relay access denied"}),
    "refuses all content": with_login(replies={".": "552 5.2.2 over quota"}),
}
RESUMES_WITHIN = 45.0
"""Seconds: the third wait of a paused queue, and then the campaign."""

Scenario = Callable[[Post], None]


def hold_back_until_mended(post: Post) -> None:
    """A campaign is held back without a failure, and goes once the server is another."""
    post.sender.owe(*CAMPAIGN)
    wait_until(post.sender.pause, "the queue to be paused")
    efforts = post.relay.efforts
    time.sleep(1)
    assert post.relay.efforts <= efforts + 2
    assert post.sender.states(CAMPAIGN) == {"queued": len(CAMPAIGN)}
    mend(post)


def try_one_at_a_time(post: Post) -> None:
    """While relaying is denied, one mail at a time shows whether it still is."""
    post.relay.become(ABOUT_US["denies relaying"])
    post.sender.owe(*CAMPAIGN)
    wait_until(post.sender.pause, "the queue to be paused")
    tried = post.relay.verbs().count("MAIL")
    assert tried < len(CAMPAIGN)
    wait_until(lambda: post.relay.verbs().count("MAIL") > tried, "another try")
    time.sleep(1)
    assert post.relay.verbs().count("MAIL") <= tried + 3
    assert post.sender.states(CAMPAIGN) == {"queued": len(CAMPAIGN)}


def mend(post: Post) -> None:
    """All mails go, each once, and the log told only once that they were held back."""
    post.relay.become(MENDED)
    post.sender.wait_until_sent(CAMPAIGN, RESUMES_WITHIN)
    post.check_each_arrived_once(CAMPAIGN)
    assert post.relay.most_sessions == SESSIONS
    assert len(post.sender.pauses()) == 1
    wait_until(lambda: post.sender.pause() is None, "the heartbeat to say so")


def block_some(post: Post) -> None:
    """Many recipients of one domain, and one of each of a few others, among good ones."""
    fail_alone(post, BLOCKED, [*recipients("gone", 12, domains=1), *recipients("away", 4)])
    assert post.sender.pauses() == []


def block_many(post: Post) -> None:
    """Recipients of so many domains look like our own fault for a while."""
    fail_alone(post, BLOCKED, recipients("gone", 12, domains=12))


def know_few(post: Post) -> None:
    """An address that does not exist is never our fault."""
    fail_alone(post, UNKNOWN, recipients("gone", 12, domains=12))
    assert post.sender.pauses() == []


def fail_alone(post: Post, reply: str, refused: Sequence[str]) -> None:
    for recipient in refused:
        post.relay.answer(recipient, RCPT=reply)
    mixed = zip_longest(*[iter(CAMPAIGN)] * 4, refused)
    post.sender.owe(*filter(None, chain.from_iterable(mixed)))
    post.sender.wait_until_sent(CAMPAIGN, RESUMES_WITHIN)
    wait_until(
        lambda: post.sender.states(refused) == {"failed": len(refused)},
        "the others to fail",
        RESUMES_WITHIN,
    )
    post.check_each_arrived_once(CAMPAIGN)
    assert {post.sender.delivery(recipient).error for recipient in refused} == {reply}


def tell_readiness(post: Post) -> None:
    with run_web(post.sender.directory, post.sender.redis_url) as service:

        def is_told() -> bool:
            readiness = service.readiness()
            assert readiness.get("status") != "ok", "there is no scheduler"
            return Reason.MAIL_LINKS_PAUSED in readiness.get("reasons", [])

        assert not is_told()
        post.relay.become(with_login(replies={"MAIL": "550 5.1.0 no such sender"}))
        post.sender.owe(*CAMPAIGN)
        wait_until(is_told, "readiness to tell")
        mend(post)
        wait_until(lambda: not is_told(), "readiness to tell no more")


SCENARIOS: dict[str, tuple[Kind, Scenario]] = {
    **{name: (kind, hold_back_until_mended) for name, kind in ABOUT_US.items()},
    "denies relaying, and is tried": (MENDED, try_one_at_a_time),
    "blocks some recipients": (MENDED, block_some),
    "blocks recipients of many domains": (MENDED, block_many),
    "knows few recipients": (MENDED, know_few),
    "refuses us, which readiness tells": (MENDED, tell_readiness),
}


@pytest.fixture(scope="module")
def played(open_post: OpenPost) -> Iterator[dict[str, "Future[None]"]]:
    """All scenarios at once, for most of their time is waiting."""
    with ThreadPoolExecutor(len(SCENARIOS)) as threads:
        futures: dict[str, Future[None]] = {}
        for name, (kind, scenario) in SCENARIOS.items():
            post = open_post(userinfo="ann:hunter2")
            post.relay.become(kind)
            futures[name] = threads.submit(scenario, post)
        yield futures


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_server_that(played: dict[str, "Future[None]"], name: str) -> None:
    played[name].result()
