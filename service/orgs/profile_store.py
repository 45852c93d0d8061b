"""Profiles of organizations in Redis, a JSON object each. They do not end."""

import msgspec

from service.orgs.model import Profile
from service.storage import keys
from service.storage.command import Command, call

NOTHING = Profile()


def get(org_id: str) -> Command[Profile]:
    """The organization's profile: an empty one where it has none."""
    return call(_decode, "GET", keys.profile(org_id))


def put(org_id: str, profile: Profile) -> Command[None]:
    """Keeps ``profile`` in place of the one before."""
    return call(lambda _: None, "SET", keys.profile(org_id), _ENCODER.encode(profile).decode())


def _decode(text: str | None) -> Profile:
    return NOTHING if text is None else _DECODER.decode(text)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Profile)
