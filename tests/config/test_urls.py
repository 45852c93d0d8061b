"""URLs in settings: their options, and errors without any part of a user or a password."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.settings import refusal


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        (
            "SMTP_URL",
            "smtp://mail.example?verify=false",
            "verify is no option of smtp://; it takes tls, token_file",
        ),
        (
            "SMTP_URL",
            "smtp://mail.example/path",
            "must have no path; percent-encode ",
        ),
        ("SMTP_URL", "smtp://mail?tls=on", "tls must be off, or left out"),
        ("SMTP_URL", "smtp://mail?tls=", "tls must be off, or left out"),
        ("SMTP_URL", "smtp://mail?tls=off&tls=off", "has an option twice"),
        ("SMTP_URL", "smtps://mail?tls=off", "tls is no option of smtps://; it takes token_file"),
        ("SMTP_URL", "smtp://mail.example?tls=off", "tls=off is only for a host on a private "),
        ("SMTP_URL", "smtp://mail.example?Hunter2", "something is no option of smtp://; it takes "),
        ("SMTP_URL", "smtp://ann@h?token_file=", "token_file must have a value"),
        ("SMTP_URL", "smtp://h?token_file=/t", "token_file needs a user and no password: "),
        ("SMTP_URL", "smtp://ann:pw@h?token_file=/t", "token_file needs a user and no password: "),
        ("SMTP_URL", "smtp://ann@h", "must have a user and a password, or neither"),
        (
            "SMTP_URL",
            "smtp://mail.example:0",
            "must have a valid host and port; percent-encode ",
        ),
        (
            "SMTP_URL",
            "smtp://user:22998/ret@host",
            "has an @ or # where there can be none; percent-encode ",
        ),
        ("PUBLIC_URL", "https://pay.example?tls=true", "must have no query or fragment"),
        ("SMTP_URL", f"smtp://{'a' * 64}.example", "must have a valid host and port; "),
        ("ADMIN_JWKS_URL", "https://id..example/keys", "must have a valid host and port; "),
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


URLS = {
    "REDIS_URL": [
        "redis://ann:{}@h:6379/0",
        "rediss://:{}@h?ssl_cert_reqs=none",
        "redis://{}@h",
        "unix://:{}@/run/s",
        "redis://:{}@h:port",
        "redis://:{}@h?tls=true",
        "redis://:{}@h?password_file=/run/password",
        "redis://h?password_file={}",
        "redis+sentinel://:{}@a:26379,b/main",
        "redis+sentinel://a/main?sentinel_password={}",
        "redis+sentinel://a/main?sentinel_password={}&sentinel_password_file=/run/password",
        "redis+sentinels://:{}@a/main?ssl=true",
        "redis+cluster://:{}@a:7000",
        "redis+cluster://ann:{}@a:7000,b:7001?ssl=true",
        "redis+cluster://ann:{}@a:7000,",
        "rediss+cluster://ann:{}@[::1]:7000,[::1]:7000",
        "memcached://:{}@h",
    ],
    "QUEUE_REDIS_URL": ["redis://:{}@h:6379", "redis+cluster://:{}@h", "rediss+cluster://:{}@h"],
    "SMTP_URL": [
        "smtp://ann:{}@h:587",
        "smtp://{}:word@h",
        "smtp://{}@h",
        "smtps://ann:{}@",
        "imap://ann:{}@h",
        "smtp://ann:{}@h?tls=off",
        "smtp://ann:{}@mail.example?tls=off",
        "smtp://ann:{}@h?verify=false",
        "smtp://ann:{}@h?token_file=/run/token",
        "smtp://{}@h?token_file=/run/token",
        "smtps://ann@h?tls=off&token_file={}",
        "smtp://h?{}",
        "smtp://h?token_file={}",
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
