"""The address of a checkout, with places that a link's values fill in."""

import re

from service.errors import Invalid

PLACEHOLDERS = ("{link_id}", "{amount}", "{currency}", "{transaction_id}")
"""What a checkout's address may hold. The values are filled in percent-encoded."""
MAX_CHECKOUT_URL_CHARACTERS = 500
CHECKOUT_URL_PATTERN = "https://[!-~]+"
_PLACEHOLDER = re.compile("|".join(map(re.escape, PLACEHOLDERS)))
_URI = re.compile(r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
"""The characters of RFC 3986, 2."""
_AUTHORITY = re.compile(
    r"(([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE
)


def parse_checkout_url(text: str, field: str = "checkout_url") -> str:
    """``text`` unchanged if it is an ``https://`` URL with a placeholder behind its host.

    Raises:
        Invalid: it is something else, or has braces that are no placeholder.
    """
    if len(text) > MAX_CHECKOUT_URL_CHARACTERS:
        raise Invalid(field, f"must have at most {MAX_CHECKOUT_URL_CHARACTERS} characters")
    if not text.startswith("https://"):
        raise Invalid(field, "must be a full address that begins with https://")
    filled = _PLACEHOLDER.sub("_", text)
    if re.search("[{}]", filled):
        raise Invalid(field, f"must have no braces other than {', '.join(PLACEHOLDERS)}")
    if not _URI.fullmatch(filled):
        raise Invalid(field, "must have no spaces or special characters; percent-encode them")
    _require_host(re.split("[/?#]", text.removeprefix("https://"))[0], field)
    if filled == text:
        raise Invalid(field, f"must hold at least one of {', '.join(PLACEHOLDERS)}")
    return text


def _require_host(authority: str, field: str) -> None:
    if "@" in authority:
        raise Invalid(field, "must have no user and no password")
    if "{" in authority:
        raise Invalid(field, "must have its placeholders after the host")
    if not _AUTHORITY.fullmatch(authority):
        raise Invalid(field, "must have a valid host and port")
