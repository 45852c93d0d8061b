"""Settings: values, defaults, and errors of one line that name the setting."""

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.parsers import parse_duration
from config.settings import OtpSettings, Settings, SettingsError, load

SECRET = "s" * 32


REQUIRED = {"SECRET_KEY": SECRET, "REDIS_URL": "redis://localhost"}


PEM = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PUBLIC KEY-----"
)


def settings(**environ: str) -> Settings:
    return load({**REQUIRED, **environ})


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as error:
        load(environ)
    return str(error.value)


class TestDefaults:
    def test_a_secret_and_a_redis_are_enough(self) -> None:
        assert settings() == Settings(
            secret_key=SECRET.encode(),
            redis_url="redis://localhost",
            queue_redis_url="redis://localhost",
        )

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("public_url", "http://127.0.0.1:8000"),
            ("checkout_url", None),
            ("smtp", None),
            ("smtp_sessions", 16),
            ("smtp_timeout", timedelta(minutes=5)),
            ("smtp_helo", "[127.0.0.1]"),
            ("smtp_ca_file", None),
            ("mail_from", "Payment Links <payment-links@localhost>"),
            ("mail_bounces_to", "payment-links@localhost"),
            ("link_ttl", timedelta(hours=72)),
            ("retention", timedelta(days=90)),
            ("admin_jwt_public_key", None),
            ("admin_jwks_url", None),
            ("admin_jwt_issuer", None),
            ("data_dir", Path("var")),
            ("host", "127.0.0.1"),
            ("port", 8000),
            ("web_concurrency", 1),
            ("log_format", "console"),
            ("trusted_proxies", ()),
            ("cors_origins", ()),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_the_default_of(self, field: str, value: object) -> None:
        assert getattr(settings(), field) == value

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("ttl", timedelta(minutes=10)),
            ("max_tries", 5),
            ("resend_after", timedelta(seconds=60)),
            ("sends_per_hour", 5),
            ("sends_per_day", 10),
            ("failures_per_day", 10),
            ("sends_per_minute", 600),
            ("unverified_per_hour", 20),
            ("client_sends_per_hour", 30),
            ("client_failures_per_hour", 100),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_the_default_of_the_otp_setting(self, field: str, value: object) -> None:
        assert getattr(settings().otp, field) == value

    @pytest.mark.parametrize("empty", ["", " ", "\t\n"], ids=["empty", "space", "blank"])
    def test_an_empty_value_counts_as_unset(self, empty: str) -> None:
        names = [
            "QUEUE_REDIS_URL",
            "PUBLIC_URL",
            "SMTP_URL",
            "SMTP_HELO",
            "SMTP_CA_FILE",
            "MAIL_BOUNCES_TO",
            "LINK_TTL",
            "OTP_TTL",
            "PORT",
            "LOG_FORMAT",
            "TRUSTED_PROXIES",
            "DATA_DIR",
        ]
        assert settings(**dict.fromkeys(names, empty)) == settings()

    def test_other_variables_are_ignored(self) -> None:
        assert settings(PATH="/bin", OTP_FANCY="1") == settings()


GOOD: list[tuple[str, str, str, Any]] = [
    ("SECRET_KEY", "k" * 33, "secret_key", b"k" * 33),
    ("SECRET_KEY", "é" * 16, "secret_key", ("é" * 16).encode()),
    ("SECRET_KEY", f" {SECRET}\n", "secret_key", SECRET.encode()),
    (
        "REDIS_URL",
        "rediss://user:pass@redis.example:6380/1",
        "redis_url",
        "rediss://user:pass@redis.example:6380/1",
    ),
    ("REDIS_URL", "unix:///run/valkey.sock", "redis_url", "unix:///run/valkey.sock"),
    (
        "REDIS_URL",
        "redis+sentinel://a:26379,b/main/2",
        "redis_url",
        "redis+sentinel://a:26379,b/main/2",
    ),
    ("REDIS_URL", "redis://other", "queue_redis_url", "redis://other"),
    ("QUEUE_REDIS_URL", "redis://queue", "queue_redis_url", "redis://queue"),
    ("PUBLIC_URL", "https://pay.example", "public_url", "https://pay.example"),
    ("PUBLIC_URL", "https://shop.example/links/", "public_url", "https://shop.example/links"),
    ("PUBLIC_URL", "http://[::1]:8000", "public_url", "http://[::1]:8000"),
    (
        "CHECKOUT_URL",
        "https://pay.example/c/{link_id}",
        "checkout_url",
        "https://pay.example/c/{link_id}",
    ),
    (
        "CHECKOUT_URL",
        "https://pay.example/c?link={link_id}",
        "checkout_url",
        "https://pay.example/c?link={link_id}",
    ),
    (
        "CHECKOUT_URL",
        "http://localhost:9000/{transaction_id}?sum={amount}&in={currency}#{link_id}",
        "checkout_url",
        "http://localhost:9000/{transaction_id}?sum={amount}&in={currency}#{link_id}",
    ),
    ("SMTP_SESSIONS", "1", "smtp_sessions", 1),
    ("SMTP_SESSIONS", "256", "smtp_sessions", 256),
    ("SMTP_TIMEOUT", "1s", "smtp_timeout", timedelta(seconds=1)),
    ("SMTP_TIMEOUT", "30m", "smtp_timeout", timedelta(minutes=30)),
    ("SMTP_HELO", "pay.shop.example", "smtp_helo", "pay.shop.example"),
    ("SMTP_HELO", "müller.example", "smtp_helo", "xn--mller-kva.example"),
    ("SMTP_HELO", "192.0.2.1", "smtp_helo", "[192.0.2.1]"),
    ("SMTP_HELO", "[192.0.2.1]", "smtp_helo", "[192.0.2.1]"),
    ("SMTP_HELO", "2001:DB8::1", "smtp_helo", "[IPv6:2001:db8::1]"),
    ("SMTP_HELO", "[IPv6:2001:db8::1]", "smtp_helo", "[IPv6:2001:db8::1]"),
    ("SMTP_HELO", "fe80::1%eth0", "smtp_helo", "[IPv6:fe80::1]"),
    ("MAIL_BOUNCES_TO", "bounces@shop.example", "mail_bounces_to", "bounces@shop.example"),
    ("MAIL_FROM", "pay@shop.example", "mail_from", "pay@shop.example"),
    ("MAIL_FROM", "Shop <pay@shop.example>", "mail_from", "Shop <pay@shop.example>"),
    ("MAIL_FROM", "Shop <pay@shop.local>", "mail_from", "Shop <pay@shop.local>"),
    ("MAIL_FROM", "pay@intranet", "mail_from", "pay@intranet"),
    (
        "MAIL_FROM",
        '"Shop, Inc." <pay@shop.example>',
        "mail_from",
        '"Shop, Inc." <pay@shop.example>',
    ),
    ("MAIL_FROM", "Café <pay@shop.example>", "mail_from", "Café <pay@shop.example>"),
    ("MAIL_FROM", "ශ්‍රී ලංකා <pay@shop.example>", "mail_from", "ශ්‍රී ලංකා <pay@shop.example>"),
    ("LINK_TTL", "5m", "link_ttl", timedelta(minutes=5)),
    ("LINK_TTL", "365d", "link_ttl", timedelta(days=365)),
    ("RETENTION", "1m", "retention", timedelta(minutes=1)),
    ("RETENTION", "3650d", "retention", timedelta(days=3650)),
    ("ADMIN_JWT_PUBLIC_KEY", PEM, "admin_jwt_public_key", PEM),
    ("ADMIN_JWT_PUBLIC_KEY", PEM.replace("\n", "\\n"), "admin_jwt_public_key", PEM),
    ("ADMIN_JWKS_URL", "https://id.example/keys", "admin_jwks_url", "https://id.example/keys"),
    (
        "ADMIN_JWKS_URL",
        "http://localhost:9000/keys",
        "admin_jwks_url",
        "http://localhost:9000/keys",
    ),
    ("ADMIN_JWKS_URL", "http://127.0.0.1/keys", "admin_jwks_url", "http://127.0.0.1/keys"),
    ("ADMIN_JWKS_URL", "http://[::1]/keys", "admin_jwks_url", "http://[::1]/keys"),
    ("DATA_DIR", "/srv/payment-links", "data_dir", Path("/srv/payment-links")),
    ("HOST", "0.0.0.0", "host", "0.0.0.0"),
    ("HOST", "localhost", "host", "localhost"),
    ("HOST", "pay-1.internal", "host", "pay-1.internal"),
    ("HOST", "[::1]", "host", "::1"),
    ("PORT", "1", "port", 1),
    ("PORT", "65535", "port", 65535),
    ("WEB_CONCURRENCY", "64", "web_concurrency", 64),
    ("LOG_FORMAT", "json", "log_format", "json"),
    ("TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies", (ipaddress.ip_network("10.0.0.0/8"),)),
    (
        "TRUSTED_PROXIES",
        "127.0.0.1, fd00::/8,",
        "trusted_proxies",
        (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("fd00::/8")),
    ),
    (
        "CORS_ORIGINS",
        "https://a.example, http://b.example:8080",
        "cors_origins",
        ("https://a.example", "http://b.example:8080"),
    ),
    ("CORS_ORIGINS", "https://a.example/", "cors_origins", ("https://a.example",)),
]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    GOOD,
    ids=[f"{name}={text[:40]!r}" for name, text, *_ in GOOD],
)
def test_a_good_value_is_taken(name: str, text: str, field: str, value: object) -> None:
    assert getattr(settings(**{name: text}), field) == value


def test_the_issuer_of_admin_tokens_is_taken() -> None:
    assert (
        settings(ADMIN_JWT_PUBLIC_KEY=PEM, ADMIN_JWT_ISSUER="https://id.example").admin_jwt_issuer
        == "https://id.example"
    )


OTP_NUMBERS = [
    ("OTP_MAX_TRIES", "max_tries", 10),
    ("OTP_SENDS_PER_HOUR", "sends_per_hour", 1_000_000),
    ("OTP_SENDS_PER_DAY", "sends_per_day", 1_000_000),
    ("OTP_FAILURES_PER_DAY", "failures_per_day", 1_000_000),
    ("OTP_SENDS_PER_MINUTE", "sends_per_minute", 1_000_000),
    ("OTP_UNVERIFIED_PER_HOUR", "unverified_per_hour", 1_000_000),
    ("OTP_CLIENT_SENDS_PER_HOUR", "client_sends_per_hour", 1_000_000),
    ("OTP_CLIENT_FAILURES_PER_HOUR", "client_failures_per_hour", 1_000_000),
]


class TestOtp:
    @pytest.mark.parametrize(
        ("name", "field", "most"), OTP_NUMBERS, ids=[name for name, *_ in OTP_NUMBERS]
    )
    def test_a_limit_may_be_1_up_to_its_most(self, name: str, field: str, most: int) -> None:
        assert getattr(settings(**{name: "1"}).otp, field) == 1
        assert getattr(settings(**{name: str(most)}).otp, field) == most

    @pytest.mark.parametrize(
        ("name", "field", "most"), OTP_NUMBERS, ids=[name for name, *_ in OTP_NUMBERS]
    )
    def test_another_limit_is_refused(self, name: str, field: str, most: int) -> None:
        for text in ("0", "-1", str(most + 1), "1.5", "many", "99999999999"):
            assert (
                refusal({**REQUIRED, name: text})
                == f"{name}: must be a whole number from 1 to {most}"
            )

    @pytest.mark.parametrize(
        ("name", "field", "least", "most"),
        [("OTP_TTL", "ttl", "1m", "24h"), ("OTP_RESEND_AFTER", "resend_after", "1s", "1h")],
        ids=["OTP_TTL", "OTP_RESEND_AFTER"],
    )
    def test_a_duration_may_lie_within_its_bounds(
        self, name: str, field: str, least: str, most: str
    ) -> None:
        assert getattr(settings(**{name: least}).otp, field) == parse_duration(least)
        assert getattr(settings(**{name: most}).otp, field) == parse_duration(most)
        for text in ("0s", "25h"):
            assert (
                refusal({**REQUIRED, name: text}) == f"{name}: must lie between {least} and {most}"
            )

    def test_one_limit_leaves_the_others_as_they_are(self) -> None:
        assert settings(OTP_MAX_TRIES="3").otp == OtpSettings(max_tries=3)


BAD: list[tuple[str, str]] = [
    ("SECRET_KEY", "s" * 31),
    ("SECRET_KEY", "\udcff" * 32),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "http://localhost"),
    ("REDIS_URL", "redis+sentinel://a:26379"),
    ("REDIS_URL", "redis+sentinel://a:26379/"),
    ("REDIS_URL", "redis://localhost:99999"),
    ("REDIS_URL", "redis://localhost:port"),
    ("REDIS_URL", "redis://[::1"),
    ("REDIS_URL", "redis+sentinel://a:port/main"),
    ("REDIS_URL", "redis+sentinel://a:26379/main/first"),
    ("QUEUE_REDIS_URL", "redis+cluster://a:7000"),
    ("QUEUE_REDIS_URL", "memcached://a"),
    ("PUBLIC_URL", "pay.example"),
    ("PUBLIC_URL", "ftp://pay.example"),
    ("PUBLIC_URL", "http://"),
    ("PUBLIC_URL", "http:///path"),
    ("PUBLIC_URL", "http://[::1"),
    ("PUBLIC_URL", "http://pay.example:99999"),
    ("PUBLIC_URL", "http://pay.example/a b"),
    ("PUBLIC_URL", "http://pay.example/\r\nBcc: x"),
    ("PUBLIC_URL", "http://pay.example?shop=1"),
    ("PUBLIC_URL", "http://pay.example/#shop"),
    ("CHECKOUT_URL", "javascript:alert(1)"),
    ("CHECKOUT_URL", "/checkout/{link_id}"),
    ("CHECKOUT_URL", "https://pay.example/checkout"),
    ("CHECKOUT_URL", "https://pay.example/{link_id}/{email}"),
    ("CHECKOUT_URL", "https://pay.example/{link_id}}"),
    ("CHECKOUT_URL", "https://{link_id}.pay.example/"),
    ("SMTP_URL", "mail.example"),
    ("SMTP_URL", "http://mail.example"),
    ("SMTP_URL", "smtp://"),
    ("SMTP_URL", "smtp://mail.example:99999"),
    ("SMTP_URL", "smtp://mail.example:port"),
    ("SMTP_URL", "smtp://mail..example"),
    ("SMTP_SESSIONS", "0"),
    ("SMTP_SESSIONS", "257"),
    ("SMTP_TIMEOUT", "0s"),
    ("SMTP_TIMEOUT", "31m"),
    ("SMTP_HELO", "pay shop"),
    ("SMTP_HELO", "pay.example\r\nMAIL FROM:<>"),
    ("SMTP_HELO", "pay..example"),
    ("SMTP_HELO", "999.1.1.1"),
    ("SMTP_HELO", "https://pay.example"),
    ("SMTP_CA_FILE", "/"),
    ("MAIL_BOUNCES_TO", "Shop <bounces@shop.example>"),
    ("MAIL_BOUNCES_TO", "<bounces@shop.example>"),
    ("MAIL_BOUNCES_TO", "bounces@shop.example (Shop)"),
    ("MAIL_BOUNCES_TO", "a@shop.example, b@shop.example"),
    ("MAIL_BOUNCES_TO", '"a b"@shop.example'),
    ("MAIL_BOUNCES_TO", "=?utf-8?q?pay?=@shop.example"),
    ("MAIL_BOUNCES_TO", "bounces@shop.example>\r\nRCPT TO:<x@example.com"),
    ("MAIL_BOUNCES_TO", "bounces"),
    ("MAIL_FROM", "shop"),
    ("MAIL_FROM", "=?utf-8?q?Shop=0D=0ABcc=3A_evil=40e.com?= <pay@shop.example>"),
    ("MAIL_FROM", "=?utf-8?q?pay?=@shop.example"),
    ("MAIL_FROM", "Sh\u202eop <pay@shop.example>"),
    ("MAIL_FROM", "pay@"),
    ("MAIL_FROM", "Shop <pay@>"),
    ("MAIL_FROM", "@shop.example"),
    ("MAIL_FROM", "Shop <pay@shop..example>"),
    ("MAIL_FROM", "pay@.example"),
    ("MAIL_FROM", "pay me@shop.example"),
    ("MAIL_FROM", "pay@shöp.example"),
    ("MAIL_FROM", "Shop <pay@shop.example>\r\nBcc: x@example.com"),
    ("MAIL_FROM", "Shop <pay@shop.example>, Other <other@shop.example>"),
    ("LINK_TTL", "4m"),
    ("LINK_TTL", "299s"),
    ("LINK_TTL", "366d"),
    ("LINK_TTL", "72"),
    ("LINK_TTL", "-1h"),
    ("RETENTION", "59s"),
    ("RETENTION", "3651d"),
    ("RETENTION", "forever"),
    ("OTP_TTL", "59s"),
    ("OTP_TTL", "10 m"),
    ("OTP_RESEND_AFTER", "61m"),
    ("OTP_MAX_TRIES", "11"),
    ("ADMIN_JWT_PUBLIC_KEY", "MCowBQYDK2VwAyEA"),
    ("ADMIN_JWT_PUBLIC_KEY", "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----"),
    ("ADMIN_JWKS_URL", "http://id.example/keys"),
    ("ADMIN_JWKS_URL", "http://localhost.evil.example/keys"),
    ("ADMIN_JWKS_URL", "file:///etc/keys"),
    ("ADMIN_JWKS_URL", "keys.json"),
    ("HOST", "http://localhost"),
    ("HOST", "localhost:8000"),
    ("HOST", "a b"),
    ("HOST", "999.1.1.1"),
    ("PORT", "0"),
    ("PORT", "65536"),
    ("PORT", "+80"),
    ("PORT", "80.0"),
    ("PORT", "\uff18\uff10"),
    ("PORT", "http"),
    ("WEB_CONCURRENCY", "0"),
    ("WEB_CONCURRENCY", "65"),
    ("LOG_FORMAT", "xml"),
    ("LOG_FORMAT", "JSON"),
    ("TRUSTED_PROXIES", "proxy.example"),
    ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ("TRUSTED_PROXIES", "10.0.0.0/8 192.168.0.0/16"),
    ("TRUSTED_PROXIES", "10.0.0.0/8\nx"),
    ("CORS_ORIGINS", "*"),
    ("CORS_ORIGINS", "null"),
    ("CORS_ORIGINS", "https://a.example, b.example"),
    ("CORS_ORIGINS", "https://a.example/path"),
]


@pytest.mark.parametrize(("name", "text"), BAD, ids=[f"{name}={text[:50]!a}" for name, text in BAD])
def test_a_bad_value_is_refused_in_one_line_that_begins_with_its_name(name: str, text: str) -> None:
    sender = {"MAIL_FROM": "pay@shop.example"} if name == "SMTP_URL" else {}
    message = refusal({**REQUIRED, **sender, name: text})
    assert message.startswith(f"{name}: ")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["SECRET_KEY", "REDIS_URL"])
@pytest.mark.parametrize("text", [None, "", "  "], ids=["unset", "empty", "blank"])
def test_a_missing_setting_is_named(name: str, text: str | None) -> None:
    environ = {key: value for key, value in REQUIRED.items() if key != name}
    assert refusal(environ if text is None else {**environ, name: text}) == f"{name}: required"


def test_all_missing_settings_are_named_at_once() -> None:
    assert refusal({}) == "REDIS_URL, SECRET_KEY: required"
    assert (
        refusal({"SMTP_URL": "smtp://mail.example"}) == "REDIS_URL, SECRET_KEY, MAIL_FROM: required"
    )


@pytest.mark.parametrize(
    ("name", "text"), [("HOST", "a b"), ("PORT", "http"), ("WEB_CONCURRENCY", "many")]
)
def test_a_process_that_does_not_listen_ignores_a_wrong_address(name: str, text: str) -> None:
    assert load({**REQUIRED, name: text}, listens=False) == settings()
    elsewhere = load({**REQUIRED, "HOST": "0.0.0.0", "PORT": "9000"}, listens=False)
    assert elsewhere.public_url == "http://127.0.0.1:9000"


def test_no_error_contains_the_secret() -> None:
    assert "hunter2" not in refusal({**REQUIRED, "SECRET_KEY": "hunter2"})


def test_a_cluster_needs_a_queue_of_its_own() -> None:
    message = refusal({"SECRET_KEY": SECRET, "REDIS_URL": "redis+cluster://a:7000"})
    assert message.startswith("QUEUE_REDIS_URL: RQ cannot use a cluster")


def test_a_cluster_may_have_a_queue_of_its_own() -> None:
    both = load(
        {
            "SECRET_KEY": SECRET,
            "REDIS_URL": "redis+cluster://a:7000",
            "QUEUE_REDIS_URL": "redis://queue",
        }
    )
    assert (both.redis_url, both.queue_redis_url) == ("redis+cluster://a:7000", "redis://queue")


def test_public_key_and_key_set_exclude_each_other() -> None:
    message = refusal(
        {**REQUIRED, "ADMIN_JWT_PUBLIC_KEY": PEM, "ADMIN_JWKS_URL": "https://id.example/keys"}
    )
    assert message.startswith("ADMIN_JWKS_URL: ")


@pytest.mark.parametrize("empty", ["", "  "], ids=["empty", "blank"])
def test_an_empty_public_key_does_not_exclude_a_key_set(empty: str) -> None:
    chosen = settings(ADMIN_JWT_PUBLIC_KEY=empty, ADMIN_JWKS_URL="https://id.example/keys")
    assert (chosen.admin_jwt_public_key, chosen.admin_jwks_url) == (None, "https://id.example/keys")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:9000"),
        ("::1", "http://[::1]:9000"),
        ("localhost", "http://localhost:9000"),
    ],
)
def test_the_public_url_follows_from_host_and_port(host: str, url: str) -> None:
    assert settings(HOST=host, PORT="9000").public_url == url


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "duration"),
        [
            ("90s", timedelta(seconds=90)),
            ("10m", timedelta(minutes=10)),
            ("72h", timedelta(hours=72)),
            ("90d", timedelta(days=90)),
            ("0s", timedelta(0)),
            ("007m", timedelta(minutes=7)),
            ("999999999d", timedelta(days=999_999_999)),
        ],
    )
    def test_a_duration_is_a_number_and_a_unit(self, text: str, duration: timedelta) -> None:
        assert parse_duration(text) == duration

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "10",
            "m",
            "10M",
            "10 m",
            " 10m",
            "10m ",
            "10m\n",
            "-1m",
            "+1m",
            "1.5h",
            "1h30m",
            "10w",
            "1e3s",
            "٣m",
            "1000000000s",
        ],
        ids=repr,
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="like 90s, 10m, 72h or 90d"):
            parse_duration(text)
