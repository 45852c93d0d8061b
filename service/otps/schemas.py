"""One-time passwords on the wire: request bodies and answers, each with an example."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from service.errors import Faults
from service.http.fields import EXAMPLE_EMAIL, Email
from service.http.schemas import RequestBody, parse_recipient
from service.otps.model import parse_code

Code = Annotated[
    str, Meta(examples=["042817"], extra_json_schema={"pattern": "^[0-9]{6}$", "maxLength": 6})
]


class SendOtp(RequestBody, frozen=True):
    email: Email

    def parse(self, now: datetime, faults: Faults | None = None) -> str:
        """The canonical address."""
        return parse_recipient(self.email, faults)


class SubmitOtp(RequestBody, frozen=True):
    email: Email
    otp: Code

    def parse(self, now: datetime, faults: Faults | None = None) -> tuple[str, str]:
        """The canonical address, and the code."""
        faults = faults or Faults()
        faults.check(parse_code, self.otp)
        return parse_recipient(self.email, faults), self.otp


class OtpSent(Struct, frozen=True):
    """In seconds: how long the code is good, and when another may be asked for."""

    expires_in: int
    resend_after: int


class CustomerToken(Struct, frozen=True):
    token: str
    token_type: str
    expires_in: int


EXAMPLES: tuple[Struct, ...] = (
    SendOtp(EXAMPLE_EMAIL),
    SubmitOtp(EXAMPLE_EMAIL, "042817"),
    OtpSent(expires_in=600, resend_after=60),
    CustomerToken(
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl", "Bearer", expires_in=86400
    ),
)
