"""Requests and answers of both endpoints for one-time passwords."""

import httpx

from tests.support.api import (
    JANE,
    PEER,
    Api,
    assert_problem,
    different_code,
)

VARIANTS = [
    "jane@example.com",
    "Jane@example.com",
    "JANE@EXAMPLE.COM",
    "jane@Example.com",
    "jAnE@eXaMpLe.CoM",
]


def retry_after(response: httpx.Response) -> int:
    """The seconds after which a refused request may be repeated."""
    assert_problem(response, 429, "limit_reached")
    return int(response.headers["retry-after"])


def spend_tries(api: Api, number: int, email: str = JANE) -> None:
    """Fails ``number`` times, with as many codes as that takes, from three addresses in turn."""
    for spent in range(number):
        if spent % 5 == 0:
            api.forget_limit("sends_hour", email)
            api.new_code(email)
        assert_problem(
            api.submit_otp(different_code(api.code(email)), email, from_address(spent)),
            401,
            "otp_invalid",
        )


def from_address(number: int) -> dict[str, str]:
    """As one of three clients."""
    return {PEER: f"203.0.113.{number % 3}"}
