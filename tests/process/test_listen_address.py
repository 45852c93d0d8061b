"""Where ``web`` listens: addresses and names, and one line that says why it cannot."""

import socket
from collections.abc import Iterator

import pytest

from service.process.listen_address import find_address
from service.process.startup import StartupError
from tests.support.servers import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a listener has for itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "::"),
    ],
)
def test_addresses_and_names_are_found(host: str, address: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    assert find_address(host, free_port(), shared=False) == address


def test_a_name_with_only_ipv6_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", free_port(), 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert find_address("six.example", 1, shared=True) == "::1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_taken_port_is_named(taken: int, host: str, shared: bool) -> None:
    with pytest.raises(StartupError, match=rf"^PORT: {host}:{taken} is in use$"):
        find_address(host, taken, shared=shared)


def test_an_ipv6_address_is_put_in_brackets() -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^PORT: \[::1\]:{port} is in use$"):
            find_address("::1", port, shared=False)


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("nowhere.invalid", "HOST: nowhere.invalid is neither an address nor a name that resolves"),
        ("192.0.2.1", "HOST: 192.0.2.1 is no address of this machine"),
    ],
)
def test_an_address_that_is_not_ours_is_named(host: str, line: str) -> None:
    with pytest.raises(StartupError) as refusal:
        find_address(host, free_port(), shared=True)
    assert str(refusal.value) == line


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
