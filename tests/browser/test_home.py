"""The page at the address itself, in a real browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, NARROW, PHONE, Visitor


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP, NARROW], ids=["phone", "desktop", "narrow"])
def test_the_page_is_accessible_and_fits(
    visit: Callable[..., Visitor], size: tuple[int, int], scheme: str
) -> None:
    visitor = visit(size, scheme=scheme)
    visitor.open("/")
    visitor.check(f"home-{size[0]}-{scheme}")


def test_the_page_leads_to_the_console_and_back_and_on(visit: Callable[..., Visitor]) -> None:
    page = visit(DESKTOP).open("/")
    page.get_by_role("link", name="Console").click()
    expect(page.get_by_role("heading", name="Sign in to the console")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="API description").click()
    expect(page.get_by_role("heading", name="Payment Link Service")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="Health").click()
    expect(page.get_by_text('"redis"')).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/console", "/schema", "/pay/pl_x"])
def test_the_icon_is_drawn(visit: Callable[..., Visitor], path: str) -> None:
    visitor = visit(DESKTOP)
    page = visitor.open(path, 404 if path.startswith("/pay") else 200)
    drawn = """async () => {
      const image = new Image();
      image.src = document.querySelector('link[rel=icon]').href;
      await image.decode();
      return image.naturalWidth > 0;
    }"""
    assert page.evaluate(drawn)
