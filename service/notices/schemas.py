"""Notices on the wire: a request body and its answer, each with an example."""

from msgspec import Struct

from service.http.fields import EXAMPLE_EMAIL
from service.http.schemas import RequestBody


class SendSample(RequestBody, frozen=True):
    """Nothing: the mail goes to the profile's ``reply_to``."""


class QueuedSample(Struct, frozen=True):
    """The address to which a sample mail is on its way: the profile's ``reply_to``."""

    sent_to: str


EXAMPLES: tuple[Struct, ...] = (
    SendSample(),
    QueuedSample(EXAMPLE_EMAIL),
)
