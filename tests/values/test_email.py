"""E-mail addresses: which are accepted, which are the same, and how they are masked."""

import pytest

from service.errors import Invalid
from service.values.email import canonical, mask, parse_email, remove_subaddress, to_ascii

SAME_MAILBOX = [
    "jane@münchen.de",
    "Jane@MÜNCHEN.de",
    "JANE@xn--mnchen-3ya.de",
    "jane@XN--MNCHEN-3YA.DE",
    "jane@mu\u0308nchen.de",
]
FORMS = ["lower", "capitals", "punycode", "capital punycode", "decomposed"]


class TestParsing:
    @pytest.mark.parametrize(
        "email",
        [
            "jane@example.com",
            "Jane.Doe+tag@Example.co.uk",
            "o'brien@example.ie",
            "a@b.co",
            "x!#$%&*/?=^_`{|}~-@example.com",
            "jane@münchen.de",
            "jane@例え.jp",
            "jane@xn--mnchen-3ya.de",
            "j" * 64 + "@example.com",
            "jane@printer.local",
            "jane@shop.test",
            "jane@intranet",
            "jane@localhost",
            "jane@intranät",
        ],
        ids=[
            "plain",
            "tag",
            "apostrophe",
            "short",
            "marks",
            "umlaut domain",
            "kanji domain",
            "punycode domain",
            "long mailbox",
            "local",
            "test",
            "single label",
            "localhost",
            "international single label",
        ],
    )
    def test_an_address_stays_as_it_was_sent(self, email: str) -> None:
        assert parse_email(email) == email

    @pytest.mark.parametrize(
        "email",
        [
            "",
            "jane",
            "@example.com",
            "jane@",
            "jane@@example.com",
            "jane@127.0.0.1",
            "jane@1",
            "jane@.com",
            "jane@-a.com",
            "jane@a..com",
            ".jane@example.com",
            "ja..ne@example.com",
            "ja ne@example.com",
            " jane@example.com",
            "jane@example.com ",
            "jane@example.com\n",
            "jane@example.com\r\nBcc: x@example.com",
            "jane@example.com\x00",
            "jane@example.com,joe@example.com",
            "Jane <jane@example.com>",
            "<jane@example.com>",
            '"jane doe"@example.com',
            "jane@[127.0.0.1]",
            "jäne@example.com",
            "\u212aane@example.com",
            "jane@exa\u200dmple.com",
            "jane@example.com\ud800",
            "j@" + "a" * 250 + ".com",
            "j" * 65 + "@example.com",
            "jane@☃.net",
            "=?utf-8?q?=20=0aBcc=3a_e=40x.co@" + "x" * 50 + ".com",
            "jane=?@example.com",
        ],
        ids=[
            "empty",
            "no domain",
            "no mailbox",
            "no domain after the at",
            "two ats",
            "bare IP address",
            "number",
            "domain begins with a dot",
            "domain begins with a hyphen",
            "empty label",
            "mailbox begins with a dot",
            "two dots",
            "space inside",
            "space before",
            "space after",
            "newline",
            "header injection",
            "nul",
            "two addresses",
            "display name",
            "angle brackets",
            "quoted mailbox",
            "IP address",
            "mailbox outside ASCII",
            "kelvin sign",
            "zero-width joiner",
            "surrogate",
            "long domain",
            "mailbox of 65",
            "no IDN",
            "encoded word",
            "what an encoded word begins with",
        ],
    )
    def test_what_mail_cannot_be_addressed_to_is_refused(self, email: str) -> None:
        with pytest.raises(Invalid) as refusal:
            parse_email(email)
        assert refusal.value.field == "email"

    def test_a_refusal_names_the_field_that_it_was_told(self) -> None:
        with pytest.raises(Invalid) as refusal:
            parse_email("jane", field="recipient")
        assert refusal.value.field == "recipient"


class TestComparison:
    @pytest.mark.parametrize("email", ["jane@example.com", "Jane@Example.com", "JANE@EXAMPLE.COM"])
    def test_case_never_matters(self, email: str) -> None:
        assert canonical(email) == "jane@example.com"

    @pytest.mark.parametrize("email", SAME_MAILBOX, ids=FORMS)
    def test_all_forms_of_a_domain_are_the_same(self, email: str) -> None:
        assert canonical(email) == "jane@xn--mnchen-3ya.de"

    @pytest.mark.parametrize("email", SAME_MAILBOX, ids=FORMS)
    def test_the_canonical_form_is_its_own(self, email: str) -> None:
        assert canonical(canonical(email)) == canonical(email)

    def test_tags_and_dots_make_another_mailbox(self) -> None:
        assert (
            len(
                {
                    canonical(email)
                    for email in ("jane@example.com", "jane+a@example.com", "ja.ne@example.com")
                }
            )
            == 3
        )

    def test_a_mailbox_outside_ascii_has_no_canonical_form(self) -> None:
        with pytest.raises(Invalid):
            canonical("jäne@example.com")


class TestAscii:
    def test_a_stored_address_is_not_judged_again(self) -> None:
        assert to_ascii("Jane@münchen.local") == "Jane@xn--mnchen-3ya.local"
        assert canonical("Jane@MÜNCHEN") == "jane@xn--mnchen-3ya"

    def test_an_ascii_address_keeps_its_case(self) -> None:
        assert to_ascii("Jane@Example.com") == "Jane@Example.com"

    def test_a_domain_becomes_what_dns_knows(self) -> None:
        assert to_ascii("Jane@straße.de") == "Jane@xn--strae-oqa.de"


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("jane@example.com", "j***@example.com"),
        ("j@example.com", "j***@example.com"),
        ("Jane.Doe+tag@example.co.uk", "J***@example.co.uk"),
        ("jane@münchen.de", "j***@münchen.de"),
    ],
    ids=["plain", "one character", "tag", "umlaut domain"],
)
def test_a_mask_shows_the_first_character_and_the_domain_and_hides_the_length(
    email: str, masked: str
) -> None:
    assert mask(email) == masked


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("jane@example.com", "jane@example.com"),
        ("jane+shop@example.com", "jane@example.com"),
        ("jane+a+b@example.com", "jane@example.com"),
        ("jane.doe+@example.com", "jane.doe@example.com"),
        ("+jane@example.com", "+jane@example.com"),
    ],
)
def test_a_tag_makes_no_other_mailbox(email: str, mailbox: str) -> None:
    assert remove_subaddress(email) == mailbox


@pytest.mark.parametrize(
    "text",
    [
        "a" * 60_000 + "@example.com",
        "a@" + "a." * 30_000 + "com",
        "ü" * 60_000,
        '"' + "\\a" * 30_000 + '"@x.com',
    ],
)
def test_what_is_much_too_long_is_not_looked_at(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.values.email._validate", lambda _: pytest.fail("looks at it"))
    with pytest.raises(Invalid, match="longer than 254"):
        parse_email(text)
