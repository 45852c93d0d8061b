"""What can go wrong, as a tree. ``service.api.problems`` says once what each becomes over HTTP.

PaymentLinkError
├── Invalid               a value breaks a rule
│   └── OtpNotVerified    the code was not submitted by this e-mail in the last day
├── Unauthenticated       nobody, or nobody we can believe
│   ├── TokenRequired
│   ├── TokenInvalid
│   ├── OtpRequired       a gated link without its customer's token
│   └── OtpInvalid        a wrong, used, expired or unknown code
├── Forbidden             somebody, but not allowed
├── LinkNotFound
├── IdempotencyConflict   the key was used before, for another request
├── LimitReached          too many of these for now
└── Unavailable           Redis, or the identity provider, does not answer
"""

from datetime import timedelta


class PaymentLinkError(Exception):
    """Base of all. ``code`` is stable and machine-readable; the message is for people."""

    code = "error"


class Invalid(PaymentLinkError):
    """The value of ``field`` breaks a rule; the message says which."""

    code = "validation_failed"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class OtpNotVerified(Invalid):
    code = "otp_not_verified"

    def __init__(self) -> None:
        super().__init__("otp", "this e-mail has not verified that code in the last 24 hours")


class Unauthenticated(PaymentLinkError):
    code = "unauthenticated"


class TokenRequired(Unauthenticated):
    code = "token_required"

    def __init__(self) -> None:
        super().__init__("an admin token is required: Authorization: Bearer <token>")


class TokenInvalid(Unauthenticated):
    code = "token_invalid"

    def __init__(self, message: str = "the token is not valid") -> None:
        super().__init__(message)


class OtpRequired(Unauthenticated):
    code = "otp_required"

    def __init__(self) -> None:
        super().__init__("the link opens with the token of its recipient, who gets it for a one-time password")


class OtpInvalid(Unauthenticated):
    code = "otp_invalid"

    def __init__(self) -> None:
        super().__init__("the code is wrong, used or expired")


class Forbidden(PaymentLinkError):
    code = "forbidden"


class LinkNotFound(PaymentLinkError):
    code = "link_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such payment link")


class IdempotencyConflict(PaymentLinkError):
    code = "idempotency_conflict"

    def __init__(self) -> None:
        super().__init__("that Idempotency-Key came with another request before")


class LimitReached(PaymentLinkError):
    code = "limit_reached"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(PaymentLinkError):
    """Without a ``message`` of its own, what was asked for may have been done all the same."""

    code = "unavailable"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "the store does not answer")
        self.may_be_done = message is None
