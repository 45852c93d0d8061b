"""A real browser and the real service.

A message in a page's console, or a request to another host, fails the test.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from service.auth.tokens import Role
from tests.browser.pay import BRAND, path_of
from tests.browser.pay import make as make_for
from tests.support.admins import admin_token, as_admin
from tests.support.factories import UNKNOWN_LINK_ID, make_link, store_link
from tests.support.programs import require_program
from tests.support.redis_client import RedisClient, create_client
from tests.support.servers import MailServer, RedisServer, free_port
from tests.support.service_processes import Service

expect.set_options(timeout=20_000)  # on a busy machine
HERE = Path(__file__).parent
AXE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCREENSHOTS = Path(os.environ["SCREENSHOTS"]) if "SCREENSHOTS" in os.environ else None
"""Where pictures are kept, if at all: they take as long as the rest."""
STILL = 0.001
"""A sum of layout shifts that nobody sees; 0.1 is held to be good."""
REASON = "550 5.1.1 <b>No such user</b> here"
LOCALE = "en-NG"
PHONE, DESKTOP, NARROW = (390, 844), (1280, 800), (320, 640)
MOVING = """() => {
  const parts = [null, "::before", "::after", "::backdrop"];
  const isLong = (time) => time !== "0s";
  const moves = (style) =>
    style.animationName !== "none" || style.transitionDuration.split(", ").some(isLong);
  const all = [...document.querySelectorAll("*")];
  const canMove = (one) => parts.some((part) => moves(getComputedStyle(one, part)));
  const moving = document.getAnimations().map((animation) => animation.effect.target);
  return [...moving, ...all.filter(canMove)].map((element) => element.outerHTML);
}"""
SHIFTED = """() => new Promise((tell) => {
  let sum = 0;
  const add = (entries) => entries.forEach((entry) => (sum += entry.value));
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  const afterwards = () => setTimeout(() => (add(observer.takeRecords()), tell(sum)), 100);
  requestAnimationFrame(() => requestAnimationFrame(afterwards));
})"""
PAINTED = """() => new Promise((tell) => {
  const look = (list) => list.getEntriesByName("first-contentful-paint").length && tell();
  new PerformanceObserver(look).observe({ type: "paint", buffered: true });
})"""
HASTE = "Autofocus processing was blocked because a document already has a focused element."
"""Said where a visitor types before the browser first paints the page."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""The browser asks nobody anything of its own accord."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playwright hangs after a time-out within its loop, so that one ends the worker instead."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(method="thread"))


class Contexts:
    """Browser contexts, of which one is used again and again.

    It is as empty as a new one and takes half as long: a page that stays open keeps the renderer
    alive.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._idle: list[BrowserContext] = []

    def take(self, locale: str, *, script: bool) -> BrowserContext:
        if (locale, script) != (LOCALE, True):
            return self._new(locale, script=script)
        if self._idle:
            return self._idle.pop()
        context = self._new(locale, script=script)
        context.new_page().goto(f"{self._url}/healthz")
        return context

    def give_back(self, context: BrowserContext) -> None:
        """Empties the context for the next test, or closes it if it is not the usual one."""
        first, *others = context.pages
        if self._idle or not first.url.endswith("/healthz"):
            context.close()
            return
        for page in others:
            page.close()
        context.clear_cookies()
        context.clear_permissions()
        context.set_offline(False)
        self._idle.append(context)

    def _new(self, locale: str, *, script: bool) -> BrowserContext:
        return self._browser.new_context(
            viewport={"width": PHONE[0], "height": PHONE[1]},
            color_scheme="light",
            reduced_motion="reduce",
            locale=locale,
            java_script_enabled=script,
            timezone_id="Africa/Lagos",
        )


class Visitor:
    """Somebody with a browser of their own."""

    def __init__(
        self, context: BrowserContext, url: str, axe: str, leave: Callable[[BrowserContext], None]
    ) -> None:
        self.context = context
        self.url = url
        self._axe = axe
        self._leave = leave
        self._refusals: set[str] = set()
        self._hosts = {urlsplit(url).netloc}
        self.complaints: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self._hear(message.text, message.location["url"]))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", lambda request: self._see(request.url))

    def open(self, path: str, status: int = 200) -> Page:
        """Opens ``path``, expects ``status``, and errors of that kind in the browser's console."""
        if status >= 400:
            self.expect_refusal(path)
        answer = self.page.goto(f"{self.url}{path}")
        assert answer is not None
        assert answer.status == status
        return self.page

    def expect_refusal(self, path: str) -> None:
        """``path`` will be answered with an error."""
        self._refusals.add(f"{self.url}{path}")

    def expect_host(self, host: str) -> None:
        """A page will lead to another host."""
        self._hosts.add(host)

    def go_offline(self) -> None:
        """Loses the network, perhaps before the browser has fetched the page's icon."""
        self.expect_refusal("/favicon.svg")
        self.context.set_offline(True)

    def install_clock(self, time: datetime | None = None) -> None:
        """Puts a clock that tests turn in the whole context, which is not used again."""
        self.page.clock.install(time=time)
        self._leave = BrowserContext.close

    def leave(self) -> None:
        """Ends the visit. Requests that a test still intercepts are ignored."""
        self.page.unroute_all(behavior="ignoreErrors")
        self._leave(self.context)

    def check(self, name: str | None = None) -> None:
        """The page is accessible (WCAG 2.2 AA) and fits. A picture of it is kept as ``name``."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(self._axe)
        found = self.page.evaluate(
            "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", RULES
        )
        assert [
            (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]
        ] == []
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            "it scrolls sideways"
        )
        if name is not None:
            self.shoot(name)

    @contextmanager
    def opened_before(self, script: str, path: str) -> Iterator[Page]:
        """Opens ``path``, whose ``script`` comes when all else is painted and the block is done."""
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        self.page.route(script, hold, times=1)
        self.page.goto(f"{self.url}{path}", wait_until="commit")
        self.page.evaluate(PAINTED)
        yield self.page
        [route] = held
        route.continue_()
        self.page.wait_for_load_state()

    def shifted(self) -> float:
        """The sum of the page's layout shifts since it was opened."""
        found: float = self.page.evaluate(SHIFTED)
        return found

    def moving(self) -> list[str]:
        """What is animated right now, or would be as soon as it changes."""
        found: list[str] = self.page.evaluate(MOVING)
        return found

    def shoot(self, name: str, *, whole: bool = True) -> None:
        """Keeps a picture: of the whole page, or of what a dialog leaves of it."""
        if SCREENSHOTS is not None:
            SCREENSHOTS.mkdir(exist_ok=True)
            self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)

    def _hear(self, text: str, url: str) -> None:
        is_expected = text.startswith("Failed to load resource") and url in self._refusals
        if not is_expected and text not in HASTE:
            self.complaints.append(f"{text} ({url})")

    def _see(self, url: str) -> None:
        if (
            urlsplit(url).scheme not in {"data", "about", "blob"}
            and urlsplit(url).netloc not in self._hosts
        ):
            self.complaints.append(f"foreign request: {url}")


Visit = Callable[..., Visitor]
"""Makes a visitor: see ``visit``."""


def leave_without_complaint(visitors: Sequence[Visitor]) -> None:
    """Ends all visits; no browser has found anything wrong with the pages."""
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.leave()
    assert complaints == []


@pytest.fixture(scope="module")
def mails() -> Iterator[MailServer]:
    """A mail server that knows nobody whose name begins with nobody."""
    with MailServer() as server:
        server.mailbox.reply = lambda envelope: (
            REASON if envelope.rcpt_tos[0].startswith("nobody") else None
        )
        yield server


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, own_store: RedisServer, mails: MailServer
) -> Iterator[Service]:
    port = free_port()
    settings = {
        "PORT": str(port),
        "CHECKOUT_URL": f"http://127.0.0.1:{port}/console?link={{link_id}}",
        "OTP_RESEND_AFTER": "1s",
    }
    settings |= {"OTP_CLIENT_SENDS_PER_HOUR": "1000", "OTP_FAILURES_PER_DAY": "20"}
    with Service(
        tmp_path_factory.mktemp("service"), own_store.url, mails.url, **settings
    ) as running:
        yield running


@pytest.fixture
def admin(service: Service) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {admin_token(Role.ORG_ADMIN, 'acme')}"}
    with httpx.Client(base_url=service.url, headers=headers) as client:
        yield client


@pytest.fixture(scope="module")
def store(own_store: RedisServer) -> Iterator[RedisClient]:
    """Looks into the service's store, where time can be made to pass."""
    client = RedisClient(create_client(own_store.url))
    yield client
    client.close()


@pytest.fixture(scope="module")
def ended(service: Service, store: RedisClient) -> dict[str, tuple[str, int]]:
    """Links that are not to be paid: their pages' paths, and with what those are answered."""
    with httpx.Client(base_url=service.url, headers=as_admin()) as admin:
        revoked = make_for(admin)
        admin.delete(f"/payment-links/{revoked['id']}").raise_for_status()
    expired = store_link(store, make_link(datetime.now(UTC) - timedelta(days=4), notify=False))
    return {
        "revoked": (path_of(revoked), 410),
        "expired": (f"/pay/{expired.id}", 410),
        "unknown": (f"/pay/{UNKNOWN_LINK_ID}", 404),
    }


@pytest.fixture
def branded(admin: httpx.Client) -> None:
    """Links of acme present it."""
    assert admin.put("/orgs/acme/profile", json=BRAND).status_code == 200


@pytest.fixture
def make(service: Service) -> Any:
    """Makes links, as another program of the organization would."""

    def create(org_id: str, email: str = "jane@example.com", **fields: Any) -> dict[str, Any]:
        body = {"email": email, "org_id": org_id, "notify": False, **fields}
        answer = httpx.post(f"{service.url}/payment-links", json=body, headers=as_admin())
        assert answer.status_code == 201, answer.text
        link: dict[str, Any] = answer.json()
        return link

    return create


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One a module, for while it runs no other test may use asyncio."""
    chromium = require_program("chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core, as a script."""
    home = tmp_path_factory.mktemp("axe")
    subprocess.run(
        [require_program("npm"), "install", "--no-save", "--silent", "--prefix", str(home), AXE],
        check=True,
        timeout=120,
    )
    return (home / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def contexts(browser: Browser, service: Service) -> Contexts:
    return Contexts(browser, service.url)


@pytest.fixture
def visit(contexts: Contexts, service: Service, axe: str) -> Iterator[Any]:
    """Makes visitors: ``visit(size, scheme=…, motion=…, locale=…, script=…)``."""
    visitors: list[Visitor] = []

    def make(
        size: tuple[int, int] = PHONE,
        *,
        scheme: Any = "light",
        motion: Any = "reduce",
        locale: str = LOCALE,
        script: bool = True,
    ) -> Visitor:
        context = contexts.take(locale, script=script)
        visitor = Visitor(context, service.url, axe, contexts.give_back)
        visitors.append(visitor)
        visitor.page.set_viewport_size({"width": size[0], "height": size[1]})
        visitor.page.emulate_media(color_scheme=scheme, reduced_motion=motion)
        return visitor

    yield make
    leave_without_complaint(visitors)


@pytest.fixture
def blocks_cookies(browser: Browser, service: Service, axe: str, tmp_path: Path) -> Iterator[Any]:
    """Makes a visitor whose browser keeps no cookie: ``blocks_cookies(script=…)``."""
    preferences = tmp_path / "Default" / "Preferences"
    preferences.parent.mkdir()
    preferences.write_text('{"profile": {"default_content_setting_values": {"cookies": 2}}}')
    visitors: list[Visitor] = []

    def make(*, script: bool) -> Visitor:
        context = browser.browser_type.launch_persistent_context(
            tmp_path,
            executable_path=require_program("chromium"),
            args=FLAGS,
            locale=LOCALE,
            java_script_enabled=script,
        )
        visitors.append(Visitor(context, service.url, axe, BrowserContext.close))
        return visitors[-1]

    yield make
    leave_without_complaint(visitors)
