"""Examples for the API's description: one of each thing that goes over the wire, and of each problem."""

import json
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import msgspec

from service import errors
from service.http import request_bodies, schemas
from service.http.problems import CODES, RequestTimeout, UnsupportedMediaType, problem
from service.links.model import DeliveryState, Status
from service.values.email import mask

EMAIL, ORG_ID = "jane@example.com", "acme"
LINK_ID = "pl_3fUgF8kQ2mZpR7sT1vXyW4aB"
CREATED_AT, SENT_AT, EXPIRES_AT = (
    "2026-12-01T09:00:00.000Z",
    "2026-12-01T09:00:01.000Z",
    "2026-12-04T09:00:00.000Z",
)

LINK = schemas.LinkBody(
    id=LINK_ID,
    url=f"https://pay.example.com/pay/{LINK_ID}",
    org_id=ORG_ID,
    email=EMAIL,
    transaction_id="order-1138",
    payment_amount=Decimal("125000.50"),
    currency="NGN",
    status=Status.ACTIVE,
    otp_required=False,
    locale="en",
    scheduled_at=None,
    created_at=CREATED_AT,
    expires_at=EXPIRES_AT,
    revoked_at=None,
    delivery=schemas.DeliveryBody(
        state=DeliveryState.SENT, attempts=1, sent_at=SENT_AT, error=None
    ),
)
MASKED_LINK = schemas.MaskedLink(
    id=LINK_ID, status=Status.ACTIVE, expires_at=EXPIRES_AT, otp_required=True, email=mask(EMAIL)
)
PROFILE = {
    "display_name": "Acme Cleaning Ltd",
    "colour": "#0a7d4f",
    "reply_to": "help@acme.example.com",
    "locale": "en",
    "time_zone": "Africa/Lagos",
}
_BODIES: tuple[msgspec.Struct, ...] = (
    request_bodies.CreateLink(
        email=EMAIL,
        org_id=ORG_ID,
        transaction_id="order-1138",
        payment_amount=request_bodies.Amount("125000.50"),
        currency="NGN",
    ),
    request_bodies.VerifyLink(LINK_ID),
    request_bodies.RevokeLinks(EMAIL),
    request_bodies.RevokeRecipient(EMAIL),
    request_bodies.SendOtp(EMAIL),
    request_bodies.SubmitOtp(EMAIL, "042817"),
    request_bodies.PutProfile(**PROFILE),
    request_bodies.DispatchWindow(period=48),
    LINK,
    schemas.Verification(valid=True, status=Status.ACTIVE, link=LINK),
    schemas.MaskedVerification(valid=True, status=Status.ACTIVE, link=MASKED_LINK),
    schemas.Revocation(1, [LINK_ID]),
    schemas.LinkPage(
        total=1,
        counts=schemas.Counts(active=1, expired=0, revoked=0),
        links=[LINK],
        next_cursor=None,
    ),
    schemas.OtpSent(expires_in=600, resend_after=60),
    schemas.CustomerToken(
        token="eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl",  # noqa: S106
        token_type="Bearer",  # noqa: S106
        expires_in=86400,
    ),
    schemas.ProfileBody(**PROFILE, logo=None),
    schemas.Dispatch(
        start=CREATED_AT,
        end="2026-12-03T09:00:00.000Z",
        due=12,
        queued=12,
        unreadable_partitions=[],
    ),
    schemas.Health("ok"),
    schemas.Readiness(
        status="ok",
        redis="ok",
        reasons=[],
        heartbeats={
            "web": [0.3, 1.7],
            "worker-links": [0.4],
            "worker-otps": [0.6],
            "scheduler": [1.2],
        },
        unsent=0,
        oldest_unsent_seconds=None,
    ),
    schemas.OrgPage(1, [ORG_ID], unreadable_partitions=[]),
    schemas.Outbox(
        unsent=1,
        oldest_unsent_seconds=0.8,
        scheduled=12,
        jobs_waiting={"links": 0, "otps": 0},
        failed=1,
        unreadable_partitions=[],
        failures=[
            schemas.FailedDelivery(
                id=LINK_ID,
                org_id=ORG_ID,
                email=EMAIL,
                transaction_id="order-1138",
                error="550 5.1.1 no such mailbox",
                failed_at=SENT_AT,
            )
        ],
    ),
)

TEXTS = {
    "text/html": "<!doctype html>…",
    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 37 37">…</svg>',
    "application/x-ndjson": schemas.ENCODER.encode_lines([LINK]).decode(),
}
"""By media type: what is no JSON."""

_ERRORS: dict[int, errors.PaymentLinkError] = {
    401: errors.TokenRequired(),
    403: errors.Forbidden("the token is another organization's"),
    404: errors.LinkNotFound(),
    409: errors.IdempotencyConflict(),
    422: errors.Invalid("email", "An email address must have an @-sign."),
    429: errors.LimitReached("a code was sent to this e-mail a moment ago", timedelta(seconds=60)),
    503: errors.Unavailable(),
}
_ERRORS_OF: dict[tuple[str, int], errors.PaymentLinkError] = {
    ("get_link", 401): errors.OtpRequired(),
    ("pay", 401): errors.OtpRequired(),
    ("submit_otp", 401): errors.OtpInvalid(),
    ("get_link", 422): errors.Invalid("lang", "is not a known parameter"),
    ("healthz", 422): errors.Invalid("verbose", "is not a known parameter"),
    ("readyz", 422): errors.Invalid("verbose", "is not a known parameter"),
    ("verify_link", 422): errors.Invalid("link_id", "must be text"),
    ("list_links", 422): errors.Invalid("limit", "must be a whole number from 1 to 1000"),
    ("list_orgs", 422): errors.Invalid("limit", "must be a whole number from 1 to 1000"),
    ("get_outbox", 422): errors.Invalid("limit", "must be a whole number from 1 to 100"),
    ("get_qr", 422): errors.Invalid("size", "must be a whole number from 64 to 1024"),
    ("get_profile", 422): errors.Invalid(
        "org_id", "must be 1 to 64 of A-Z a-z 0-9 . _ : -, and neither . nor .."
    ),
    ("put_profile", 422): errors.Invalid("display_name", "must not be blank"),
    ("dispatch_window", 422): errors.Invalid(
        "scheduled_at", "must be a time or a date, such as 2026-12-01T09:00:00Z or 2026-12-01"
    ),
}
"""Where an operation has another error than most."""
_HTTP_ERRORS: dict[int, tuple[str, str]] = {
    400: (CODES[400], "JSON is malformed: expected ',' or '}' (byte 31)"),
    408: (CODES[408], RequestTimeout.detail),
    413: (CODES[413], HTTPStatus(413).phrase),
    415: ("unsupported_media_type", UnsupportedMediaType.detail),
}
"""Code and detail of those that are no errors of the domain."""


def body_examples() -> dict[str, Any]:
    """Examples by the names of their schemas."""
    return {type(body).__name__: _on_the_wire(body) for body in _BODIES}


def problem_example(operation_id: str, status: int) -> dict[str, Any]:
    """What ``operation_id`` may answer with ``status``."""
    error = _ERRORS_OF.get((operation_id, status), _ERRORS.get(status))
    code, detail = (error.code, str(error)) if error else _HTTP_ERRORS[status]
    faults = (
        [schemas.FieldError(*fault) for fault in error.faults]
        if isinstance(error, errors.Invalid)
        else None
    )
    return _on_the_wire(problem(status, code, detail, field_errors=faults).content)


def _on_the_wire(body: msgspec.Struct) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(schemas.ENCODER.encode(body))
    return written
