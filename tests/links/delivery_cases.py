"""How links of each kind of delivery are made."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from service.links.model import Link
from tests.support.factories import (
    make_link,
)

SOON = timedelta(minutes=5)
"""The shortest life of a link."""


DELIVERIES = [
    pytest.param(make_link, {"outbox"}, id="e-mailed now"),
    pytest.param(
        lambda now: make_link(now, scheduled_at=now + timedelta(hours=1)),
        {"scheduled"},
        id="scheduled",
    ),
    pytest.param(lambda now: make_link(now, notify=False), set(), id="not e-mailed"),
]
"""How a link is made, and which queues it is in then."""


MAKES = [pytest.param(case.values[0], id=case.id) for case in DELIVERIES]


Make = Callable[[datetime], Link]
