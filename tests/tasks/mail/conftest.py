"""SMTP servers with TLS, and sessions that end soon."""

import pytest

from tasks.mail import smtp
from tests.support.tls import Tls, self_signed


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def quits_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has 0.3 s for the reply to QUIT."""
    monkeypatch.setattr(smtp, "QUIT_TIMEOUT_SECONDS", 0.3)
