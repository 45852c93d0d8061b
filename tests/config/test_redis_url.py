"""URLs of Redis in settings: their hosts, their options, and one line for each that is wrong."""

import os
from pathlib import Path

import pytest

from config.settings import load
from service.storage.connect import create_queue_client
from tests.support.settings import REQUIRED, refusal
from tests.support.tls import self_signed


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://:6379/1",
        "redis://[::1]:6379/1",
        "redis://[fe80::1%25eth0]",
        "redis://localhost?db=3&client_name=pay",
        "redis://localhost?username=ann&password=p%40ss",
        "rediss://redis.example?ssl_cert_reqs=none",
        "rediss://redis.example:6380/1?ssl_cert_reqs=optional&ssl_check_hostname=false",
        "unix:///run/valkey.sock?db=1",
        "unix://ann:secret@/run/valkey.sock",
        "redis+sentinel://:secret@a:26379,b/main/2",
        "redis+sentinel://ann:secret@[::1],[::1]:26380,redis.example/main?client_name=pay",
        "redis+sentinel://a/main?sentinel_username=bob&sentinel_password=se%26cret",
        "redis+sentinels://a,b/main?ssl_cert_reqs=none&sentinel_password=secret",
        "redis+cluster://ann:secret@a:7000,b:7001,c",
        "redis+cluster://[::1]:7000,[::1]:7001",
        "redis+cluster://redis-1.internal:7000,[fe80::1%25eth0]:7000,192.0.2.1/",
        "rediss+cluster://:secret@a:7000/?ssl_check_hostname=false&client_name=pay",
    ],
)
def test_hosts_and_options_are_taken(url: str) -> None:
    assert refusal("REDIS_URL", url) is None


SCHEMES = (
    "redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, redis+sentinel:// "
    "or redis+sentinels://"
)
OF_CLUSTERS = "password_file, client_name"
OF_SENTINELS = f"{OF_CLUSTERS}, sentinel_username, sentinel_password, sentinel_password_file"
NODES = "must list nodes as host:port,host:port, IPv6 addresses in brackets; percent-encode "
SENTINELS = (
    "must list Sentinels as host:port,host:port, IPv6 addresses in brackets; percent-encode "
)
ONE_HOST = "must name one host; several need redis+cluster:// or redis+sentinel://"
SERVICE = "must name a service, and may number a database: "


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memcached://h", f"must begin with {SCHEMES}"),
        ("rediss+sentinel://a/main", f"must begin with {SCHEMES}"),
        ("redis+clusters://a", f"must begin with {SCHEMES}"),
        ("redis", f"must begin with {SCHEMES}"),
        (
            "redis://h?tls=true",
            "tls is no option of redis:// (for TLS: rediss://); it takes db, username, ",
        ),
        (
            "redis://h?ssl_cert_reqs=none",
            "ssl_cert_reqs is no option of redis:// (for TLS: rediss://); it takes ",
        ),
        (
            "redis://h?socket_timeout=30",
            "socket_timeout is no option of redis://; it takes db, ",
        ),
        (
            "redis://h?decode_responses=false",
            "decode_responses is no option of redis://; it takes db, ",
        ),
        ("redis://h?Hunter2", "something is no option of redis://; it takes db, "),
        ("redis://h?sentinel_password=pw", "sentinel_password is no option of redis://; it "),
        ("rediss://h?ssl=true", "ssl is no option of rediss://; it takes db, "),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs must be none, optional or required"),
        ("rediss://h?ssl_cert_reqs=", "ssl_cert_reqs must be none, optional or required"),
        ("rediss://h?ssl_check_hostname=maybe", "ssl_check_hostname must be true or false"),
        ("redis://h?db=one", "db must be the number of a database"),
        (
            "redis://h?client_name=pay%20links",
            "client_name must have no spaces or special characters",
        ),
        ("redis://h?db=1&db=2", "has an option twice"),
        ("redis://h#x", "has an @ or # where there can be none; percent-encode "),
        ("redis://redis..example", "must have a valid host and port; "),
        ("redis://h:0", "must have a valid host and port; "),
        ("redis://::1:6379", "must have a valid host and port; "),
        ("redis://[::1", "must have a valid host and port; "),
        ("redis://a,b", ONE_HOST),
        ("rediss://:secret@a:6379,b:6379/1", ONE_HOST),
        ("redis://[::1]:6379,[::1]:6380", ONE_HOST),
        ("redis://h/one", "must end in the number of a database, or in none; percent-encode "),
        ("unix://run/valkey.sock", "must be unix:///path/of/socket; percent-encode "),
        ("unix:///run/valkey.sock?ssl=true", "ssl is no option of unix://; it takes db, "),
        ("redis+cluster://", NODES),
        ("redis+cluster://ann:secret@", NODES),
        ("redis+cluster://ann:pw@a,ann:pw@b", "must name one login, before the first host; "),
        ("redis+sentinel://:p@ss@a/main", "must name one login, before the first host; "),
        ("redis+cluster://a:7000,", NODES),
        ("redis+cluster://a,,b", NODES),
        ("redis+cluster://a:7000, b:7001", NODES),
        ("redis+cluster://:7000", NODES),
        ("redis+cluster://a:", NODES),
        ("redis+cluster://a:0", NODES),
        ("redis+cluster://a:99999", NODES),
        ("redis+cluster://a:port", NODES),
        ("redis+cluster://::1:7000", NODES),
        ("redis+cluster://[::1:7000", NODES),
        ("redis+cluster://[redis.example]:7000", NODES),
        (f"redis+cluster://{'a' * 64}.example", NODES),
        ("redis+cluster://a:7000,b:7000,A:7000", "must list nodes without repeating one"),
        ("redis+cluster://a,a:6379", "must list nodes without repeating one"),
        ("redis+cluster://[::1]:7000,[0:0::1]:7000", "must list nodes without repeating one"),
        ("redis+cluster://a:7000/3", "must have no path, for a cluster has one database"),
        (
            "redis+cluster://a:7000?ssl=true",
            "ssl is no option of redis+cluster:// (for TLS: rediss+cluster://); it takes ",
        ),
        (
            "redis+cluster://a?ssl_ca_certs=/ca.pem",
            "ssl_ca_certs is no option of redis+cluster:// (for TLS: rediss+cluster://); ",
        ),
        ("rediss+cluster://a?ssl=true", "ssl is no option of rediss+cluster://; it takes "),
        ("redis+cluster://a?db=0", f"db is no option of redis+cluster://; it takes {OF_CLUSTERS}"),
        ("redis+sentinel:///main", SENTINELS),
        ("redis+sentinel://a,b..example/main", SENTINELS),
        ("redis+sentinel://a:99999/main", SENTINELS),
        ("redis+sentinel://a,/main", SENTINELS),
        ("redis+sentinels://a,a:26379/main", "must list Sentinels without repeating one"),
        ("redis+sentinel://a", f"{SERVICE}redis+sentinel://host:26379/service/0"),
        ("redis+sentinels://a/main/one", f"{SERVICE}redis+sentinels://host:26379/service/0"),
        (
            "redis+sentinel://a/main?db=2",
            f"db is no option of redis+sentinel://; it takes {OF_SENTINELS}",
        ),
        (
            "redis+sentinel://a/main?ssl=true",
            "ssl is no option of redis+sentinel:// (for TLS: redis+sentinels://); it takes ",
        ),
        ("redis+sentinel://a/main?sentinel_password=", "sentinel_password must have a value"),
        (
            "redis+sentinel://a/main?sentinel_password=pw&sentinel_password_file=/nowhere",
            "must have a sentinel_password or a sentinel_password_file, not both",
        ),
        (
            "redis+sentinel://a/main?sentinel_password_file=/nowhere",
            "sentinel_password_file: No such file or directory",
        ),
        (
            "redis://:secret@h?password_file=/nowhere",
            "must have a password or a password_file, not both",
        ),
        (
            "redis://h?password=secret&password_file=/nowhere",
            "must have a password or a password_file, not both",
        ),
        ("unix:///s?password_file=", "password_file must have a value"),
    ],
)
def test_anything_else_is_refused_in_one_line(url: str, message: str) -> None:
    refused = refusal("REDIS_URL", url)
    assert refused is not None
    assert refused.startswith(f"REDIS_URL: {message}")
    assert "\n" not in refused


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster", "REDIS+CLUSTER"])
def test_a_cluster_has_no_queues(scheme: str) -> None:
    assert refusal("QUEUE_REDIS_URL", f"{scheme}://a:7000,b:7001") == (
        "QUEUE_REDIS_URL: RQ cannot use a cluster; name another Redis"
    )


@pytest.mark.parametrize("name", ["REDIS_URL", "QUEUE_REDIS_URL"])
def test_a_scheme_may_be_in_upper_case(name: str) -> None:
    found = load({**REQUIRED, name: "REDIS://Ann:Secret@localhost/1"})
    assert create_queue_client(found.queue_redis_url).get_connection_kwargs()["username"] == "Ann"


TLS_URLS = ["rediss://h?", "rediss+cluster://h?", "redis+sentinels://h/main?"]


@pytest.mark.parametrize("url", TLS_URLS)
class TestCertificates:
    def test_they_are_read(self, url: str, tmp_path: Path) -> None:
        certificate = self_signed(tmp_path).certificate
        both = f"ssl_certfile={tmp_path}/server.pem&ssl_keyfile={tmp_path}/server.pem"
        assert refusal("REDIS_URL", f"{url}ssl_ca_certs={certificate}&{both}") is None
        assert refusal("REDIS_URL", f"{url}ssl_certfile={certificate}") == (
            "REDIS_URL: ssl_certfile and ssl_keyfile: not a certificate, or not its key"
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("ssl_ca_certs=/nowhere.pem", "ssl_ca_certs: No such file or directory"),
            (f"ssl_ca_certs={__file__}", "ssl_ca_certs: not a certificate, or not its key"),
            (
                "ssl_certfile=/nowhere",
                "ssl_certfile and ssl_keyfile: No such file or directory",
            ),
            ("ssl_keyfile=/nowhere", "ssl_keyfile needs ssl_certfile"),
        ],
    )
    def test_others_are_refused(self, url: str, options: str, message: str) -> None:
        assert refusal("REDIS_URL", f"{url}{options}") == f"REDIS_URL: {message}"


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann@h?password_file={}",
        "redis://h?password_file={}",
        "rediss://h?username=ann&password_file={}",
        "unix:///run/s?password_file={}",
        "redis+cluster://ann@a,b?password_file={}",
        "rediss+cluster://a,b?password_file={}",
        "redis+sentinel://ann@a,b/main?password_file={}",
        "redis+sentinels://a/main?sentinel_username=bob&sentinel_password_file={}",
    ],
)
class TestPasswordFile:
    @pytest.mark.parametrize("content", ["secret", "secret\n", "se cret\r\n"])
    def test_it_is_read(self, url: str, tmp_path: Path, content: str) -> None:
        file = tmp_path / "password"
        file.write_text(content, newline="")
        assert refusal("REDIS_URL", url.format(file)) is None

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (None, "No such file or directory"),
            (b"", "empty"),
            (b"\n", "empty"),
            (b"\xff", "not text"),
        ],
    )
    def test_it_must_hold_a_password(
        self, url: str, tmp_path: Path, content: bytes | None, fault: str
    ) -> None:
        file = tmp_path / "password"
        if content is not None:
            file.write_bytes(content)
        option = "sentinel_password_file" if "sentinel_password" in url else "password_file"
        assert refusal("REDIS_URL", url.format(file)) == f"REDIS_URL: {option}: {fault}"

    def test_it_must_be_readable_again(self, url: str, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for other in (pipe, tmp_path):
            refused = refusal("REDIS_URL", url.format(other))
            assert refused is not None
            assert refused.endswith("password_file: not a regular file")
