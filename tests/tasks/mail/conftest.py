"""SMTP servers with TLS, with short time-outs, and with or without PIPELINING."""

import pytest

from tasks.mail import smtp
from tests.support.scripted_smtp import ScriptedServer
from tests.support.servers import Pipelining
from tests.support.tls import Tls, self_signed


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs of 0.3 s."""
    monkeypatch.setattr(smtp, "SEND_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(smtp, "CONNECT_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(smtp, "QUIT_TIMEOUT_SECONDS", 0.3)


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def pipelined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether servers offer PIPELINING."""
    if not request.param:
        monkeypatch.setattr(ScriptedServer, "ehlo", "250 here")
        monkeypatch.setattr(Pipelining, "offers_pipelining", lambda _: False)
    return bool(request.param)
