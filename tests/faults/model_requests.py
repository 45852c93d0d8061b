"""Requests on which the service and the model of its contract are compared, drawn by hypothesis."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.support.actors import ORGS, SPELLINGS, Caller
from tests.support.model_comparison import INTERNAL
from tests.support.reference_model import (
    STATUSES,
)

DECIMALS = {None: 2, "NGN": 2, "usd": 2, "JPY": 0, "KWD": 3, "CLF": 4}


def spans(*written: str) -> st.SearchStrategy[timedelta]:
    units = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    parsed = [part.partition(" ") for part in written]
    return st.sampled_from([timedelta(**{units[unit]: int(number)}) for number, _, unit in parsed])


@st.composite
def amounts(draw: st.DrawFn) -> dict[str, Any]:
    currency = draw(st.sampled_from(list(DECIMALS)))
    number = draw(
        st.one_of(st.integers(1, 10**6), st.integers(1, 10 ** (12 + DECIMALS[currency]) - 1))
    )
    amount = Decimal(number).scaleb(-DECIMALS[currency])
    return {"payment_amount": amount} | ({} if currency is None else {"currency": currency})


any_link = st.integers(0, 200)
"""Which of the links there are, or were."""
orgs, emails, statuses = (
    st.sampled_from(ORGS),
    st.sampled_from(list(SPELLINGS)),
    st.sampled_from([None, *STATUSES]),
)
clients = st.sampled_from(["203.0.113.7", "198.51.100.9"])
answers = st.sampled_from(["taken", "taken", "refused", "deferred"])
admins = st.sampled_from([INTERNAL, *(Caller("org-admin", org_id) for org_id in ORGS)])
keys = st.sampled_from([None, None, "order-1", "order-2"])


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A request for a link. ``send_in`` and ``life`` stand for times that depend on now."""
    body = draw(
        st.fixed_dictionaries(
            {"email": emails, "org_id": orgs},
            optional={
                "send_in": spans(
                    "-2 m", "-60 s", "0 s", "5 m", "3 h", "1 d", "40 d", "365 d", "366 d"
                ),
                "life": spans("299999 ms", "5 m", "1 h", "30 d", "365 d", "366 d"),
                "transaction_id": st.sampled_from(["order-1138", "Bestellung Nº 7", "x" * 128]),
                "otp_required": st.booleans(),
                "notify": st.booleans(),
                "locale": st.sampled_from(["en", "ar"]),
            },
        )
    )
    if "transaction_id" in body:
        body |= {"on_conflict": draw(st.sampled_from(["allow", "error", "supersede"]))}
    if draw(st.booleans()):
        body |= draw(amounts()) | {"accept_partial": draw(st.booleans())}
    return body
