"""Every language has all messages of mails and pages, with the same placeholders."""

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from service.values.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
CATALOGS = ROOT / "service" / "i18n" / "catalogs"
METHODS = [
    ("**/templates/**.html", "jinja2"),
    ("**/templates/**.txt", "jinja2"),
    ("**.py", "python"),
]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
MORE_VALUES = re.compile(r"%\((\w+)\)s")
SAME_IN = {("Code", "fr"), ("Code", "de")}
"""Words that a language shares with English."""
FOREIGN = {"es": {"muito", "muitos", "não", "você", "um"}, "pt": {"muy", "usted", "su", "un"}}
"""Words of a related language that it does not share."""


@cache
def said() -> frozenset[str | tuple[str, ...]]:
    """The messages in code and templates, in English."""
    found = [
        extract_from_dir(ROOT / folder, METHODS, keywords=KEYWORDS)
        for folder in ("service", "tasks")
    ]
    return frozenset(message for messages in found for _, _, message, _, _ in messages)


@cache
def catalog(language: str) -> Catalog:
    with (CATALOGS / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def forms(message: Message) -> list[str]:
    """The message's translations: one, or one for each plural of its language."""
    string = message.string or ""
    return [string] if isinstance(string, str) else [*string]


def english(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def test_there_is_a_catalog_for_every_language_but_english() -> None:
    assert {file.stem for file in CATALOGS.glob("*.po")} == set(LANGUAGES[1:])


def test_messages_are_found() -> None:
    assert len(said()) > 50
    assert {"Pay", "Send me a code", "Your code is"} <= said()


@pytest.mark.parametrize("language", LANGUAGES[1:])
class TestCatalog:
    def test_it_has_what_is_said_and_nothing_else(self, language: str) -> None:
        messages = {
            message.id if isinstance(message.id, str) else tuple(message.id)
            for message in catalog(language)
        } - {""}
        assert messages == said()

    def test_nothing_is_left_untranslated(self, language: str) -> None:
        own = catalog(language)
        for message in own:
            if message.id:
                assert not message.fuzzy, message.id
                assert len(forms(message)) == (own.num_plurals if message.pluralizable else 1), (
                    message.id
                )
                assert all(form.strip() for form in forms(message)), message.id
                assert (
                    english(message) not in forms(message)
                    or (english(message), language) in SAME_IN
                )

    def test_no_word_is_a_neighbours(self, language: str) -> None:
        for message in catalog(language):
            for form in forms(message) if message.id else []:
                assert not FOREIGN.get(language, set()) & set(re.findall(r"\w+", form.lower())), (
                    form
                )

    def test_every_translation_has_the_values_of_the_original(self, language: str) -> None:
        for message in catalog(language):
            for form in forms(message) if message.id else []:
                assert sorted(MORE_VALUES.findall(form)) == sorted(
                    MORE_VALUES.findall(english(message))
                ), form
                assert "%" not in MORE_VALUES.sub("", form), form
