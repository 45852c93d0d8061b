"""The environment of commands under test."""

import re
from pathlib import Path

import msgspec
import pytest

from config.settings import OtpSettings, Settings
from service.process.data_dir import LOCK_VARIABLE


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting is set, except ``DATA_DIR``, which is an empty directory."""
    for struct in (Settings, OtpSettings):
        for field in msgspec.structs.fields(struct):
            monkeypatch.delenv(field.encode_name, raising=False)
    monkeypatch.delenv(LOCK_VARIABLE, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


@pytest.fixture(scope="session")
def readme_acl() -> str:
    """The rules of a Redis user that README recommends."""
    readme = Path(__file__).parents[2] / "README.md"
    rules = re.search(r"`(~pl:\*[^`]*)`", readme.read_text())
    assert rules is not None
    return rules[1]
