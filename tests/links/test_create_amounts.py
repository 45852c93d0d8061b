"""POST /payment-links: amounts and currencies, exact to the last digit."""

from typing import Any

import httpx
import pytest

from tests.support.api import JANE, JSON, Api, assert_invalid, assert_problem, raw_payment_amount


def post_raw(api: Api, members: str) -> httpx.Response:
    """Creates a link whose body has ``members`` beside what is required, as they are written."""
    body = f'{{"email":"{JANE}","org_id":"acme",{members}}}'
    return api.client.post("/payment-links", content=body, headers=api.internal() | JSON)


@pytest.mark.parametrize(
    ("written", "currency", "emitted"),
    [
        pytest.param("10.50", None, "10.50", id="10.50 stays 10.50"),
        pytest.param("10.5", None, "10.5", id="10.5 stays 10.5"),
        pytest.param("10", None, "10", id="whole"),
        pytest.param("0.01", "USD", "0.01", id="smallest USD"),
        pytest.param("0.1", "USD", "0.1", id="no float in between"),
        pytest.param("100000000000.07", "USD", "100000000000.07", id="large"),
        pytest.param("999999999999.99", "USD", "999999999999.99", id="largest"),
        pytest.param("1000", "JPY", "1000", id="JPY has no decimals"),
        pytest.param("1000.0", "JPY", "1000", id="zeros beyond the smallest unit are dropped"),
        pytest.param("1.234", "KWD", "1.234", id="KWD has three"),
        pytest.param("0.001", "KWD", "0.001", id="smallest KWD"),
        pytest.param("1e2", None, "100", id="exponent"),
        pytest.param("1.5E1", "JPY", "15", id="exponent with decimals"),
    ],
)
def test_an_amount_is_kept_exactly(
    api: Api, written: str, currency: str | None, emitted: str
) -> None:
    members = f'"payment_amount":{written}' + (f',"currency":"{currency}"' if currency else "")
    created = post_raw(api, members)
    assert created.status_code == 201, created.text
    assert raw_payment_amount(created) == emitted
    assert raw_payment_amount(api.get(created.json()["id"])) == emitted
    assert raw_payment_amount(api.verify(created.json()["id"])) == emitted
    assert raw_payment_amount(api.list()) == emitted


@pytest.mark.parametrize(
    ("written", "currency"),
    [
        pytest.param("0", None, id="zero"),
        pytest.param("0.00", "USD", id="zero with decimals"),
        pytest.param("-0", None, id="minus zero"),
        pytest.param("-1", None, id="negative"),
        pytest.param("-0.01", "USD", id="barely negative"),
        pytest.param("0.001", None, id="three decimals without currency"),
        pytest.param("10.505", "USD", id="three decimals in USD"),
        pytest.param("0.5", "JPY", id="a decimal in JPY"),
        pytest.param("1.2345", "KWD", id="four decimals in KWD"),
        pytest.param(
            "1.000000000000000000000000000000000001", None, id="decimals beyond a float's"
        ),
        pytest.param("1000000000000", "USD", id="a million million"),
        pytest.param("12345678901234567890123", None, id="23 digits"),
        pytest.param("12345678901234567890123.5", None, id="23 digits and a decimal"),
        pytest.param("9" * 5000, None, id="5000 digits"),
        pytest.param("1e400", None, id="beyond a double"),
        pytest.param("1e999999999", None, id="a huge exponent"),
        pytest.param("1e99999999999999999999", None, id="an exponent beyond Decimal's"),
        pytest.param("1e-400", None, id="below a double"),
        pytest.param("1e-999999999999999999", None, id="a huge negative exponent"),
        pytest.param('"10.50"', None, id="string"),
        pytest.param("true", None, id="bool"),
        pytest.param("[]", None, id="array"),
        pytest.param("{}", None, id="object"),
    ],
)
def test_an_amount_out_of_bounds_is_refused(api: Api, written: str, currency: str | None) -> None:
    members = f'"payment_amount":{written}' + (f',"currency":"{currency}"' if currency else "")
    assert_invalid(post_raw(api, members), "payment_amount")


@pytest.mark.parametrize(
    "written", ["NaN", "Infinity", "-Infinity", "0x10", "01", "1.", ".5", "+1", "1_000"]
)
def test_an_amount_that_is_no_json_number_is_malformed(api: Api, written: str) -> None:
    assert_problem(post_raw(api, f'"payment_amount":{written}'), 400, "malformed_request")


@pytest.mark.parametrize("currency", ["NGN", "usd", "Eur", "JPY", "KWD"])
def test_a_currency_is_upper_cased(api: Api, currency: str) -> None:
    assert api.create(currency=currency)["currency"] == currency.upper()


@pytest.mark.parametrize(
    "currency",
    ["", "US", "USDT", "ZZZ", "U$D", "\uff35\uff33\uff24", "USD\n", 840],
    ids=["empty", "2", "4", "none", "sign", "wide", "newline", "number"],
)
def test_a_currency_outside_iso_4217_is_refused(api: Api, currency: Any) -> None:
    assert_invalid(api.post_link(currency=currency), "currency")
