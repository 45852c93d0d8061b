"""Which language somebody is addressed in: tags of BCP 47, and who is asked first."""

import re

from babel import Locale, UnknownLocaleError

from service.errors import Invalid

LANGUAGES = ("en", "fr", "de", "es", "pt", "ha", "ar")
"""Those that mails and pages are written in; the first is for whoever reads none of them."""
LOCALE_PATTERN = "[A-Za-z]{2}(-[A-Za-z]{2})?"
MAX_HEADER_CHARACTERS = 1000
_LOCALE = re.compile(LOCALE_PATTERN)


def parse_locale(text: str) -> str:
    """``text`` as a tag of a language that we write, with or without a region: ``pt``, ``pt-BR``.

    Raises:
        Invalid: it is none.
    """
    tag = _spoken(text)
    if tag is None:
        raise Invalid(
            "locale",
            f"must be one of {', '.join(LANGUAGES)}, with or without a region, such as pt-BR",
        )
    return tag


def choose_locale(*wishes: str | None) -> str:
    """The first of ``wishes`` that we can fulfil, a tag each or an ``Accept-Language`` (RFC 9110, 12.5.4)."""
    for wish in wishes:
        for tag in _accepted(wish or ""):
            if found := _spoken(tag) or _spoken(tag.partition("-")[0]):
                return found
    return LANGUAGES[0]


def language_of(locale: str) -> str:
    """The language of a tag, without its region."""
    return locale.partition("-")[0]


def _spoken(text: str) -> str | None:
    if not _LOCALE.fullmatch(text):
        return None
    language, _, region = text.partition("-")
    tag = f"{language.lower()}-{region.upper()}" if region else language.lower()
    if language.lower() not in LANGUAGES:
        return None
    try:
        Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        return None
    return tag


def _accepted(header: str) -> list[str]:
    """The tags of a header, those that are liked best first."""
    weighed = []
    for part in header[:MAX_HEADER_CHARACTERS].split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", parameters)
        if not parameters or (weight and float(weight[1])):
            weighed.append((-float(weight[1]) if weight else -1.0, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda wish: wish[0])]
