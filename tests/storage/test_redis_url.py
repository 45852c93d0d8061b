"""What URLs of Redis say, and that the rest of the service connects accordingly."""

from pathlib import Path

import pytest

from service.storage.connect import create_queue_client
from service.storage.credentials import Credentials
from service.storage.redis_url import Address, RedisUrl

NOBODY = Credentials(None, None, None)


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://", [("localhost", 6379)]),
        ("redis://:7000/1", [("localhost", 7000)]),
        ("redis://redis.example:", [("redis.example", 6379)]),
        ("rediss://[2001:db8::1]", [("2001:db8::1", 6379)]),
        ("redis://[fe80::1%25eth0]:7000", [("fe80::1%eth0", 7000)]),
        ("unix:///run/valkey.sock", []),
        ("redis+cluster://:a,b@a:7000,b,c:1", [("a", 7000), ("b", 6379), ("c", 1)]),
        ("rediss+cluster://a,[::1]:7000,[::2]/", [("a", 6379), ("::1", 7000), ("::2", 6379)]),
        ("redis+sentinel://a,[::1]:1/main", [("a", 26379), ("::1", 1)]),
        ("redis+sentinels://a/main/1?client_name=x", [("a", 26379)]),
    ],
)
def test_addresses(url: str, addresses: list[Address]) -> None:
    assert RedisUrl.parse(url).addresses == addresses


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("redis://h", NOBODY),
        ("redis://:p%40ss%2Bword@h", Credentials(None, "p@ss+word", None)),
        ("redis://:p+ss@h", Credentials(None, "p+ss", None)),
        ("redis://ann@h", Credentials("ann", None, None)),
        ("redis://h?username=ann&password=p%2540+s", Credentials("ann", "p%40+s", None)),
        ("redis+cluster://ann:p:ss@a,b", Credentials("ann", "p:ss", None)),
        ("unix://ann@/s?password_file=/run/a+b", Credentials("ann", None, Path("/run/a+b"))),
        ("redis+sentinel://:pw@a/main?sentinel_password=x", Credentials(None, "pw", None)),
    ],
)
def test_logins_at_servers(url: str, credentials: Credentials) -> None:
    assert RedisUrl.parse(url).credentials == credentials


@pytest.mark.parametrize(
    ("options", "credentials"),
    [
        ("", NOBODY),
        ("?sentinel_password=p%26+s", Credentials(None, "p&+s", None)),
        ("?sentinel_username=b&sentinel_password_file=/p", Credentials("b", None, Path("/p"))),
    ],
)
def test_logins_at_sentinels(options: str, credentials: Credentials) -> None:
    found = RedisUrl.parse(f"redis+sentinel://ann:secret@a/main{options}")
    assert found.sentinel_credentials == credentials


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://h", 0),
        ("redis://h/", 0),
        ("redis://h/3", 3),
        ("redis://h?db=4", 4),
        ("unix:///run/7?db=5", 5),
        ("unix:///run/7", 0),
        ("redis+sentinel://a/main", 0),
        ("redis+sentinel://a/main/", 0),
        ("redis+sentinel://a/main/2", 2),
    ],
)
def test_databases(url: str, database: int) -> None:
    assert RedisUrl.parse(url).database == database
    assert create_queue_client(url).get_connection_kwargs()["db"] == database


def test_a_socket_may_have_a_percent_encoded_path() -> None:
    options = create_queue_client("unix:///run/a%20b?client_name=pay").get_connection_kwargs()
    assert (options["path"], options["client_name"]) == ("/run/a b", "pay")


@pytest.mark.parametrize(
    "url",
    ["rediss://h?", "rediss+cluster://a,b?", "redis+sentinels://a/main?"],
)
def test_options_of_tls(url: str) -> None:
    options = "ssl_check_hostname=false&ssl_cert_reqs=optional&ssl_ca_certs=/etc/c%2Ba.pem"
    assert RedisUrl.parse(f"{url}{options}").tls_options == {
        "ssl_check_hostname": False,
        "ssl_cert_reqs": "optional",
        "ssl_ca_certs": "/etc/c+a.pem",
    }


def test_what_is_no_url_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"^not a URL of Redis$"):
        RedisUrl.parse("hunter2")
