"""QR codes, read as a scanner would."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import segno

from service.errors import Invalid
from service.links import qr
from service.links.qr import draw_png, draw_svg
from tests.support.api import Api, assert_invalid, assert_problem
from tests.support.factories import UNKNOWN_LINK_ID
from tests.support.qr_codes import pixels_of_png, read

WHITE = b"\xff"


def pixels_of_svg(text: str, scale: int = 4) -> tuple[bytes, int]:
    """The drawing's one path: strokes a module high, each a move and a length."""
    [side] = re.findall(r'viewBox="0 0 (\d+) \1"', text)
    rows = [bytearray(WHITE * int(side)) for _ in range(int(side))]
    [path] = re.findall(r'stroke="#000" d="([^"]+)"', text)
    x, y = 0.0, 0.0
    for kind, numbers in re.findall(r"([Mmh])([-0-9. ]+)", path):
        values = [float(number) for number in re.findall(r"-?[0-9.]+", numbers)]
        if kind == "h":
            rows[int(y)][int(x) : int(x + values[0])] = bytes(int(values[0]))
            x += values[0]
        else:
            x, y = (values[0], values[1]) if kind == "M" else (x + values[0], y + values[1])
    scaled = [bytes(pixel for pixel in row for _ in range(scale)) for row in rows]
    return b"".join(row for row in scaled for _ in range(scale)), int(side) * scale


def test_the_drawing_says_the_links_url(api: Api) -> None:
    link = api.create()
    response = api.client.get(f"/payment-links/{link['id']}/qr")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
    assert read(*pixels_of_svg(response.text)) == [link["url"]]
    assert len(response.content) < 4096
    assert "<script" not in response.text


@pytest.mark.parametrize(
    ("size", "drawn"), [(64, 41), (81, 41), (82, 82), (256, 246), (512, 492), (1024, 984)]
)
def test_a_png_has_the_largest_whole_scale_that_fits(api: Api, size: int, drawn: int) -> None:
    link = api.create()
    response = api.client.get(
        f"/payment-links/{link['id']}/qr", params={"format": "png", "size": size}
    )
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    pixels, width = pixels_of_png(response.content)
    assert (width, read(pixels, width)) == (drawn, [link["url"]])


def test_a_png_without_a_size_fits_into_256_pixels(api: Api) -> None:
    link = api.create()
    pixels, width = pixels_of_png(
        api.client.get(f"/payment-links/{link['id']}/qr?format=png").content
    )
    assert (width, read(pixels, width)) == (246, [link["url"]])


def test_an_address_too_long_for_the_size_is_refused() -> None:
    with pytest.raises(Invalid, match="must be 65 at least"):
        draw_png("https://pay.example/" + "x" * 180, 64)


class Drawing:
    """The drawing of codes, observed."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.threads: set[int] = set()
        self._make_qr = segno.make_qr

    def __call__(self, url: str, **options: Any) -> segno.QRCode:
        self.drawn.append(url)
        self.threads.add(threading.get_ident())
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return self._make_qr(url, **options)


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Drawing:
    drawing = Drawing()
    monkeypatch.setattr(segno, "make_qr", drawing)
    return drawing


@pytest.mark.parametrize("query", ["", "?format=png&size=1024"])
def test_a_code_is_drawn_once_and_off_the_event_loop(
    api: Api, drawing: Drawing, query: str
) -> None:
    link = api.create()
    for _ in range(3):
        assert api.client.get(f"/payment-links/{link['id']}/qr{query}").status_code == 200
    assert drawing.drawn == [link["url"]]


def test_codes_are_drawn_one_at_a_time_and_once_for_all_who_ask_at_once(
    api: Api, drawing: Drawing
) -> None:
    paths = [f"/payment-links/{api.create()['id']}/qr" for _ in range(4)] * 3
    with ThreadPoolExecutor(len(paths)) as callers:
        answers = list(callers.map(api.client.get, paths))
    assert {response.status_code for response in answers} == {200}
    assert (len(drawing.drawn), len(drawing.threads)) == (4, 1)


def test_codes_of_links_and_sizes_are_kept_apart(api: Api) -> None:
    links = [api.create() for _ in range(2)]
    for _ in range(2):
        for link in links:
            path = f"/payment-links/{link['id']}/qr"
            for size, drawn in ((100, 82), (200, 164)):
                pixels, width = pixels_of_png(
                    api.client.get(path, params={"format": "png", "size": size}).content
                )
                assert (width, read(pixels, width)) == (drawn, [link["url"]])
            assert read(*pixels_of_svg(api.client.get(path).text)) == [link["url"]]


def test_the_cache_is_bounded() -> None:
    caches = draw_svg.cache_info(), draw_png.cache_info()
    assert {cache.maxsize for cache in caches} == {qr.CACHE_SIZE}


def test_a_code_is_there_whatever_became_of_the_link(api: Api) -> None:
    link = api.create(otp_required=True)
    api.revoke(link["id"])
    assert api.client.get(f"/payment-links/{link['id']}/qr").status_code == 200


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=gif", "format"),
        ("format=png&size=63", "size"),
        ("format=png&size=1025", "size"),
        ("format=png&size=big", "size"),
        ("format=png&size=100&size=200", "size"),
        ("size=100", "size"),
        ("format=svg&size=100", "size"),
        ("colour=red", "colour"),
    ],
)
def test_what_cannot_be_drawn_is_refused(api: Api, query: str, field: str) -> None:
    assert_invalid(api.client.get(f"/payment-links/{api.create()['id']}/qr?{query}"), field)


@pytest.mark.parametrize("link_id", [UNKNOWN_LINK_ID, "pl_x"])
def test_there_is_no_code_of_an_unknown_link(api: Api, link_id: str) -> None:
    assert_problem(api.client.get(f"/payment-links/{link_id}/qr"), 404, "link_not_found")
