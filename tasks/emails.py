"""The jobs behind the doorbells. RQ finds them by name; they carry no arguments."""

from functools import partial

from service.jobs import Bell, answer, ring
from tasks.runtime import CURRENT


def deliver_links() -> None:
    """Sends the links that are owed an e-mail."""
    runtime = CURRENT.get()
    if left := runtime.links.drain(answer(Bell.LINKS, runtime.queue), partial(answer, Bell.LINKS, runtime.queue)):
        ring(Bell.LINKS, left, runtime.queue)


def deliver_otps() -> None:
    """Sends the one-time passwords that were asked for."""
    runtime = CURRENT.get()
    if left := runtime.otps.drain(answer(Bell.OTPS, runtime.queue), partial(answer, Bell.OTPS, runtime.queue)):
        ring(Bell.OTPS, left, runtime.queue)
