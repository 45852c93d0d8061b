"""URLs in settings: their options, and errors without any part of a user or a password."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.settings import SettingsError, load
from service.storage.connect import create_queue_client
from tests.support.tls import self_signed

REQUIRED = {"SECRET_KEY": "s" * 32, "REDIS_URL": "redis://localhost"}
FITTING = {
    "SMTP_URL": {"MAIL_FROM": "pay@shop.example"},
    "REDIS_URL": {"QUEUE_REDIS_URL": "redis://queue"},
}
"""The other settings that are required, so that only the URL can be wrong."""


def refusal(name: str, url: str) -> str | None:
    """The error where ``name`` is ``url``, or None where that is taken."""
    try:
        load({**REQUIRED, **FITTING.get(name, {}), name: url})
    except SettingsError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost?db=3&client_name=pay",
        "redis://localhost?username=ann&password=p%40ss",
        "rediss://redis.example?ssl_cert_reqs=none",
        "rediss://redis.example:6380/1?ssl_cert_reqs=optional&ssl_check_hostname=false",
        "unix:///run/valkey.sock?db=1",
        "unix://ann:secret@/run/valkey.sock",
        "redis+sentinel://:secret@a:26379,b/main/2?ssl=true&ssl_cert_reqs=none",
        "redis+sentinel://a/main?ssl=false",
        "redis+cluster://:secret@a:7000/?ssl=true&ssl_check_hostname=false",
    ],
)
def test_known_options_are_taken(url: str) -> None:
    assert refusal("REDIS_URL", url) is None


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        (
            "REDIS_URL",
            "redis://h?tls=true",
            "tls is no option of redis:// (for TLS: rediss://); it takes db, username, ",
        ),
        (
            "REDIS_URL",
            "redis://h?ssl_cert_reqs=none",
            "ssl_cert_reqs is no option of redis:// (for TLS: rediss://); it takes ",
        ),
        (
            "REDIS_URL",
            "redis://h?socket_timeout=30",
            "socket_timeout is no option of redis://; it takes db, ",
        ),
        (
            "REDIS_URL",
            "redis://h?decode_responses=false",
            "decode_responses is no option of redis://; it takes db, ",
        ),
        ("REDIS_URL", "redis://h?Hunter2", "something is no option of redis://; it takes db, "),
        ("REDIS_URL", "rediss://h?ssl=true", "ssl is no option of rediss://; it takes db, "),
        (
            "REDIS_URL",
            "rediss://h?ssl_cert_reqs=CERT_NONE",
            "ssl_cert_reqs must be none, optional or required",
        ),
        (
            "REDIS_URL",
            "rediss://h?ssl_cert_reqs=",
            "ssl_cert_reqs must be none, optional or required",
        ),
        (
            "REDIS_URL",
            "rediss://h?ssl_check_hostname=maybe",
            "ssl_check_hostname must be true or false",
        ),
        (
            "REDIS_URL",
            "rediss://h?ssl_ca_certs=/nowhere.pem",
            "ssl_ca_certs: No such file or directory",
        ),
        (
            "REDIS_URL",
            f"rediss://h?ssl_ca_certs={__file__}",
            "ssl_ca_certs: not a certificate, or not its key",
        ),
        (
            "REDIS_URL",
            "rediss://h?ssl_certfile=/nowhere",
            "ssl_certfile and ssl_keyfile: No such file or directory",
        ),
        ("REDIS_URL", "rediss://h?ssl_keyfile=/nowhere", "ssl_keyfile needs ssl_certfile"),
        ("REDIS_URL", "redis://h?db=one", "db must be the number of a database"),
        (
            "REDIS_URL",
            "redis://h?client_name=pay%20links",
            "client_name must have no spaces or special characters",
        ),
        ("REDIS_URL", "redis://redis..example", "has no host or port that can be read; "),
        (
            "REDIS_URL",
            f"redis+cluster://{'a' * 64}.example",
            "has no host or port that can be read; ",
        ),
        (
            "REDIS_URL",
            "redis+sentinel://a,b..example/main",
            "must list Sentinels as host:port,host:port",
        ),
        ("REDIS_URL", "redis://h?db=1&db=2", "has an option twice"),
        ("REDIS_URL", "redis://h#x", "has an @ or # where there can be none; percent-encode "),
        ("REDIS_URL", "unix://run/valkey.sock", "must be unix:///path/of/socket; percent-encode "),
        (
            "REDIS_URL",
            "unix:///run/valkey.sock?ssl=true",
            "ssl is no option of unix://; it takes db, ",
        ),
        (
            "REDIS_URL",
            "redis+sentinel://a/main?db=2",
            "db is no option of redis+sentinel://; it takes client_name, ssl, ",
        ),
        ("REDIS_URL", "redis+sentinel://a/main?ssl=yes", "ssl must be true or false"),
        ("REDIS_URL", "redis+sentinel://a/main?ssl_cert_reqs=none", "ssl_cert_reqs needs ssl=true"),
        (
            "REDIS_URL",
            "redis+sentinel://a:99999/main",
            "must list Sentinels as host:port,host:port",
        ),
        (
            "REDIS_URL",
            "redis+cluster://a:7000/3",
            "must have no path, for a cluster has one database",
        ),
        (
            "REDIS_URL",
            "redis+cluster://a:7000?tls=true",
            "tls is no option of redis+cluster://; it takes client_name, ssl, ",
        ),
        (
            "QUEUE_REDIS_URL",
            "redis://h?timeout=3",
            "timeout is no option of redis://; it takes db, ",
        ),
        (
            "SMTP_URL",
            "smtp://mail.example?verify=false",
            "must have no path and no options; percent-encode ",
        ),
        (
            "SMTP_URL",
            "smtp://mail.example/path",
            "must have no path and no options; percent-encode ",
        ),
        (
            "SMTP_URL",
            "smtp://mail.example:0",
            "has no host or port that can be read; percent-encode ",
        ),
        (
            "SMTP_URL",
            "smtp://user:22998/ret@host",
            "has an @ or # where there can be none; percent-encode ",
        ),
        ("PUBLIC_URL", "https://pay.example?tls=true", "must have no query or fragment"),
        ("SMTP_URL", f"smtp://{'a' * 64}.example", "has no host or port that can be read; "),
        ("ADMIN_JWKS_URL", "https://id..example/keys", "has no host or port that can be read; "),
        ("PUBLIC_URL", "https://ann:secret@pay.example", "must have no user and no password"),
        (
            "CHECKOUT_URL",
            "https://ann:secret@pay.example/{link_id}",
            "must have no user and no password",
        ),
        (
            "ADMIN_JWKS_URL",
            "https://ann:secret@id.example/keys",
            "must have no user and no password",
        ),
        ("ADMIN_JWKS_URL", "https://id.example/keys?v=1", "must have no query or fragment"),
        ("CORS_ORIGINS", "https://shop.example?x=1", "must have no query or fragment"),
        ("CORS_ORIGINS", "https://ann@shop.example", "must have no user and no password"),
    ],
)
def test_anything_else_is_refused_in_one_line(name: str, url: str, message: str) -> None:
    refused = refusal(name, url)
    assert refused is not None
    assert refused.startswith(f"{name}: {message}")
    assert "\n" not in refused


@pytest.mark.parametrize("name", ["REDIS_URL", "QUEUE_REDIS_URL"])
def test_a_scheme_may_be_in_upper_case(name: str) -> None:
    found = load({**REQUIRED, name: "REDIS://Ann:Secret@localhost/1"})
    assert create_queue_client(found.queue_redis_url).get_connection_kwargs()["username"] == "Ann"


def test_certificates_in_options_are_read(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path).certificate
    both = f"ssl_certfile={tmp_path}/server.pem&ssl_keyfile={tmp_path}/server.pem"
    assert refusal("REDIS_URL", f"rediss://h?ssl_ca_certs={certificate}&{both}") is None
    assert refusal("REDIS_URL", f"rediss://h?ssl_certfile={certificate}") == (
        "REDIS_URL: ssl_certfile and ssl_keyfile: not a certificate, or not its key"
    )


URLS = {
    "REDIS_URL": [
        "redis://ann:{}@h:6379/0",
        "rediss://:{}@h?ssl_cert_reqs=none",
        "redis://{}@h",
        "unix://:{}@/run/s",
        "redis://:{}@h:port",
        "redis://:{}@h?tls=true",
        "redis+sentinel://:{}@a:26379,b/main",
        "redis+cluster://:{}@a:7000",
        "memcached://:{}@h",
    ],
    "QUEUE_REDIS_URL": ["redis://:{}@h:6379", "redis+cluster://:{}@h"],
    "SMTP_URL": [
        "smtp://ann:{}@h:587",
        "smtp://{}:word@h",
        "smtp://{}@h",
        "smtps://ann:{}@",
        "imap://ann:{}@h",
    ],
    "PUBLIC_URL": ["https://ann:{}@pay.example"],
    "CHECKOUT_URL": ["https://ann:{}@pay.example/{{link_id}}"],
    "ADMIN_JWKS_URL": ["https://ann:{}@id.example/keys"],
    "CORS_ORIGINS": ["https://ann:{}@shop.example"],
}


@pytest.mark.parametrize(
    ("name", "url"), [(name, url) for name, urls in URLS.items() for url in urls]
)
@given(secret=st.text("QXZ7389#/?@:[]%&=;,.\\\u2100é", min_size=4, max_size=24))
@example(secret="QXZ7#389")
@example(secret="QXZ7/389")
@example(secret="QXZ7?389")
@example(secret="[QXZ7]389")
@example(secret="QXZ7 389Q")
@example(secret="QXZ7\u2100389")
@settings(deadline=None, max_examples=150)
def test_no_error_contains_a_part_of_a_secret(name: str, url: str, secret: str) -> None:
    message = refusal(name, url.format(secret)) or ""
    assert [
        piece
        for piece in (secret[at : at + 4] for at in range(len(secret) - 3))
        if piece in message
    ] == []


@pytest.mark.parametrize("raw", ["/", "?", "#"])
@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("SMTP_URL", "smtp://user:s3cret{}x@h"),
        ("REDIS_URL", "redis://:hunter2{}x@h"),
        ("REDIS_URL", "unix://:a{}b@/s"),
    ],
)
def test_characters_that_end_a_password_early_must_be_percent_encoded(
    name: str, url: str, raw: str
) -> None:
    message = refusal(name, url.format(raw))
    assert message is not None
    assert "percent-encode" in message
    assert refusal(name, url.format(f"%{ord(raw):02X}")) is None
