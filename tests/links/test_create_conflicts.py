"""POST /payment-links with ``on_conflict``: another link of the same transaction."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.storage import keys
from service.values.ids import partition_of
from tests.support.api import (
    JANE,
    JOHN,
    Api,
    all_at_once,
    assert_invalid,
    assert_problem,
    stamp,
)

INVOICE = "invoice-7"
PARTITION = partition_of("acme")


def create(api: Api, on_conflict: Any = None, **fields: Any) -> httpx.Response:
    said = {} if on_conflict is None else {"on_conflict": on_conflict}
    return api.post_link(**{"transaction_id": INVOICE} | said | fields)


def supersede(api: Api, **fields: Any) -> dict[str, Any]:
    response = create(api, "supersede", **fields)
    assert response.status_code == 201, response.text
    link: dict[str, Any] = response.json()
    return link


def read(api: Api, link: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(link["id"], api.internal()).json()
    return found


@pytest.mark.parametrize("on_conflict", [None, "allow"])
def test_a_transaction_may_have_several_links(api: Api, on_conflict: str | None) -> None:
    first, second = create(api).json(), create(api, on_conflict).json()
    assert (first["status"], second["status"]) == ("active", "active")
    assert read(api, first)["superseded_by"] is second["supersedes"] is None


class TestError:
    def test_another_link_of_the_transaction_is_refused_and_the_newest_named(
        self, api: Api
    ) -> None:
        create(api)
        api.clock.advance(seconds=1)
        newest = create(api).json()
        problem = assert_problem(create(api, "error"), 409, "transaction_exists")
        assert problem["link_id"] == newest["id"]
        assert newest["id"] in problem["detail"]
        assert api.list().json()["total"] == 2

    @pytest.mark.parametrize(
        "fields",
        [{"transaction_id": "invoice-8"}, {"org_id": "globex"}, {"transaction_id": "INVOICE-7"}],
        ids=["transaction", "organization", "case"],
    )
    def test_a_link_of_another_transaction_is_none_of_it(
        self, api: Api, fields: dict[str, str]
    ) -> None:
        create(api)
        assert create(api, "error", **fields).status_code == 201

    def test_an_organization_that_shares_the_partition_is_another(self, api: Api) -> None:
        neighbour = next(
            name for name in map(str, range(10_000)) if partition_of(name) == PARTITION
        )
        create(api)
        assert create(api, "error", org_id=neighbour).status_code == 201

    def test_a_revoked_link_is_no_obstacle(self, api: Api) -> None:
        api.revoke(create(api).json()["id"])
        assert create(api, "error").status_code == 201

    @pytest.mark.parametrize(("late", "status"), [(-1, 409), (0, 201)])
    def test_an_expired_link_is_no_obstacle(self, api: Api, late: int, status: int) -> None:
        create(api, expires_at=stamp(api.now + timedelta(minutes=5)))
        api.clock.advance(minutes=5, milliseconds=late)
        assert create(api, "error").status_code == status

    def test_a_repeated_request_gets_its_own_link(self, api: Api) -> None:
        headers = api.internal() | {"Idempotency-Key": "order-1"}
        first, again = (
            api.post_link(headers, transaction_id=INVOICE, on_conflict="error") for _ in range(2)
        )
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json()["id"] == first.json()["id"]
        assert again.headers["idempotency-replayed"] == "true"

    def test_a_refused_request_may_be_repeated_once_nothing_is_in_its_way(self, api: Api) -> None:
        headers = api.internal() | {"Idempotency-Key": "order-1"}
        body = {"transaction_id": INVOICE, "on_conflict": "error"}
        earlier = create(api).json()
        assert_problem(api.post_link(headers, **body), 409, "transaction_exists")
        api.revoke(earlier["id"])
        assert api.post_link(headers, **body).status_code == 201

    def test_of_twenty_at_once_one_is_made(self, make_api: Callable[..., Api]) -> None:
        processes = [make_api() for _ in range(2)]
        calls = [lambda api=processes[number % 2]: create(api, "error") for number in range(20)]
        statuses = [response.status_code for response in all_at_once(*calls)]
        assert sorted(statuses) == [201] + [409] * 19


class TestSupersede:
    def test_the_earlier_link_is_revoked_and_both_name_each_other(self, api: Api) -> None:
        earlier = create(api).json()
        api.clock.advance(minutes=1)
        link = supersede(api)
        assert link["supersedes"] == earlier["id"]
        assert read(api, link) == link
        found = read(api, earlier)
        assert (found["status"], found["superseded_by"]) == ("revoked", link["id"])
        assert found["revoked_at"] == link["created_at"]
        assert api.verify(earlier["id"]).json()["valid"] is False

    def test_all_active_links_are_superseded_whoever_they_were_sent_to(self, api: Api) -> None:
        emails = [JANE, JOHN, "Ann@Bücher.example"]
        earlier = [create(api, email=email).json() for email in emails]
        newest = max(earlier, key=lambda each: (each["created_at"], each["id"]))
        link = supersede(api)
        assert link["supersedes"] == newest["id"]
        assert {read(api, each)["superseded_by"] for each in earlier} == {link["id"]}
        assert api.list().json()["counts"] == {"active": 1, "expired": 0, "revoked": 3, "paid": 0}
        for email in emails:
            assert api.revoke(email=email).json()["links"] == (
                [link["id"]] if email == JANE else []
            )

    def test_without_another_link_it_is_a_plain_create(self, api: Api) -> None:
        link = supersede(api)
        assert (link["status"], link["supersedes"]) == ("active", None)
        assert events(api) == []

    def test_an_expired_link_stays_expired(self, api: Api) -> None:
        expired = create(api, expires_at=stamp(api.now + timedelta(minutes=5))).json()
        api.clock.advance(minutes=5)
        assert supersede(api)["supersedes"] is None
        assert read(api, expired)["status"] == "expired"

    def test_a_link_that_superseded_another_can_be_superseded(self, api: Api) -> None:
        first, second, third = (supersede(api) for _ in range(3))
        assert [read(api, link)["supersedes"] for link in (first, second, third)] == [
            None,
            first["id"],
            second["id"],
        ]
        assert read(api, first)["superseded_by"] == second["id"]

    @pytest.mark.parametrize("hours", [0, 1], ids=["now", "later"])
    def test_a_mail_that_is_not_out_is_taken_back(self, api: Api, hours: int) -> None:
        at = {"scheduled_at": stamp(api.now + timedelta(hours=hours))} if hours else {}
        earlier = create(api, **at).json()
        link = supersede(api, notify=False)
        delivery = read(api, earlier)["delivery"]
        assert (delivery["state"], delivery["sends"]) == ("none", 1)
        for queue in (keys.outbox, keys.scheduled, keys.pending_since):
            assert api.redis.zcard(queue(PARTITION)) == 0
        assert link["delivery"]["state"] == "none"

    def test_its_reminder_is_taken_back(self, api: Api) -> None:
        earlier = create(api, notify=False, reminders=[{"after_send": "24h"}]).json()
        member = f"reminder:{earlier['id'][5:]}"
        assert api.redis.zscore(keys.notices(PARTITION), member) is not None
        supersede(api)
        assert api.redis.zrange(keys.notices(PARTITION), 0, -1) == []

    def test_the_event_names_who_did_it_and_the_new_link(self, api: Api) -> None:
        earlier = [create(api).json() for _ in range(2)]
        headers = api.org() | {"X-Request-ID": "request-42"}
        link = api.post_link(headers, transaction_id=INVOICE, on_conflict="supersede").json()
        assert sorted(events(api), key=lambda event: event["link"]) == sorted(
            (
                {
                    "type": "superseded",
                    "link": each["id"][5:],
                    "actor": "ada",
                    "request": "request-42",
                    "data": f'{{"superseded_by":"{link["id"]}"}}',
                }
                for each in earlier
            ),
            key=lambda event: event["link"],
        )

    def test_a_repeated_request_supersedes_once(self, api: Api) -> None:
        create(api)
        headers = api.internal() | {"Idempotency-Key": "order-1"}
        first, again = (
            api.post_link(headers, transaction_id=INVOICE, on_conflict="supersede")
            for _ in range(2)
        )
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert api.list().json()["counts"] == {"active": 1, "expired": 0, "revoked": 1, "paid": 0}
        assert len(events(api)) == 1

    def test_of_a_hundred_at_once_one_link_stays_active(
        self, make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("service.storage.pipeline.REDIS_TIMEOUT_SECONDS", 60.0)
        processes = [make_api() for _ in range(2)]
        calls = [
            lambda api=processes[number % 2]: create(api, "supersede") for number in range(100)
        ]
        made = [response.json() for response in all_at_once(*calls)]
        api = processes[0]
        found = [read(api, link) for link in made]
        assert [link["status"] for link in found].count("active") == 1
        assert api.list(limit=1).json()["counts"]["active"] == 1
        by_id = {link["id"]: link for link in found}
        links_with_one_before = [link for link in found if link["supersedes"]]
        assert len(links_with_one_before) == 99
        for link in links_with_one_before:
            assert by_id[link["supersedes"]]["superseded_by"] == link["id"]


@pytest.mark.parametrize("on_conflict", ["error", "supersede"])
def test_it_needs_a_transaction(api: Api, on_conflict: str) -> None:
    assert_invalid(api.post_link(on_conflict=on_conflict), "on_conflict")


@pytest.mark.parametrize("on_conflict", ["allow", None])
def test_to_allow_needs_no_transaction(api: Api, on_conflict: str | None) -> None:
    assert api.post_link(on_conflict=on_conflict).status_code == 201


@pytest.mark.parametrize("on_conflict", ["replace", "", 1, []])
def test_another_rule_is_refused(api: Api, on_conflict: Any) -> None:
    problem = assert_problem(create(api, on_conflict), 422, "validation_failed")
    assert problem["errors"] == [
        {"field": "on_conflict", "message": "must be one of allow, error, supersede"}
    ]


def test_the_default_is_the_same_request_and_another_rule_is_not(api: Api) -> None:
    headers = api.internal() | {"Idempotency-Key": "order-1"}
    plain = api.post_link(headers, transaction_id=INVOICE)
    again = api.post_link(headers, transaction_id=INVOICE, on_conflict="allow")
    assert again.json()["id"] == plain.json()["id"]
    other = api.post_link(headers, transaction_id=INVOICE, on_conflict="supersede")
    assert_problem(other, 409, "idempotency_conflict")


def events(api: Api) -> list[dict[str, str]]:
    """What is logged for acme, oldest first."""
    entries: Any = api.redis.xrange(keys.events("acme"))
    return [fields for _, fields in entries]
