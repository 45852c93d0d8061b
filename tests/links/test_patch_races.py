"""Changes of one link at the same time: each is made upon another, or not at all."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import httpx
import pytest

from service.storage import keys
from tests.links.patches import changed, events
from tests.support.api import JANE, JOHN, Api, all_at_once, assert_problem
from tests.support.factories import UNKNOWN_LINK_ID

CALLERS = 50


def statuses(responses: list[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


class TestIfMatch:
    def test_a_link_and_a_change_of_it_have_its_tag(self, api: Api) -> None:
        link_id = api.create()["id"]
        assert api.get(link_id).headers["etag"] == '"0-active"'
        assert api.patch(link_id, description="x").headers["etag"] == '"1-active"'
        assert api.get(link_id, api.org()).headers["etag"] == '"1-active"'
        api.revoke(link_id)
        assert api.get(link_id).headers["etag"] == '"1-revoked"'

    def test_a_link_ends_with_another_tag(self, api: Api) -> None:
        link_id = api.create()["id"]
        api.clock.advance(hours=72)
        assert api.get(link_id).headers["etag"] == '"0-expired"'

    @pytest.mark.parametrize("tag", ['"0-active"', "*", '"7-active", "0-active"'])
    def test_a_link_that_is_as_it_was_read_changes(self, api: Api, tag: str) -> None:
        link_id = api.create()["id"]
        assert changed(api.patch(link_id, {"If-Match": tag}, description="x"))["version"] == 1

    @pytest.mark.parametrize(
        "tag", ['"1-active"', '"0-expired"', '""', "", '"7-active", "8-active"']
    )
    @pytest.mark.parametrize("body", [{"description": "x"}, {}], ids=str)
    def test_a_link_that_is_not_stays_as_it_is(
        self, api: Api, tag: str, body: dict[str, str]
    ) -> None:
        link_id = api.create()["id"]
        response = api.patch(link_id, {"If-Match": tag}, **body)
        assert_problem(response, 412, "precondition_failed")
        assert api.get(link_id).json()["version"] == 0

    def test_one_that_ended_meanwhile_is_told_of_first(self, api: Api) -> None:
        link_id = api.create()["id"]
        api.revoke(link_id)
        response = api.patch(link_id, {"If-Match": '"0-active"'}, description="x")
        assert_problem(response, 412, "precondition_failed")

    @pytest.mark.parametrize("tag", ['W/"0-active"', "0-active", '"0-active'])
    def test_a_weak_or_malformed_tag_is_refused(self, api: Api, tag: str) -> None:
        response = api.patch(api.create()["id"], {"If-Match": tag}, description="x")
        assert_problem(response, 400, "etag_invalid")

    def test_there_is_no_link_that_nobody_made(self, api: Api) -> None:
        response = api.patch(UNKNOWN_LINK_ID, {"If-Match": '"0-active"'}, description="x")
        assert_problem(response, 404, "link_not_found")

    def test_scripts_of_an_allowed_origin_may_use_it(self, make_api: Callable[..., Api]) -> None:
        origin = "https://shop.example.com"
        api = make_api(CORS_ORIGINS=origin)
        link_id = api.create()["id"]
        path, headers = f"/payment-links/{link_id}", {"Origin": origin}
        preflight = api.client.options(
            path,
            headers=headers
            | {
                "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "if-match,authorization,content-type",
            },
        )
        assert preflight.status_code == 204
        assert "PATCH" in preflight.headers["access-control-allow-methods"]
        assert "if-match" in preflight.headers["access-control-allow-headers"].lower()
        exposed = api.get(link_id, headers).headers["access-control-expose-headers"]
        assert "etag" in exposed.lower().replace(",", " ").split()


class TestRaces:
    def test_without_a_tag_all_changes_are_made(self, api: Api) -> None:
        link_id = api.create()["id"]
        calls = [
            partial(api.patch, link_id, description=f"text {number}") for number in range(CALLERS)
        ]
        responses = all_at_once(*calls)
        assert statuses(responses) == {200: CALLERS}
        versions = sorted(response.json()["version"] for response in responses)
        assert versions == [*range(1, CALLERS + 1)]
        assert len(events(api, link_id)) == CALLERS
        last = max(responses, key=lambda response: response.json()["version"]).json()
        assert api.get(link_id, api.internal()).json() == last

    def test_with_a_tag_one_change_is_made(self, api: Api) -> None:
        link_id = api.create()["id"]
        calls = [
            partial(api.patch, link_id, {"If-Match": '"0-active"'}, description=f"text {number}")
            for number in range(CALLERS)
        ]
        responses = all_at_once(*calls)
        assert statuses(responses) == {200: 1, 412: CALLERS - 1}
        [won] = [response.json() for response in responses if response.status_code == 200]
        assert api.get(link_id, api.internal()).json() == won
        assert (won["version"], len(events(api, link_id))) == (1, 1)

    def test_changes_of_different_fields_keep_each_other(self, api: Api) -> None:
        link_id = api.create(payment_amount=10, currency="NGN")["id"]
        fields = {
            "description": "x",
            "locale": "fr",
            "email": JOHN,
            "payment_amount": 20,
            "otp_required": True,
            "metadata": {"a": "b"},
        }
        all_at_once(*(partial(api.patch, link_id, **{name: to}) for name, to in fields.items()))
        found = api.get(link_id, api.internal()).json()
        assert {name: found[name] for name in fields} == fields
        assert found["version"] == len(fields)

    @pytest.mark.parametrize("_", range(5))
    def test_a_change_and_a_revocation_leave_no_index_behind(self, api: Api, _: int) -> None:
        link_id = api.create()["id"]
        changes = [
            partial(api.patch, link_id, email=f"{name}@example.com") for name in ("a", "b", "c")
        ]
        all_at_once(*changes, partial(api.revoke, link_id))
        assert api.get(link_id).json()["status"] == "revoked"
        partition = keys.partition_of_link(link_id)
        for address in (JANE, "a@example.com", "b@example.com", "c@example.com"):
            assert not api.redis.exists(keys.email(partition, address))

    @pytest.mark.parametrize("_", range(5))
    def test_what_is_paid_is_what_was_asked_for(self, api: Api, _: int) -> None:
        link_id = api.create(payment_amount=10, currency="NGN")["id"]
        pay = partial(
            api.client.post,
            f"/payment-links/{link_id}/payments",
            json={"payment_id": "ch_1"},
            headers=api.internal(),
        )
        raised, paid = all_at_once(partial(api.patch, link_id, payment_amount=20), pay)
        assert paid.status_code == 201
        found = api.get(link_id, api.internal()).json()
        assert (found["status"], found["amount_due"]) == ("paid", 0)
        assert found["payment_amount"] == found["amount_paid"]
        if raised.status_code == 200:
            assert found["amount_paid"] == 20
        else:
            assert_problem(raised, 409, "link_ended")

    def test_a_link_that_goes_meanwhile_does_not_come_back(self, api: Api) -> None:
        link_id = api.create()["id"]
        changes = [partial(api.patch, link_id, description=f"text {n}") for n in range(20)]

        def forget() -> None:
            api.redis.delete(keys.link(link_id))

        answers = all_at_once(*changes, forget)
        responses = [answer for answer in answers if isinstance(answer, httpx.Response)]
        assert set(statuses(responses)) <= {200, 404}
        assert not api.redis.exists(keys.link(link_id))
