"""What platforms read of the project before they run it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_no_newer_python_is_refused() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert re.fullmatch(r">=3\.[0-9]+", required)


def test_the_python_that_platforms_are_asked_for_is_one_that_the_project_takes() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    asked = (ROOT / ".python-version").read_text().strip()
    assert re.fullmatch(r"3\.[0-9]+", asked)
    assert int(asked.partition(".")[2]) >= int(required.partition(".")[2])


def test_each_platform_has_a_line_of_its_own() -> None:
    for platform in ("Heroku", "Dokku", "Railway", "Render"):
        assert re.search(rf"^- \*\*{platform}\*\*", README, re.MULTILINE), platform
