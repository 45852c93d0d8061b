"""What can go wrong, as a tree. ``service.http.problems`` says once what each becomes over HTTP.

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
├── Unavailable           Redis, or the identity provider, does not answer
└── Unreadable            what Redis holds is not what we wrote
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple, ParamSpec, TypeVar

MAX_NAME = 64
"""Characters of an unknown field's or parameter's name that an answer repeats."""
P = ParamSpec("P")
T = TypeVar("T")


class PaymentLinkError(Exception):
    """Base of all. ``code`` is stable and machine-readable; the message is for people."""

    code = "error"


class Fault(NamedTuple):
    """What is wrong with a field, in words that complete "This field …"."""

    field: str
    message: str


class Invalid(PaymentLinkError):
    """Values break rules. ``faults`` names each field and its rule, ``field`` is the first of them."""

    code = "validation_failed"

    def __init__(self, field: str, message: str, *others: Fault) -> None:
        self.field = field
        self.faults = [Fault(field, message), *others]
        super().__init__(f"{len(self.faults)} values are not valid" if others else message)


class Faults:
    """Collects what is wrong with several fields, so that a caller learns all of it at once."""

    def __init__(self, found: Sequence[Fault] = ()) -> None:
        self.found = list(found)

    def __contains__(self, field: str) -> bool:
        return any(fault.field == field for fault in self.found)

    def add(self, field: str, message: str) -> None:
        self.found.append(Fault(field, message))

    def check(self, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What ``parse`` returns, or None where it raises ``Invalid``, whose faults are kept."""
        try:
            return parse(*args, **kwargs)
        except Invalid as error:
            self.found += error.faults
            return None

    def as_error(self) -> Invalid:
        """The error that names all of them. There is at least one."""
        (field, message), *others = self.found
        return Invalid(field, message, *others)

    def raise_if_any(self) -> None:
        """Raises Invalid where there are faults."""
        if self.found:
            raise self.as_error()


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
        super().__init__(
            "the link opens with the token of its recipient, who gets it for a one-time password"
        )


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


class Unreadable(PaymentLinkError):
    code = "record_unreadable"

    def __init__(
        self,
        message: str = "what is stored of this cannot be read; an operator finds the key in the log",
    ) -> None:
        super().__init__(message)
