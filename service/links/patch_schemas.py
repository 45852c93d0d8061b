"""Request bodies that change a link."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from service.errors import Faults
from service.http.fields import Amount, Email, LanguageTag, Reminders, Time
from service.http.schemas import RequestBody
from service.links.patch import LinkPatch, validate_patch
from service.links.schemas import CurrencyCode, Description, Metadata


class UpdateLink(RequestBody, frozen=True, kw_only=True):
    """The fields to change; null removes a value.

    ``metadata`` and ``reminders`` are replaced as a whole.
    """

    description: Description | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    locale: LanguageTag | UnsetType | None = UNSET
    reminders: Reminders | UnsetType | None = UNSET
    expires_at: Time | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    payment_amount: Amount | UnsetType | None = UNSET
    currency: CurrencyCode | UnsetType | None = UNSET
    scheduled_at: Time | UnsetType | None = UNSET
    otp_required: bool | UnsetType = UNSET

    def parse(self, now: datetime, faults: Faults | None = None) -> LinkPatch:
        """The change, checked as far as that does not depend on the link."""
        fields = msgspec.structs.asdict(self)
        if isinstance(self.reminders, list):
            fields["reminders"] = tuple(self.reminders)
        return validate_patch(LinkPatch(**fields), now=now, faults=faults)


EXAMPLES = (UpdateLink(description="Office cleaning, December", payment_amount=Amount("99000")),)
