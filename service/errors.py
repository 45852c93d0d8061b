"""Domain errors. ``service.http.problems`` turns each into an HTTP problem.

PaymentLinkError
├── Invalid               a value breaks a rule
│   ├── OtpNotVerified    the e-mail has not verified this code in the last 24 hours
│   ├── PartialNotAccepted  a payment is less than what is due
│   └── CurrencyMismatch  a payment is in another currency than the link
├── Unauthenticated
│   ├── TokenRequired
│   ├── TokenInvalid
│   ├── OtpRequired       a gated link was requested without its customer's token
│   └── OtpInvalid        a code is wrong, used, expired or unknown
├── Forbidden             the caller is known, but may not do this
├── LinkNotFound
├── PaymentNotFound
├── IdempotencyConflict   the key was used for another request
├── LinkEnded             the link was paid, was revoked or has expired
├── LinkPaid              the link was paid, in whole or in part
├── TransactionExists     its transaction has an active or paid link already
├── PaymentConflict       the id belongs to a payment of another amount or currency
├── PaymentVoided         the id belongs to a payment that was voided
├── LinkSent              a mail is out that shows what would change
├── MailPending           the link's mail is not out yet
├── EtagInvalid           If-Match is not a list of strong entity tags
├── PreconditionFailed    If-Match names no entity tag of the link as it is
├── LimitReached
├── Unavailable           Redis, or the identity provider, does not answer
└── Unreadable            a key in Redis holds something that the service did not write
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

MAX_QUOTED_NAME_CHARACTERS = 64
"""Limits how much of an unknown field's or parameter's name a response quotes."""
P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")


class PaymentLinkError(Exception):
    """The base of all. ``code`` is stable and for programs; ``message`` is for people."""

    code = "error"
    message = ""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class Fault(NamedTuple):
    """What is wrong with a field. The message completes "This field …"."""

    field: str
    message: str


class Invalid(PaymentLinkError):
    """Values break rules. ``faults`` names each field and its rule; ``field`` is the first."""

    code = "validation_failed"

    def __init__(self, field: str, message: str, *others: Fault) -> None:
        self.field = field
        self.faults = [Fault(field, message), *others]
        super().__init__(f"{len(self.faults)} values are not valid" if others else message)


class Faults:
    """Collects the faults of several fields, to report all of them at once."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def __contains__(self, field: str) -> bool:
        return any(fault.field == field for fault in self.found)

    def add(self, field: str, message: str) -> None:
        self.found.append(Fault(field, message))

    def check(
        self,
        parse: Callable[Concatenate[V, P], T],
        value: V | None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | None:
        """``value`` as ``parse`` returns it; None if it raises ``Invalid``, whose faults are added.

        None also if ``value`` is: it was left out, or could not be read.
        """
        if value is None:
            return None
        try:
            return parse(value, *args, **kwargs)
        except Invalid as error:
            self.found += error.faults
            return None

    def as_error(self) -> Invalid:
        """An error with all faults, of which there must be at least one."""
        (field, message), *others = self.found
        return Invalid(field, message, *others)

    def raise_if_any(self) -> None:
        if self.found:
            raise self.as_error()


class OtpNotVerified(Invalid):
    code = "otp_not_verified"

    def __init__(self) -> None:
        super().__init__("otp", "this e-mail has not verified that code in the last 24 hours")


class PartialNotAccepted(Invalid):
    code = "partial_not_accepted"

    def __init__(self, due: str) -> None:
        super().__init__("amount", f"must be at least what is due, {due}")


class CurrencyMismatch(Invalid):
    code = "currency_mismatch"

    def __init__(self, currency: str) -> None:
        super().__init__("currency", f"must be {currency}, the currency that the link is paid in")


class Unauthenticated(PaymentLinkError):
    code = "unauthenticated"


class TokenRequired(Unauthenticated):
    code = "token_required"
    message = "an admin token is required: Authorization: Bearer <token>"


class TokenInvalid(Unauthenticated):
    code = "token_invalid"
    message = "the token is not valid"


class OtpRequired(Unauthenticated):
    code = "otp_required"
    message = "the link opens with the token of its recipient, who gets it for a one-time password"


class OtpInvalid(Unauthenticated):
    code = "otp_invalid"
    message = "the code is wrong, used or expired"


class Forbidden(PaymentLinkError):
    code = "forbidden"


class LinkNotFound(PaymentLinkError):
    code = "link_not_found"
    message = "there is no such payment link"


class PaymentNotFound(PaymentLinkError):
    code = "payment_not_found"
    message = "the link has no such payment"


class IdempotencyConflict(PaymentLinkError):
    """The Idempotency-Key belongs to an earlier request that differs from this one."""

    code = "idempotency_conflict"
    message = "that Idempotency-Key came with another request before"


class LinkEnded(PaymentLinkError):
    code = "link_ended"
    message = "the link was paid, was revoked or has expired"


class LinkPaid(PaymentLinkError):
    code = "link_paid"
    message = "the link was paid, in whole or in part"


class TransactionExists(PaymentLinkError):
    """``link_id``: the newest active or paid link of the transaction."""

    code = "transaction_exists"

    def __init__(self, link_id: str) -> None:
        super().__init__(f"{link_id} is an active or paid link of this transaction")
        self.link_id = link_id


class PaymentConflict(PaymentLinkError):
    code = "payment_conflict"
    message = "that payment_id belongs to a payment of another amount or currency"


class PaymentVoided(PaymentLinkError):
    code = "payment_voided"
    message = "that payment was voided; record other money under another payment_id"


class MailPending(PaymentLinkError):
    code = "mail_pending"
    message = "the link's mail is still on its way; once it is sent or has failed, send it again"


class LinkSent(PaymentLinkError):
    code = "link_sent"
    message = (
        "a mail of the link is out, which would contradict the change;"
        " create a new link with the same transaction_id and on_conflict: supersede"
    )


class EtagInvalid(PaymentLinkError):
    code = "etag_invalid"
    message = 'If-Match must be * or strong entity tags, such as "0-active"'


class PreconditionFailed(PaymentLinkError):
    code = "precondition_failed"
    message = "the link has changed since you read it; read it again"


class LimitReached(PaymentLinkError):
    code = "limit_reached"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(PaymentLinkError):
    """Without a ``message``, the command may have been carried out all the same."""

    code = "unavailable"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "the store does not answer")
        self.is_outcome_unknown = message is None


class Unreadable(PaymentLinkError):
    code = "record_unreadable"
    message = "what is stored of this cannot be read; an operator finds the key in the log"
