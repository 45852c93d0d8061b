"""The console on phone and desktop, in all color schemes, by keyboard, and with less motion."""

import re
from typing import Any

import httpx
import pytest
import segno
from playwright.sync_api import expect

from service.auth.tokens import Role
from tests.browser.conftest import DESKTOP, NARROW, PHONE, STILL, Visit
from tests.browser.console import (
    enter,
    fill,
    new_link,
    press_tab_to,
    rows,
    show_all_states,
)
from tests.support.admins import admin_token, as_admin
from tests.support.servers import RedisServer
from tests.support.service_processes import Service

LOOKS = [
    pytest.param(PHONE, "light", id="phone, light"),
    pytest.param(PHONE, "dark", id="phone, dark"),
    pytest.param(DESKTOP, "light", id="desktop, light"),
    pytest.param(DESKTOP, "dark", id="desktop, dark"),
    pytest.param(NARROW, "light", id="narrow, light"),
]


@pytest.mark.parametrize(
    "size", [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop")]
)
def test_nothing_moves_by_itself_while_it_loads(
    visit: Visit, service: Service, make: Any, size: tuple[int, int]
) -> None:
    """Payload anew each time, for what moves within half a second of signing in is excused."""
    org = f"steady-{size[0]}"
    profile = {"display_name": "Acme Cleaning Ltd", "logo": segno.make("logo").png_data_uri()}
    httpx.put(
        f"{service.url}/orgs/{org}/profile", json=profile, headers=as_admin()
    ).raise_for_status()
    for number in range(10):
        make(org, f"jane{number}@example.com", transaction_id="order-7" if number % 3 else None)
    visitor = visit(size)
    page = visitor.open("/console")
    moved = [visitor.shifted()]
    enter(visitor)
    page.reload()
    expect(page.get_by_role("region", name="Latest failures")).to_be_visible()
    moved.append(visitor.shifted())
    page.goto(f"{service.url}/console#/{org}")
    page.reload()
    expect(rows(page)).to_have_count(10)
    expect(page.locator(".avatar img")).to_have_count(1)
    moved.append(visitor.shifted())
    assert max(moved) < STILL


def test_a_keyboard_is_enough(visit: Visit) -> None:
    """Sign in, make a link, open it, revoke it, sign out."""
    page = visit(DESKTOP).open("/console")
    keyboard = page.keyboard
    expect(page.get_by_label("Admin token")).to_be_focused()
    keyboard.insert_text(admin_token(Role.ORG_ADMIN, "keys"))
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="keys")).to_be_focused()
    press_tab_to(page, "New link")
    keyboard.press("Enter")
    keyboard.type("jane@example.com")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Link created")).to_be_focused()
    keyboard.press("Escape")
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("button", name="New link")).to_be_focused()
    press_tab_to(page, "jane@example.com")
    keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_be_focused()
    press_tab_to(page, "Revoke this link")
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Revoke this link?")).to_be_focused()
    press_tab_to(page, "Revoke this link")
    keyboard.press("Enter")
    expect(page.get_by_text("1 link was revoked.").first).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(":focus")).to_have_count(1)
    page.get_by_role("button", name="Sign out").focus()
    keyboard.press("Enter")
    expect(page.get_by_label("Admin token")).to_be_focused()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_state_is_accessible_and_fits(
    visit: Visit,
    service: Service,
    make: Any,
    own_store: RedisServer,
    size: tuple[int, int],
    scheme: str,
    request: pytest.FixtureRequest,
) -> None:
    look = request.node.callspec.id
    org = f"looks-{re.sub('[^a-z]+', '-', look)}"
    visitor = visit(size, scheme=scheme)
    visitor.open("/console")
    visitor.check(f"console sign in, {look}")
    page = enter(visitor, org)
    expect(page.get_by_role("heading", name="No links yet")).to_be_visible()
    visitor.check(f"console empty, {look}")
    show_all_states(service, make, own_store, org)
    page.reload()
    expect(rows(page)).to_have_count(7)
    visitor.check(f"console list, {look}")
    new_link(page)
    visitor.check()
    visitor.shoot(f"console create, {look}", whole=False)
    fill(page, email="jane@example.com", payment_amount="125000.50", currency="NGN")
    page.get_by_role("button", name="Create link").click()
    expect(page.get_by_role("heading", name="Link created")).to_be_visible()
    visitor.check()
    visitor.shoot(f"console created, {look}", whole=False)
    page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(8)
    page.get_by_role("button", name="nobody@example.com", exact=True).click()
    visitor.check()
    visitor.shoot(f"console detail, {look}", whole=False)
    page.keyboard.press("Escape")
    page.route("**/payment-links?*", lambda _: None)
    page.get_by_role("navigation").get_by_role("link", name="Revoked").click()
    visitor.check(f"console loading, {look}")


@pytest.mark.parametrize(("motion", "moves"), [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_who_wants_less_of_that(
    visit: Visit, make: Any, motion: str, *, moves: bool
) -> None:
    make(f"still-{motion}")
    visitor = visit(motion=motion)
    page = enter(visitor, f"still-{motion}")
    expect(rows(page)).to_have_count(1)
    rows(page).get_by_role("button", name="Copy").click()
    found = visitor.moving()
    assert any(element.startswith("<button") for element in found) == bool(found) == moves
    page.route("**/payment-links?*", lambda _: None)
    page.get_by_role("navigation").get_by_role("link", name="Revoked").click()
    expect(page.locator(".bone").first).to_be_visible()
    found = visitor.moving()
    assert any('class="bone' in element for element in found) == bool(found) == moves


@pytest.mark.parametrize("width", [320, 481, 641, 1280])
def test_the_cards_hold_their_counts(visit: Visit, width: int) -> None:
    page = enter(visit((width, 800)), "cards")
    tabs = page.locator(".tabs a")
    expect(tabs).to_have_count(5)
    page.locator(".tabs .count").evaluate_all(
        "counts => counts.forEach((count) => (count.textContent = '99,999'))"
    )
    cut = "tabs => tabs.filter((tab) => tab.scrollWidth > tab.clientWidth).map((t) => t.innerText)"
    assert tabs.evaluate_all(cut) == []


def test_signing_out_stands_beside_the_name_on_the_smallest_phone(visit: Visit) -> None:
    page = enter(visit(NARROW), "beside")
    name, button = (page.locator(at).bounding_box() for at in (".brand", "#sign-out"))
    assert name is not None
    assert button is not None
    assert button["y"] == pytest.approx(name["y"], abs=4)
    assert button["x"] > name["x"] + name["width"]


def test_what_can_be_pressed_can_be_hit_on_a_phone(visit: Visit, make: Any) -> None:
    make("targets", transaction_id="order-7")
    page = enter(visit(NARROW), "targets")
    expect(rows(page)).to_have_count(1)
    for target in page.locator(
        "main button:visible, main a:visible, header button:visible, header a:visible"
    ).all():
        box = target.bounding_box()
        assert box is not None
        assert (box["height"] >= 44, target.inner_text()) == (True, target.inner_text())


@pytest.mark.parametrize(
    "size", [pytest.param(PHONE, id="phone"), pytest.param((1280, 500), id="desktop")]
)
def test_what_has_the_focus_is_not_hidden_by_the_bar(visit: Visit, make: Any, size: Any) -> None:
    """WCAG 2.2, 2.4.11, for whoever tabs backwards up a long list."""
    org = f"focus-{size[0]}"
    for number in range(12):
        make(org, email=f"jane{number}@example.com")
    page = enter(visit(size), org)
    expect(rows(page)).to_have_count(12)
    rows(page).last.get_by_role("button").last.focus()
    hidden = """() => {
      const { left, top, width, height } = document.activeElement.getBoundingClientRect();
      const seen = document.elementFromPoint(left + width / 2, top + height / 2);
      const focused = document.activeElement;
      return !(seen && (focused.contains(seen) || seen.contains(focused)));
    }"""
    stops = [page.evaluate(hidden)]
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        stops.append(page.evaluate(hidden))
    assert not any(stops), stops


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_with_forced_colors_what_is_selected_or_wrong_is_told_by_borders(
    visit: Visit, make: Any, size: tuple[int, int]
) -> None:
    org = f"forced-{size[0]}"
    make(org)
    visitor = visit(size)
    visitor.page.emulate_media(forced_colors="active")
    page = enter(visitor, org)
    expect(rows(page)).to_have_count(1)
    outlines = page.locator(".tabs a").evaluate_all(
        "tabs => tabs.map((tab) => getComputedStyle(tab).outlineStyle)"
    )
    assert outlines == ["solid", "none", "none", "none", "none"]
    visitor.check(f"console list, {size[0]}, forced colors")
    form = new_link(page, email="jane")
    page.keyboard.press("Tab")
    expect(page.locator("#email")).to_have_css("border-width", "3px")
    expect(form.get_by_role("button", name="Create link")).to_have_css("border-width", "2px")
    visitor.check()
    visitor.shoot(f"console create, {size[0]}, forced colors", whole=False)
