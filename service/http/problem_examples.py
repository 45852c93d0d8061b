"""Examples of the problems that each operation may answer with."""

import json
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from service import errors
from service.http.problems import CODES, RequestTimeout, UnsupportedMediaType, problem
from service.http.schemas import ENCODER, FieldError

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


def problem_example(operation_id: str, status: int) -> dict[str, Any]:
    """What ``operation_id`` may answer with ``status``."""
    error = _ERRORS_OF.get((operation_id, status), _ERRORS.get(status))
    code, detail = (error.code, str(error)) if error else _HTTP_ERRORS[status]
    faults = (
        [FieldError(*fault) for fault in error.faults]
        if isinstance(error, errors.Invalid)
        else None
    )
    return _on_the_wire(problem(status, code, detail, field_errors=faults).content)


def _on_the_wire(body: msgspec.Struct) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(ENCODER.encode(body))
    return written
