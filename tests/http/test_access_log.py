"""What is logged, and above all what is not: link ids in full, e-mails, codes and tokens."""

import logging
import re
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.storage import keys
from tests.support.api import JANE, Api, bearer, different_code

Entries = list[MutableMapping[str, Any]]


@pytest.fixture
def entries() -> Iterator[Entries]:
    """What structlog was given since the test began."""
    with capture_logs() as captured:
        yield captured


def text_of(entries: Entries, caplog: pytest.LogCaptureFixture) -> str:
    """All log lines: values, tracebacks, and lines of libraries, but not of the test's client."""
    shown = [
        caplog.handler.format(record)
        for record in caplog.records
        if not record.name.startswith("http")
    ]
    for entry in entries:
        shown += [f"{name}={value}" for name, value in entry.items()]
        if isinstance(entry.get("exc_info"), BaseException):
            shown += traceback.format_exception(entry["exc_info"])
    return "\n".join(shown)


def leaks(text: str, *secrets: str) -> list[str]:
    """Those of ``secrets`` that ``text`` tells; six digits in a longer number are no code."""
    return [
        secret for secret in secrets if re.search(rf"(?<![0-9]){re.escape(secret)}(?![0-9])", text)
    ]


def requests(entries: Entries) -> Entries:
    return [entry for entry in entries if entry["event"] == "request"]


def test_a_request_is_logged_with_its_outcome(api: Api, entries: Entries) -> None:
    request_id = api.list().headers["x-request-id"]
    [entry] = requests(entries)
    assert {name: entry[name] for name in ("method", "route", "status")} == {
        "method": "GET",
        "route": "/orgs/{org_id}/payment-links",
        "status": 200,
    }
    assert entry["ms"] >= 0
    assert entry.get("request_id", request_id) == request_id


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PATCH", "/payment-links", 405)]
)
def test_a_request_that_no_route_takes_is_logged(
    api: Api, entries: Entries, method: str, path: str, status: int
) -> None:
    api.client.request(method, path)
    assert [entry["status"] for entry in requests(entries)] == [status]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_that_succeed_are_not_logged(api: Api, entries: Entries, path: str) -> None:
    api.client.get(path)
    assert requests(entries) == []


def test_a_probe_that_fails_is_logged(
    make_api: Callable[..., Api], tmp_path: Path, entries: Entries
) -> None:
    make_api(REDIS_URL=f"unix://{tmp_path / 'nobody'}").client.get("/readyz")
    assert [entry["status"] for entry in requests(entries)] == [503]


def test_a_fault_is_logged_with_what_went_wrong(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    api.redis.set(keys.otp(JANE), "no hash")
    assert api.submit_otp("123456").status_code == 500
    assert "WRONGTYPE" in text_of(entries, caplog)


def test_an_outage_is_logged(
    make_api: Callable[..., Api], tmp_path: Path, entries: Entries
) -> None:
    make_api(REDIS_URL=f"unix://{tmp_path / 'nobody'}").list()
    assert "unavailable" in [entry["event"] for entry in entries]
    assert "No such file or directory" in [
        entry["error"] for entry in entries if entry["event"] == "store_unavailable"
    ]


def test_a_link_is_logged_by_the_beginning_of_its_id(api: Api, entries: Entries) -> None:
    link = api.create()
    api.get(link["id"])
    api.client.get(f"/pay/{link['id']}")
    short = f"{link['id'][:11]}…"
    read = [(entry["route"], entry["link"]) for entry in requests(entries)[1:]]
    assert read == [("/payment-links/{link_id}", short), ("/pay/{link_id}", short)]


def test_nothing_private_is_logged(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    """All operations in one go: create, prove, read, verify, refuse, list, revoke."""
    caplog.set_level(logging.DEBUG)
    email = "Jane.Doe@Example.com"
    code = api.new_code(email)
    refused = different_code(code)
    api.submit_otp(refused, email)
    token = api.submit_otp(code, email).json()["token"]
    admin = api.internal()
    links = [
        api.create(email=email, transaction_id="order-4711"),
        api.create(email=email, otp=code),
    ]
    for link in links:
        for headers in ({}, bearer(token), admin, bearer("a.b.c")):
            api.get(link["id"], headers)
            api.verify(link["id"], headers)
        api.client.get(f"/pay/{link['id']}/more")
        api.client.put(f"/pay/{link['id']}")
    api.send_otp(email)
    api.post_link(email="Jane.Doe@", transaction_id="order-4711\n")
    api.list()
    api.revoke(links[0]["id"], email=email)
    api.dispatch_window()
    text = text_of(entries, caplog)
    private = [
        code,
        refused,
        token,
        admin["Authorization"].split()[1],
        email,
        email.lower(),
        "order-4711",
    ]
    assert leaks(text, *private, *(link["id"] for link in links)) == []


def test_nothing_private_is_logged_when_something_fails(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    """The link's and the e-mail's keys have another type, so that scripts fail."""
    caplog.set_level(logging.DEBUG)
    link, code, admin = api.create(), api.new_code(), api.internal()
    api.redis.set(keys.otp(JANE), "no hash")
    api.redis.set(keys.link(link["id"]), "no hash")
    answers = [
        api.submit_otp(code),
        api.get(link["id"], admin),
        api.verify(link["id"], admin),
        api.revoke(link["id"]),
    ]
    assert [response.status_code for response in answers] == [500] * 4
    assert (
        leaks(text_of(entries, caplog), JANE, code, link["id"], admin["Authorization"].split()[1])
        == []
    )


def test_nothing_private_is_logged_when_the_store_is_away(
    make_api: Callable[..., Api], tmp_path: Path, entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api = make_api(REDIS_URL=f"unix://{tmp_path / 'nobody'}")
    link_id = "pl_3f" + "UgF8kQ2mZpR7sT1vXyW4aB"
    answers = [
        api.post_link(),
        api.send_otp(),
        api.submit_otp("918273"),
        api.get(link_id),
        api.verify(link_id),
    ]
    assert [response.status_code for response in answers] == [503] * 5
    assert leaks(text_of(entries, caplog), JANE, "918273", link_id) == []


def test_a_query_is_not_logged(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    api.list(token="s3cret", cursor="x")
    assert "s3cret" not in text_of(entries, caplog)


@pytest.mark.parametrize("cut", [1, 2, 4], ids=["one character", "two", "four"])
def test_an_id_that_lost_its_end_is_shortened_too(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    """Mail programs break links; what is left of one must not be enough to guess the rest."""
    link = api.create()
    api.client.get(f"/pay/{link['id'][:-cut]}")
    assert link["id"][:-cut] not in text_of(entries, caplog)


@pytest.mark.parametrize(
    "path",
    [
        "/payment-links/jane.doe@example.com",
        "/orgs/jane.doe@example.com/payment-links",
        "/unsubscribe/jane.doe@example.com",
    ],
    ids=["for a link", "for an organization", "for nothing"],
)
def test_an_email_in_a_path_is_not_logged(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    api.client.get(path)
    assert "jane.doe@example.com" not in text_of(entries, caplog)


def test_a_token_in_a_path_is_not_logged(
    api: Api, entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    token = api.customer()["Authorization"].split()[1]
    api.client.get(f"/pay/{token}")
    assert token[:100] not in text_of(entries, caplog)
