"""Loads settings of which one may be wrong."""

from config.settings import SettingsError, load

REQUIRED = {"SECRET_KEY": "s" * 32, "REDIS_URL": "redis://localhost"}
ALSO_REQUIRED = {
    "SMTP_URL": {"MAIL_FROM": "pay@shop.example"},
    "REDIS_URL": {"QUEUE_REDIS_URL": "redis://queue"},
}
"""The other settings that are required, so that only the URL can be wrong."""


def refusal(name: str, url: str) -> str | None:
    """The error where ``name`` is ``url``, or None where that is taken."""
    try:
        load({**REQUIRED, **ALSO_REQUIRED.get(name, {}), name: url})
    except SettingsError as error:
        return str(error)
    return None
