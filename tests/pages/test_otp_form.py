"""The form for a code: after a customer has left it, it shows its state to nobody else."""

import re

import httpx
import pytest

from service.i18n.formats import get_formats
from service.storage import keys
from service.values.ids import partition_of
from tests.support.api import JANE, JOHN, Api, MakeApi, different_code
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.page_client import BROWSER, Browser, error_of, text_of
from tests.support.typed_codes import REFUSED, TAKEN

NO_LONGER = "This code is no longer good: it was used, or a newer one was sent."
COOKIES_NEEDED = "Cookies are needed"


@pytest.fixture
def browser(api: Api) -> Browser:
    """A browser that opens a link sent to Jane."""
    return Browser(api, api.create(otp_required=True, payment_amount=125, currency="USD"))


def is_open(page: httpx.Response) -> bool:
    return "$125.00" in page.text


def clock_of(api: Api) -> str:
    """The time as an English page writes it, with plain spaces."""
    return re.sub(r"\s+", " ", get_formats("en").format_time(api.now))


def asks_for_a_code(page: httpx.Response) -> bool:
    return 'id="otp"' in page.text


def test_a_code_opens_the_link_for_a_day_and_asks_for_nothing_again(
    api: Api, browser: Browser
) -> None:
    page = browser.ask()
    said = (
        f"We sent a code to j***@example.com at {clock_of(api)}. It is good for 10 minutes, and"
        " only the newest works."
    )
    assert (page.status_code, said in text_of(page)) == (200, True)
    assert is_open(browser.enter(api.code()))
    assert [*browser.cookies] == [
        name for name in browser.cookies if name.startswith("payment_link_token_")
    ]
    assert is_open(browser.open())
    assert is_open(browser.ask())
    api.clock.advance(hours=24)
    assert "Send me a code" in browser.open().text


@pytest.mark.parametrize(("path", "life"), [("code", 70 * 60), ("token", 24 * 60 * 60)])
def test_cookies_are_for_our_pages_alone_and_for_no_script(api: Api, path: str, life: int) -> None:
    link = api.create(otp_required=True)
    browser = Browser(api, link)
    browser.ask()
    cookie = "; ".join(f"{name}={value}" for name, (value, _) in browser.cookies.items())
    if path == "code":
        api.forget_limit("resend")
    form = {"otp": api.code()} if path == "token" else {}
    response = api.client.post(
        f"/pay/{link['id']}/{path}",
        data=form,
        headers=BROWSER | {"Cookie": cookie},
        follow_redirects=False,
    )
    sent = response.headers.get_list("set-cookie")[0]
    where = f"/pay/{link['id']}" if path == "code" else "/pay"
    for part in ("HttpOnly", f"Path={where};", "SameSite=lax", "Secure", f"Max-Age={life};"):
        assert part in f"{sent};", sent
    assert response.headers["location"].startswith(f"/pay/{link['id']}")
    assert "?" not in response.headers["location"]


class TestWhoComesBack:
    def test_is_asked_for_the_code_that_was_sent(self, api: Api, browser: Browser) -> None:
        browser.ask()
        said = (
            f"We sent a code to j***@example.com at {clock_of(api)}. It is good for 6 minutes, and"
            " only the newest works."
        )
        api.clock.advance(minutes=4)
        code = api.code()
        page = browser.open()
        assert (asks_for_a_code(page), said in text_of(page)) == (True, True)
        assert api.code() == code, "no other was sent"
        assert is_open(browser.enter(code))

    def test_finds_the_tries_as_they_were_left_in_any_tab(self, api: Api, browser: Browser) -> None:
        browser.ask()
        other_tab = browser
        for _ in range(2):
            other_tab.enter(different_code(api.code()))
        assert "You have 3 tries left." in text_of(browser.open())
        assert (
            error_of(browser.enter(different_code(api.code())))
            == "That is not the code. You have 2 tries left."
        )

    def test_learns_that_the_code_has_expired(self, api: Api, browser: Browser) -> None:
        browser.ask()
        api.clock.advance(minutes=10)
        assert error_of(browser.open()) == "This code has expired. Ask for another."
        assert "Send another code" in browser.open().text

    def test_learns_that_another_device_was_sent_a_newer_one(
        self, api: Api, browser: Browser
    ) -> None:
        browser.ask()
        newer = api.new_code()
        page = browser.open()
        assert (asks_for_a_code(page), error_of(page)) == (True, NO_LONGER)
        assert is_open(browser.enter(newer)), "the newest works here too"

    def test_learns_that_the_code_was_used(self, api: Api, browser: Browser) -> None:
        browser.ask()
        assert api.submit_otp(api.code()).status_code == 200
        assert error_of(browser.open()) == NO_LONGER

    def test_learns_that_the_code_was_tried_too_often_and_cannot_try_it_again(
        self, make_api: MakeApi
    ) -> None:
        api = make_api(OTP_FAILURES_PER_DAY="20")
        browser = Browser(api, api.create(otp_required=True))
        browser.ask()
        for _ in range(5):
            browser.enter(different_code(api.code()))
        page = browser.open()
        assert error_of(page) == "This code was tried too often. Ask for another."
        assert ("data-focus autofocus>" in page.text, " disabled>Open the link" in page.text) == (
            False,
            True,
        )

    def test_is_told_when_another_can_be_sent(self, api: Api, browser: Browser) -> None:
        browser.ask()
        page = browser.open()
        assert 'data-wait="60"' in page.text or 'data-wait="59"' in page.text
        assert "Another code can be sent in 1 minute." in text_of(page)

    def test_from_the_address_of_a_form_is_led_to_the_page(
        self, api: Api, browser: Browser
    ) -> None:
        browser.ask()
        for path in ("/code", "/token"):
            assert asks_for_a_code(browser.open(path))


class TestAStranger:
    def test_is_told_nothing_of_a_code_that_somebody_else_asked_for(
        self, api: Api, browser: Browser
    ) -> None:
        stranger = Browser(api, {"id": browser.path.rpartition("/")[2]})
        before = stranger.open().text
        browser.ask()
        browser.enter(different_code(api.code()))
        assert self._without_nonce(stranger.open().text) == self._without_nonce(before)

    @pytest.mark.parametrize("value", ["x", "", "0.x", f"1.{'0' * 31}", f"{'9' * 14}.{'0' * 32}"])
    def test_with_a_cookie_that_is_none_of_ours_is_asked_anew(
        self, api: Api, browser: Browser, value: str
    ) -> None:
        browser.cookies = {"payment_link_code": (value, browser.path)}
        assert "Send me a code" in browser.open().text

    @pytest.mark.parametrize("sent_at", ["0", "1772442000000"])
    def test_with_a_made_up_cookie_sees_the_same_whether_or_not_a_code_is_outstanding(
        self, api: Api, browser: Browser, sent_at: str
    ) -> None:
        stranger = Browser(api, {"id": browser.path.rpartition("/")[2]})
        stranger.cookies = {"payment_link_code": (f"{sent_at}.{'0' * 32}", browser.path)}
        before = self._without_nonce(stranger.open().text)
        browser.ask()
        browser.enter(different_code(api.code()))
        assert self._without_nonce(stranger.open().text) == before

    def test_with_the_cookie_of_an_older_code_learns_nothing_of_the_newer_one(
        self, api: Api, browser: Browser
    ) -> None:
        browser.ask()
        api.new_code()
        before = self._without_nonce(browser.open().text)
        api.submit_otp(different_code(api.code()))
        assert self._without_nonce(browser.open().text) == before

    @staticmethod
    def _without_nonce(text: str) -> str:
        return "".join(line for line in text.splitlines() if "nonce" not in line)


class TestWithoutCookies:
    @pytest.fixture
    def blocking(self, api: Api) -> Browser:
        return Browser(api, api.create(otp_required=True), blocks_cookies=True)

    def test_a_customer_is_told_so_when_a_code_was_sent(self, api: Api, blocking: Browser) -> None:
        page = blocking.ask()
        assert (page.status_code, COOKIES_NEEDED in page.text) == (200, True)
        assert f'href="{blocking.path}">Try again<' in page.text

    def test_no_code_is_used_up(self, api: Api, blocking: Browser) -> None:
        blocking.ask()
        code = api.code()
        assert COOKIES_NEEDED in blocking.enter(code).text
        assert api.redis.hget(keys.otp(JANE), "tries") in {"0", b"0"}
        assert api.submit_otp(code).status_code == 200

    def test_who_comes_back_after_the_code_and_its_cookie_are_gone_is_told_that_it_expired(
        self, api: Api, browser: Browser
    ) -> None:
        page, code = browser.ask(), api.code()
        api.clock.advance(minutes=71)
        browser.cookies.clear()
        later = browser.enter_on(page, code)
        assert error_of(later) == "This code has expired. Ask for another."
        assert (COOKIES_NEEDED in later.text, "Send another code" in later.text) == (False, True)

    def test_who_was_sent_no_code_comes_back_when_it_is_too_late_for_any(
        self, make_api: MakeApi
    ) -> None:
        api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1")
        Browser(api, api.create(otp_required=True)).ask()
        browser = Browser(api, api.create(otp_required=True, email=JOHN))
        page = browser.ask()
        api.clock.advance(minutes=71)
        browser.cookies.clear()
        later = browser.enter_on(page, "123456")
        assert error_of(later) == "This code has expired. Ask for another."
        assert "We sent" not in later.text

    @pytest.mark.parametrize("since", ["", "x", "-1", "1" * 14, "9" * 13])
    def test_a_form_that_says_nonsense_of_its_age_is_taken_for_a_new_one(
        self, api: Api, browser: Browser, since: str
    ) -> None:
        browser.ask()
        browser.cookies.clear()
        assert COOKIES_NEEDED in browser.enter(api.code(), since=since).text

    def test_who_allows_them_can_enter_the_code_that_was_sent(
        self, api: Api, blocking: Browser
    ) -> None:
        blocking.ask()
        blocking.blocks_cookies = False
        page = blocking.ask()
        assert error_of(page) == "Another code can be sent in 1 minute."
        assert (
            "If we sent a code to j***@example.com, enter it here. Only the newest works."
            in text_of(page)
        )
        assert "Payment request" in blocking.enter(api.code()).text


def test_the_page_counts_wrong_codes(make_api: MakeApi) -> None:
    api = make_api(OTP_FAILURES_PER_DAY="20")
    browser = Browser(api, api.create(otp_required=True, payment_amount=125, currency="USD"))
    browser.ask()
    assert [error_of(browser.enter(different_code(api.code()))) for _ in range(5)] == [
        "That is not the code. You have 4 tries left.",
        "That is not the code. You have 3 tries left.",
        "That is not the code. You have 2 tries left.",
        "That is not the code. You have 1 try left.",
        "This code was tried too often. Ask for another.",
    ]
    assert not is_open(browser.enter(api.code()))


@pytest.mark.parametrize("way", ["too short", "Chinese numerals"])
def test_what_is_no_code_costs_no_try(api: Api, browser: Browser, way: str) -> None:
    browser.ask()
    for _ in range(6):
        assert (
            error_of(browser.enter(REFUSED[way](api.code()))) == "Enter the six digits of the code."
        )
    assert is_open(browser.enter(api.code()))


@pytest.mark.parametrize("way", ["in two halves", "Adlam digits", "with zero-width spaces"])
def test_a_code_may_be_written_in_any_way(api: Api, browser: Browser, way: str) -> None:
    browser.ask()
    assert is_open(browser.enter(TAKEN[way](api.code())))


def test_a_code_that_expires_while_it_is_typed_is_said_to_have_expired(
    api: Api, browser: Browser
) -> None:
    browser.ask()
    code = api.code()
    api.clock.advance(minutes=10)
    assert error_of(browser.enter(code)) == "This code has expired. Ask for another."


def test_another_code_has_to_wait(api: Api, browser: Browser) -> None:
    browser.ask()
    browser.enter(different_code(api.code()))
    page = browser.ask()
    assert error_of(page) == "Another code can be sent in 1 minute."
    assert page.text.count("Another code can be sent in") == 1
    assert 'aria-describedby="error">Send another code' in page.text
    assert is_open(browser.enter(api.code())), "the code that was sent a moment ago can be entered"


def test_another_code_voids_the_one_before(api: Api, browser: Browser) -> None:
    browser.ask()
    first = api.code()
    api.forget_limit("resend")
    api.clock.advance(minutes=2)
    assert f"at {clock_of(api)}. It is good" in text_of(browser.ask())
    assert error_of(browser.enter(first)).startswith("That is not the code.")
    assert is_open(browser.enter(api.code()))


def test_no_code_is_said_to_be_sent_that_was_not(make_api: MakeApi) -> None:
    api = make_api(OTP_CLIENT_SENDS_PER_HOUR="1")
    Browser(api, api.create(otp_required=True)).ask()
    other = Browser(api, api.create(otp_required=True, email=JOHN))
    page = other.ask()
    assert error_of(page) == "Another code can be sent in 1 hour."
    assert not any("We sent" in text for text in (page.text, other.open().text))
    assert error_of(other.enter("123456")) == "That is not the code, or it has expired."


def test_the_button_for_another_code_says_how_long_it_has_to_wait(browser: Browser) -> None:
    page = browser.ask()
    assert 'aria-describedby="wait">Send another code' in page.text
    assert (
        '<p id="wait" class="note">Another code can be sent in <bdi>1 minute</bdi>.</p>'
        in page.text
    )


def test_after_too_many_wrong_codes_none_can_be_entered(api: Api, browser: Browser) -> None:
    """One network has half of the ten tries a day."""
    browser.ask()
    pages = [browser.enter(different_code(api.code())) for _ in range(6)]
    for page in (*pages[4:], browser.open()):
        assert error_of(page) == "Too many wrong codes. You can try again in 1 day."
        assert "data-focus autofocus" not in page.text
        assert '<button class="button" disabled data-wait="86' in page.text


def test_anothers_code_opens_nothing(api: Api, browser: Browser) -> None:
    other = Browser(
        api, api.create(otp_required=True, email=JOHN, payment_amount=125, currency="USD")
    )
    browser.ask()
    assert is_open(browser.enter(api.code()))
    other.cookies = dict(browser.cookies)
    assert "Send me a code" in other.open().text


def test_the_code_is_owed_in_the_language_and_the_name_of_the_link(api: Api) -> None:
    Browser(api, api.create(otp_required=True, locale="ar")).ask()
    stored = api.redis.hmget(keys.otp(JANE), "org", "locale")
    assert [value.decode() if isinstance(value, bytes) else value for value in stored] == [
        "acme",
        "ar",
    ]
    assert api.redis.zscore(keys.otp_outbox(partition_of(JANE)), JANE) is not None


@pytest.mark.parametrize("state", ["revoked", "direct"])
def test_a_link_that_needs_no_code_sends_none(api: Api, state: str) -> None:
    link = api.create(otp_required=state == "revoked")
    if state == "revoked":
        api.revoke(link["id"])
    browser = Browser(api, link)
    for page in (browser.ask(), browser.enter("123456"), browser.open("/code")):
        assert (page.url.path, asks_for_a_code(page)) == (browser.path, False)
    assert api.redis.exists(keys.otp(JANE)) == 0


def test_a_form_of_nonsense_is_none(api: Api, browser: Browser) -> None:
    browser.ask()
    cookie = {"Cookie": f"payment_link_code={browser.cookies['payment_link_code'][0]}"}
    for content in (b"\xff" * 100, b"otp=1&" * 1000, b""):
        response = api.client.post(
            f"{browser.path}/token", content=content, headers=BROWSER | cookie
        )
        assert error_of(response) == "Enter the six digits of the code."


def test_a_code_of_no_link_is_not_asked_for(api: Api) -> None:
    assert Browser(api, {"id": UNKNOWN_LINK_ID}).open("/code").status_code == 404
