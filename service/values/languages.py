"""Language tags (BCP 47), and the choice of a language (RFC 9110, 12.5.4)."""

import re

from babel import Locale, UnknownLocaleError

from service.errors import Invalid

LANGUAGES = ("en", "fr", "de", "es", "pt", "ha", "ar")
"""The languages of mails and pages; the first is the default."""
LOCALE_PATTERN = "[A-Za-z]{2}(-[A-Za-z]{2})?"
MAX_ACCEPT_LANGUAGE_CHARACTERS = 1000
_LOCALE = re.compile(LOCALE_PATTERN)
_WEIGHT = re.compile(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*")


def parse_locale(text: str) -> str:
    """``text`` as the tag of a supported language, with or without a region: ``pt``, ``pt-BR``.

    Raises:
        Invalid: it is not.
    """
    tag = _match(text)
    if tag is None:
        raise Invalid(
            "locale",
            f"must be one of {', '.join(LANGUAGES)}, with or without a region, such as pt-BR",
        )
    return tag


def choose_locale(*preferences: str | None) -> str:
    """The first supported locale of ``preferences``: tags, or ``Accept-Language`` headers."""
    for preference in preferences:
        for tag in _parse_accept_language(preference or ""):
            if locale := _match(tag) or _match(language_of(tag)):
                return locale
    return LANGUAGES[0]


def language_of(locale: str) -> str:
    """The language of a tag, without its region."""
    return locale.partition("-")[0]


def _match(text: str) -> str | None:
    """``text`` in the usual case, if it is a tag of a supported language."""
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


def _parse_accept_language(header: str) -> list[str]:
    """The tags of ``header``, by descending weight. Malformed ones are ignored."""
    weighted = []
    for part in header[:MAX_ACCEPT_LANGUAGE_CHARACTERS].split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = _WEIGHT.fullmatch(parameters or "q=1")
        if weight and float(weight[1]) > 0:
            weighted.append((float(weight[1]), tag.strip()))
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]
