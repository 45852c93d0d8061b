"""What the console tells its users while a worker holds its mail back."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from service.health import store as heartbeats
from service.health.model import Pause
from tests.browser.conftest import DESKTOP, NARROW, Visit
from tests.browser.console import enter, rows
from tests.support.redis_client import RedisClient
from tests.support.servers import wait_until
from tests.support.service_processes import Service

LINKS = "E-mails with payment links are held back until the mail server takes them again"
CODES = "One-time passwords are held back until the mail server takes them again"
BOTH = "All e-mails are held back until the mail server takes them again"
PAUSE = Pause("535 5.7.8", datetime.fromisoformat("2026-11-30T10:58:00Z"))
LINES_OF_CODE = """item => {
  const text = item.lastChild;
  const [code] = /535\\s5\\.7\\.8/.exec(text.data);
  const range = document.createRange();
  range.setStart(text, text.data.indexOf(code));
  range.setEnd(text, text.data.indexOf(code) + code.length);
  return new Set([...range.getClientRects()].map(({ top }) => top)).size;
}"""

Pauses = Callable[..., None]
"""Sets the queues whose mail another worker holds back: see ``pause``."""


@pytest.fixture
def pause(service: Service, store: RedisClient) -> Iterator[Pauses]:
    def set_paused(*queues: str) -> None:
        for queue in ("links", "otps"):
            process_type, process = f"worker-{queue}", "mail-2:1"
            if queue in queues:
                store.run(heartbeats.record(process_type, process, skew=timedelta(0), pause=PAUSE))
            else:
                store.run(heartbeats.remove(process_type, process))
        expected = [f"mail_{queue}_paused" for queue in queues]
        wait_until(lambda: service.readiness().get("reasons") == expected, "readiness")

    yield set_paused
    set_paused()


def test_an_org_admin_reads_that_mail_is_held_back_for_as_long_as_it_is(
    visit: Visit, make: Any, pause: Pauses
) -> None:
    make("acme")
    visitor = visit(DESKTOP)
    visitor.install_clock()
    page = enter(visitor, "acme")
    expect(rows(page)).not_to_have_count(0)
    expect(page.get_by_text("held back")).to_have_count(0)
    pause("links")
    page.clock.run_for(30_000)
    expect(page.get_by_role("status").get_by_text(LINKS)).to_be_visible()
    expect(page.get_by_text(CODES)).to_have_count(0)
    expect(page.get_by_text("535")).to_have_count(0)
    visitor.check("console mail paused, desktop, light")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    visitor.check("console mail paused, narrow, light")
    pause("links", "otps")
    page.clock.run_for(30_000)
    expect(page.locator("main .notice")).to_have_count(1)
    expect(page.locator("main .notice")).to_contain_text(BOTH)
    visitor.check("console all mail paused, narrow, light")
    pause("otps")
    page.clock.run_for(30_000)
    expect(page.locator("main .notice")).to_contain_text(CODES)
    pause()
    page.clock.run_for(30_000)
    expect(page.get_by_text("held back")).to_have_count(0)
    expect(rows(page)).not_to_have_count(0)


def test_an_internal_admin_reads_since_when_and_why(visit: Visit, pause: Pauses) -> None:
    pause("otps")
    visitor = visit(DESKTOP)
    page = enter(visitor)
    told = page.get_by_role("status").get_by_role("listitem").filter(has_text=CODES)
    expect(told).to_contain_text("11:58\u00a0WAT: 535 5.7.8 (the login is refused)")
    visitor.check("console mail paused, overview, desktop, light")
    for width in range(320, 420, 10):
        page.set_viewport_size({"width": width, "height": 800})
        assert (width, told.evaluate(LINES_OF_CODE)) == (width, 1)
