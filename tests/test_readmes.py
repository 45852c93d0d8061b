"""What the README files state, compared with the code they describe."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from config.redis_url import REDIS_OPTIONS
from config.settings import OtpSettings, Settings, load
from config.urls import SMTP_OPTIONS
from service.errors import PaymentLinkError, Unauthenticated
from service.health.model import Reason
from service.http.problems import CODES
from service.links.redis_hash import FIELDS
from tests.bench.__main__ import PARTS

ROOT = Path(__file__).parents[1]
MAX_WORDS = 2050
MAX_PICTURE_BYTES = 60_000
REQUIRED = {"SECRET_KEY": "s" * 32, "REDIS_URL": "redis://localhost"}
HIDDEN = {".git", ".venv", ".screenshots", ".pytest_cache"}
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for path in ROOT.rglob("*.md")
    if not HIDDEN & set(path.relative_to(ROOT).parts)
)
NOT_CODES = {"error", "unauthenticated"}
"""Codes of errors that are only ever raised as one of their kinds."""


def text_of(path: str) -> str:
    return (ROOT / path).read_text()


def section(path: str, title: str) -> str:
    """What stands under the heading ``title``."""
    match = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text_of(path), re.MULTILINE | re.DOTALL
    )
    assert match is not None, title
    return match[1]


def rows(path: str, title: str) -> list[list[str]]:
    """The cells of each row of the table under ``title``, without its head."""
    lines = [line for line in section(path, title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def variables() -> set[str]:
    """The variables of all settings."""
    fields = [
        field for struct in (Settings, OtpSettings) for field in msgspec.structs.fields(struct)
    ]
    return {field.encode_name for field in fields if field.name != "otp"}


def codes(error: type[PaymentLinkError]) -> set[str]:
    """The ``code`` of ``error``, and those of its kinds."""
    return {error.code}.union(*map(codes, error.__subclasses__()))


def anchors(document: Path) -> set[str]:
    """The fragments that GitHub gives the headings of ``document``."""
    titles = re.findall(r"^#+ (.*)$", (ROOT / document).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").split()) <= MAX_WORDS


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_between_files_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text()):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        path = ((ROOT / document).parent / name).resolve() if name else ROOT / document
        assert path.exists(), target
        if fragment:
            assert fragment in anchors(path.relative_to(ROOT)), target


def test_pictures_are_small() -> None:
    pictures = [path for path in (ROOT / ".github").iterdir() if path.suffix == ".png"]
    assert {f".github/{path.name}" for path in pictures} == set(
        re.findall(r"!\[[^]]*\]\(([^)]+)\)", text_of("README.md"))
    )
    assert max(path.stat().st_size for path in pictures) <= MAX_PICTURE_BYTES


def test_every_setting_has_a_row() -> None:
    named = [name for row in rows("README.md", "Settings") for name in quoted(row[0])]
    assert sorted(named) == sorted(variables())


def test_a_default_changes_nothing_where_it_is_set() -> None:
    defaults = {row[0].strip("`"): row[2] for row in rows("README.md", "Settings")}
    written = {
        name: quoted(default)[0]
        for name, default in defaults.items()
        if re.fullmatch(r"`[^`]+`", default)
    }
    written |= {"PUBLIC_URL": "http://127.0.0.1:8000", "QUEUE_REDIS_URL": REQUIRED["REDIS_URL"]}
    assert load(REQUIRED | written) == load(REQUIRED)
    assert len(written) >= 19


def test_details_are_of_settings_that_exist() -> None:
    named = {
        name
        for name in quoted(text_of("config/README.md"))
        if re.fullmatch(r"[A-Z][A-Z_]+[A-Z]", name)
    }
    assert named <= variables()


@pytest.mark.parametrize(
    ("title", "options_of_schemes"),
    [("Options of Redis URLs", REDIS_OPTIONS), ("Options of SMTP_URL", SMTP_OPTIONS)],
)
def test_every_option_of_a_url_has_a_row(
    title: str, options_of_schemes: Mapping[str, tuple[str, ...]]
) -> None:
    options = {
        name.partition("=")[0] for row in rows("config/README.md", title) for name in quoted(row[0])
    }
    assert options == {option for of_scheme in options_of_schemes.values() for option in of_scheme}


def test_every_reason_of_readyz_is_explained() -> None:
    named = [
        name for row in rows("service/process/README.md", "Readiness") for name in quoted(row[0])
    ]
    assert sorted(named) == sorted(Reason)


def test_every_code_of_an_error_is_listed_with_its_status() -> None:
    table = rows("service/http/README.md", "Errors")
    named = {
        name for row in table for name in quoted(row[1]) if re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    } - {"errors"}
    assert (
        named
        == (codes(PaymentLinkError) | set(CODES.values()) | {"unsupported_media_type"}) - NOT_CODES
    )
    by_status = {int(row[0]): row[1] for row in table}
    assert all(f"`{code}`" in by_status[status] for status, code in CODES.items())
    assert all(f"`{code}`" in by_status[401] for code in codes(Unauthenticated) - NOT_CODES)


def test_every_field_of_a_stored_link_is_described() -> None:
    table = rows("service/storage/README.md", "Fields of a link")
    assert {name for row in table for name in quoted(row[0])} == set(FIELDS)


def test_every_fault_has_a_promise() -> None:
    named = {
        name.rpartition("/")[2]
        for name in re.findall(r"`(test_\w+\.py)`", text_of("tests/faults/README.md"))
    }
    there = {path.name for path in (ROOT / "tests/faults").glob("test_*.py")}
    assert there <= named
    assert all(list((ROOT / "tests").rglob(name)) for name in named)


def test_every_benchmark_is_described() -> None:
    assert [quoted(row[0])[0] for row in rows("tests/bench/README.md", "Benchmarks")] == list(PARTS)


def test_the_workflow_runs_on_every_supported_python() -> None:
    classifiers = tomllib.loads(text_of("pyproject.toml"))["project"]["classifiers"]
    supported = [text.rpartition(" ")[2] for text in classifiers if re.search(r":: 3\.\d+$", text)]
    matrix = re.search(r"python: \[(.*)\]", text_of(".github/workflows/ci.yml"))
    assert matrix is not None
    assert re.findall(r'"([\d.]+)"', matrix[1]) == supported
