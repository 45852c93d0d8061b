"""Adjusts schemathesis to the service; it loads this module itself (SCHEMATHESIS_HOOKS)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

BEYOND_WORDS = {
    "create_link": {
        "scheduled_at",
        "expires_at",
        "otp",
        "currency",
        "payment_amount",
        "transaction_id",
        "locale",
        "accept_partial",
        "on_conflict",
        "reminders",
    },
    "record_payment": {"amount", "currency", "method", "paid_at"},
    "put_profile": {
        "display_name",
        "logo",
        "reply_to",
        "locale",
        "time_zone",
        "checkout_url",
        "reminders",
    },
    "update_link": {
        "scheduled_at",
        "expires_at",
        "currency",
        "payment_amount",
        "locale",
        "reminders",
    },
    "send_sample": {"reply_to"},
    "get_qr": {"size"},
    "list_links": {"cursor"},
    "list_link_events": {"cursor"},
    "list_org_events": {"cursor"},
}
"""Fields whose rules depend on the time, on other fields, on earlier answers or on long lists."""

RULES_BETWEEN_FIELDS = {"currency_mismatch", "partial_not_accepted"}
"""Codes of 422 about what the link is, not about a field alone."""
MADE = {
    "verify_link": {"link_id": "$response.body#/id"},
    "revoke_recipient": {"email": "$response.body#/email"},
}
"""Where other requests use a new link. openapi-generator cannot read links in a description."""


@schemathesis.hook
def before_load_schema(_: Any, description: dict[str, Any]) -> None:
    links = description["paths"]["/payment-links"]["post"]["responses"]["201"]["links"]
    links |= {target: {"operationId": target, "requestBody": body} for target, body in MADE.items()}


@schemathesis.check
def refuses_what_is_described_only_for_rules_beyond_words(_: Any, response: Any, case: Any) -> None:
    """Takes the place of positive_data_acceptance where that must let any 422 pass.

    A problem with a code of its own names its rule by it.
    """
    fields = BEYOND_WORDS.get(case.operation.definition.raw["operationId"])
    if fields and response.status_code == 422 and case.meta.generation.mode.is_positive:
        problem = response.json()
        if problem["code"] in RULES_BETWEEN_FIELDS:
            return
        named = {error["field"].partition("[")[0] for error in problem.get("errors", [])}
        assert named, response.text
        assert named <= fields, response.text


@schemathesis.hook
def before_call(_: Any, case: Any, __: Any) -> None:
    """Generates e-mails without the beginning of an encoded word (RFC 2047), which is refused."""
    if isinstance(case.body, dict) and isinstance(email := case.body.get("email"), str):
        case.body["email"] = email.replace("=?", "=")


def moment() -> st.SearchStrategy[str]:
    """Times of which most are good for a link that is sent soon."""
    near = st.integers(60, 9 * 3600).map(
        lambda seconds: datetime.now(UTC) + timedelta(seconds=seconds)
    )
    any_time = st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001
        max_value=datetime(8999, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    )
    return st.one_of(near, near, any_time).map(lambda at: at.isoformat().replace("+00:00", "Z"))


schemathesis.openapi.format("date-time", moment())
