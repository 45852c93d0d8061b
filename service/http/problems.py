"""Errors as problems (RFC 9457): the only place that knows the HTTP status of each."""

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap
from msgspec import UNSET, UnsetType

from service import errors
from service.http.parameters import describe_invalid_parameters
from service.http.request import AnyRequest
from service.http.responses import JsonResponse
from service.http.schemas import FieldError, Problem
from service.storage.error_descriptions import describe_failure

log = structlog.get_logger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
READ_ONLY_OPT = "reads_only"
"""``opt`` of a POST that changes nothing."""
RETRY_AFTER_SECONDS = 1
"""``Retry-After`` of a request that Redis did not answer."""

STATUS_BY_ERROR: dict[type[Exception], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.LinkNotFound: 404,
    errors.PaymentNotFound: 404,
    errors.IdempotencyConflict: 409,
    errors.LinkEnded: 409,
    errors.LinkPaid: 409,
    errors.TransactionExists: 409,
    errors.PaymentConflict: 409,
    errors.PaymentVoided: 409,
    errors.LinkSent: 409,
    errors.MailPending: 409,
    errors.EtagInvalid: 400,
    errors.PreconditionFailed: 412,
    errors.LimitReached: 429,
    errors.Unavailable: 503,
    errors.Unreadable: 500,
}
CODES = {
    400: "malformed_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    414: "address_too_long",
    431: "headers_too_large",
    500: "internal_error",
}


class UnsupportedMediaType(HTTPException):
    status_code = 415
    detail = "the body must be JSON, without a Content-Encoding: Content-Type: application/json"


class MalformedBody(HTTPException):
    status_code = 400


class RequestTimeout(HTTPException):
    """The body did not arrive in time.

    The connection is closed: otherwise the rest of the body would be read as the next request.
    """

    status_code = 408
    detail = "the body did not arrive in time"

    def __init__(self) -> None:
        super().__init__(headers={"Connection": "close"})


class Stopping(errors.Unavailable):
    """The process is shutting down: another one should serve the request."""

    code = "stopping"

    def __init__(self) -> None:
        super().__init__("this process is stopping")


def problem_body(
    status: int,
    code: str,
    detail: str,
    faults: Sequence[errors.Fault] = (),
    link_id: str | UnsetType = UNSET,
) -> Problem:
    """A problem's body; ``faults`` are those of fields, ``link_id`` the link that causes it."""
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=[FieldError(*fault) for fault in faults] or UNSET,
        link_id=link_id,
    )


def problem(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> JsonResponse[Problem]:
    """The response that reports a problem."""
    return JsonResponse(
        problem_body(status, code, detail),
        status_code=status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def status_of(error: errors.PaymentLinkError) -> int:
    """The status of the problem that reports ``error``."""
    return next(STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR)


def describe(error: errors.PaymentLinkError, detail: str | None = None) -> Problem:
    """The body of the problem that reports ``error``; ``detail`` is its message by default."""
    faults = error.faults if isinstance(error, errors.Invalid) else ()
    link_id = error.link_id if isinstance(error, errors.TransactionExists) else UNSET
    return problem_body(status_of(error), error.code, detail or str(error), faults, link_id)


def from_domain(request: AnyRequest, error: errors.PaymentLinkError) -> Response[Any]:
    """The problem that reports ``error``."""
    headers: dict[str, str] = {}
    detail = str(error)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = (
            'Bearer error="invalid_token"' if isinstance(error, errors.TokenInvalid) else "Bearer"
        )
    if isinstance(error, errors.LimitReached):
        headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        log.warning("unavailable", cause=describe_failure(error) if error.__cause__ else str(error))
        if error.is_outcome_unknown and _may_change_state(request):
            detail += "; the request may have been carried out all the same"
    return JsonResponse(
        describe(error, detail),
        status_code=status_of(error),
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def _may_change_state(request: AnyRequest) -> bool:
    handler = request.scope.get("route_handler")
    return request.method not in {"GET", "HEAD"} and not (
        handler and handler.opt.get(READ_ONLY_OPT)
    )


def _from_http(request: AnyRequest, error: HTTPException) -> Response[Any]:
    if isinstance(error, ValidationException):
        extra = error.extra if isinstance(error.extra, list) else []
        if any(item.get("source") == "body" for item in extra):
            return problem(400, CODES[400], "a body is required")
        if names := [item["key"] for item in extra if "key" in item]:
            return from_domain(
                request, describe_invalid_parameters(request.route_handler, names).as_error()
            )
    if error.status_code >= 500:
        return _from_unexpected_error(request, error)
    code = (
        "unsupported_media_type"
        if error.status_code == 415
        else CODES.get(error.status_code, "request_failed")
    )
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    return problem(error.status_code, code, error.detail, headers)


def _from_unexpected_error(_: AnyRequest, error: Exception) -> Response[Any]:
    log.error("internal_error", exc_info=error)
    return problem(
        500, CODES[500], "something went wrong on our side; the request id names it in our logs"
    )


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    errors.PaymentLinkError: from_domain,
    HTTPException: _from_http,
    Exception: _from_unexpected_error,
}


def problem_of(request: AnyRequest, error: Exception) -> Response[Any]:
    """The problem that reports ``error``, whatever its type."""
    handler: Any = next(
        EXCEPTION_HANDLERS[kind] for kind in type(error).__mro__ if kind in EXCEPTION_HANDLERS
    )
    response: Response[Any] = handler(request, error)
    return response
