"""E-mails as their recipients see them, and as mail servers do."""

import html
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from service.i18n.formats import get_formats
from service.links.model import Delivery, DeliveryState, Link
from service.mails.rendering import avoid_no_break_spaces
from service.orgs.model import LOGO_SIGNATURES, Profile
from service.otps.store import Otp
from service.values.languages import LANGUAGES
from tasks.mail.mime import Mail, Sender
from tasks.mail_kinds.link_mails import compose_link_mail
from tasks.mail_kinds.otp_mails import compose_otp_mail
from tests.support.delivery_harness import SENDER, received
from tests.support.factories import create_link

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOBODY = Profile()
ACME = Profile(
    display_name="Acme & Söhne",
    colour="#ffd400",
    logo=f"data:image/png;base64,{b64encode(LOGO_SIGNATURES['png'] + bytes(100)).decode()}",
    reply_to="help@acme.example",
)


def make_link(**fields: Any) -> Link:
    defaults: dict[str, Any] = {"org_id": "acme", "email": "jane@example.com"}
    return create_link(
        entropy=bytes(range(24)), now=NOW, ttl=timedelta(hours=72), **{**defaults, **fields}
    )


def written(
    link: Link | None = None,
    *,
    sender: Sender = SENDER,
    now: datetime = NOW,
    profile: Profile = NOBODY,
    **fields: Any,
) -> Mail:
    link = link or make_link(**fields)
    return compose_link_mail(
        link, profile=profile, url=f"https://pay.example/pay/{link.id}", sender=sender, now=now
    )


def mail(link: Link | None = None, **fields: Any) -> EmailMessage:
    """The e-mail of a link, as its recipient parses it."""
    return received(written(link, **fields))


def code_mail(
    code: str = "042817",
    *,
    expires_in: timedelta = timedelta(minutes=10),
    profile: Profile = NOBODY,
    **fields: Any,
) -> EmailMessage:
    otp = msgspec.structs.replace(Otp("jane@example.com", b"n" * 16, NOW + expires_in, 0), **fields)
    return received(compose_otp_mail(otp, code, profile=profile, sender=SENDER, now=NOW))


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


class Shown(HTMLParser):
    """The words and links of an HTML page, as a browser shows them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self._hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href" and value]
        self._hidden = tag in {"title", "style", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


class Tables(HTMLParser):
    """Checks how tables nest; collects each max-width, and the width of the table around it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.limited: list[tuple[str, str]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "table" and (limit := re.search(r"max-width:(\d+)px", values.get("style", ""))):
            self.limited.append(
                (limit[1], [width for around, width in self._open if around == "table"][-1])
            )
        if tag in {"table", "tr", "td"}:
            self._open.append((tag, values.get("width", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"table", "tr", "td"}:
            assert self._open.pop()[0] == tag


class TestLinkMail:
    def test_it_goes_from_the_sender_to_the_recipient(self) -> None:
        message = mail(email="Jane@Example.com")
        assert (str(message["From"]), str(message["To"])) == (
            "Shop <pay@shop.example>",
            "Jane@Example.com",
        )

    def test_its_subject_says_who_asks_for_how_much(self) -> None:
        message = mail(payment_amount=Decimal("125000.50"), currency="NGN")
        assert message["Subject"] == "acme asks you for NGN 125,000.50"

    def test_without_an_amount_its_subject_says_who_asks(self) -> None:
        assert mail()["Subject"] == "Payment link from acme"

    def test_it_is_marked_as_automatic(self) -> None:
        """Automatic replies, such as out-of-office notices, skip it (RFC 3834)."""
        assert mail()["Auto-Submitted"] == "auto-generated"

    def test_it_is_dated_when_it_is_made(self) -> None:
        assert mail()["Date"].datetime == NOW

    @pytest.mark.parametrize(
        "fact",
        [
            "acme asks you for a payment",
            "$12.50",
            "Reference: Invoice 17",
            "https://pay.example/pay/pl_",
            "The link is good until 4 March 2026, 12:00 UTC.",
            "It opens with a code that is sent to this e-mail address.",
            "If you did not expect this, you can ignore it: nothing is charged unless you pay.",
        ],
        ids=["who", "amount", "reference", "link", "until when", "code", "what else"],
    )
    def test_both_parts_say(self, fact: str) -> None:
        message = mail(
            payment_amount=Decimal("12.5"),
            currency="USD",
            transaction_id="Invoice 17",
            otp_required=True,
        )
        assert fact in " ".join(text_of(message).split())
        assert fact in Shown(html_of(message)).text

    @pytest.mark.parametrize(
        "fact", ["Reference", "code", " of "], ids=["reference", "code", "amount"]
    )
    def test_neither_part_says_what_the_link_does_not_have(self, fact: str) -> None:
        message = mail()
        assert fact not in text_of(message)
        assert fact not in Shown(html_of(message)).text

    def test_both_parts_lead_to_the_link(self) -> None:
        link = make_link()
        url = f"https://pay.example/pay/{link.id}"
        assert re.findall(r"https?://\S+", text_of(mail(link))) == [url]
        assert Shown(html_of(mail(link))).links == [url]

    def test_its_expiry_is_that_of_a_scheduled_link_too(self) -> None:
        message = mail(scheduled_at=NOW + timedelta(days=10))
        assert "good until 14 March 2026, 12:00 UTC" in text_of(message)

    def test_a_plain_one_says_all_of_this(self) -> None:
        link = make_link(payment_amount=Decimal(1000), currency="JPY")
        assert text_of(mail(link)).rstrip("\n").splitlines() == [
            "acme asks you for a payment of ¥1,000.",
            "",
            "Pay here:",
            f"https://pay.example/pay/{link.id}",
            "",
            "The link is good until 4 March 2026, 12:00 UTC.",
            "",
            "Questions? Ask acme.",
            "If you did not expect this, you can ignore it: nothing is charged unless you pay.",
        ]


class TestEscaping:
    @pytest.mark.parametrize(
        "reference",
        [
            "<script>alert(1)</script>",
            '"><img src=x onerror=alert(1)>',
            "a & b < c",
            "&lt;b&gt;",
            "{{ 7*7 }}{% raw %}",
            "'\"`",
        ],
        ids=["script", "attribute", "marks", "entity", "template", "quotes"],
    )
    def test_a_reference_is_shown_as_it_is_and_never_runs(self, reference: str) -> None:
        message = mail(transaction_id=reference)
        page = html_of(message)
        assert Shown(page).tags == Shown(html_of(mail(transaction_id="plain"))).tags
        assert f"Reference: {' '.join(reference.split())}" in Shown(page).text
        assert f"Reference: {reference}" in text_of(message)

    @pytest.mark.parametrize(
        "reference",
        [
            "x\r\nBcc: evil@example.com",
            "x\nBcc: evil@example.com",
            "x\u2028Bcc: evil@example.com",
            "x\x85Bcc: evil@example.com",
        ],
        ids=["CRLF", "LF", "line separator", "next line"],
    )
    def test_a_reference_never_becomes_a_header(self, reference: str) -> None:
        """The domain refuses such; a record that has it all the same is harmless."""
        link = msgspec.structs.replace(make_link(), transaction_id=reference)
        assert "Bcc" not in mail(link)

    @pytest.mark.parametrize(
        "name", ["acme\r\nBcc: evil@example.com", "acme\nBcc: evil@example.com"], ids=["CRLF", "LF"]
    )
    def test_a_name_never_becomes_a_header(self, name: str) -> None:
        """Nor does it keep its mail from being sent."""
        for message in (
            mail(msgspec.structs.replace(make_link(), org_id=name)),
            mail(profile=Profile(display_name=name)),
        ):
            assert "Bcc" not in message
            assert message["Subject"] == "Payment link from acme Bcc: evil@example.com"

    @pytest.mark.parametrize(
        "recipient",
        [
            "jane@example.com\r\nBcc: evil@example.com",
            "jane@example.com, evil@example.com",
            "jane@example.com\nevil@example.com",
        ],
        ids=["CRLF", "two addresses", "LF"],
    )
    def test_a_recipient_is_one_address_or_none(self, recipient: str) -> None:
        link = msgspec.structs.replace(make_link(), email=recipient)
        with pytest.raises(ValueError, match=r".+"):
            mail(link)


@pytest.mark.parametrize("text", ["ශ්‍රී ලංකා", "می‌خواهم", "👩‍🍳", "n°\u00a012", "田中\u3000太郎"])
def test_names_and_references_arrive_as_people_write_them(text: str) -> None:
    message = mail(profile=Profile(display_name=text), transaction_id=text)
    assert message["Subject"] == f"Payment link from {text}"
    assert message["From"].addresses[0].display_name == text
    for part in (text_of(message), html_of(message)):
        assert f"Reference: {text}" in part
        assert f"{text} asks you for a payment" in part


class TestAmounts:
    @pytest.mark.parametrize("currency", ["JPY", "KWD", "NGN", "EUR", None], ids=str)
    def test_subject_and_parts_show_the_same_amount(self, currency: str | None) -> None:
        message = mail(payment_amount=Decimal(1000), currency=currency)
        shown = get_formats("en").format_amount(Decimal(1000), currency).replace("\u00a0", " ")
        assert str(message["Subject"]).endswith(f"for {shown}")
        assert f"payment of {shown}." in text_of(message)
        assert shown in Shown(html_of(message)).text


class TestMessageId:
    def test_it_is_the_same_however_often_the_mail_is_made(self) -> None:
        link = make_link(scheduled_at=NOW + timedelta(hours=1))
        tried = msgspec.structs.replace(
            link, delivery=Delivery(DeliveryState.QUEUED, attempts=3, error="450 later")
        )
        assert mail(link)["Message-ID"] == mail(tried, now=NOW + timedelta(hours=2))["Message-ID"]

    def test_another_schedule_makes_another(self) -> None:
        link = make_link(scheduled_at=NOW + timedelta(hours=1))
        moved = msgspec.structs.replace(link, scheduled_at=NOW + timedelta(hours=2))
        assert mail(link)["Message-ID"] != mail(moved)["Message-ID"]

    def test_a_mail_that_is_sent_again_has_another_message_id(self) -> None:
        link = make_link()
        again = msgspec.structs.replace(link, delivery=Delivery(DeliveryState.QUEUED, sends=2))
        third = msgspec.structs.replace(link, delivery=Delivery(DeliveryState.QUEUED, sends=3))
        assert len({mail(each)["Message-ID"] for each in (link, again, third)}) == 3

    def test_a_mail_owed_since_an_earlier_release_keeps_its_message_id(self) -> None:
        assert mail()["Message-ID"] == "<ec9af7665fe759b88bdaa16fe084e4eb@shop.example>"

    def test_another_link_makes_another(self) -> None:
        link = make_link()
        other = msgspec.structs.replace(link, id=link.id[:-1] + "_")
        assert mail(link)["Message-ID"] != mail(other)["Message-ID"]

    def test_it_is_of_the_sender_s_domain(self) -> None:
        assert re.fullmatch(r"<[0-9a-f]{32}@shop\.example>", mail()["Message-ID"])

    def test_it_does_not_tell_the_link(self) -> None:
        link = make_link()
        assert link.id not in mail(link)["Message-ID"]
        assert link.id[5:] not in mail(link)["Message-ID"]

    def test_no_header_tells_the_link(self) -> None:
        link = make_link()
        assert all(link.id not in str(value) for value in mail(link).values())

    def test_a_long_domain_stays_whole(self) -> None:
        domain = f"{'a' * 60}.{'b' * 60}.example"
        mail = written(sender=Sender("Shop", f"pay@{domain}", f"bounces@{domain}"))
        assert f"\r\nMessage-ID: {mail.message_id}\r\n".encode() in mail.content
        assert mail.message_id.endswith(f"@{domain}>")


class TestAddresses:
    def test_an_idn_recipient_is_addressed_as_dns_knows_it(self) -> None:
        mail = written(email="Jane@MÜNCHEN.de")
        assert mail.recipient == str(received(mail)["To"]) == "Jane@xn--mnchen-3ya.de"
        assert b"To: Jane@xn--mnchen-3ya.de\r\n" in mail.content

    @pytest.mark.parametrize(
        "recipient",
        [
            "o'brien@example.ie",
            "x!#$%&*/?=^_`{|}~-@example.com",
            "a" * 64 + "@" + "b" * 60 + ".example.com",
        ],
        ids=["apostrophe", "marks", "long"],
    )
    def test_a_recipient_arrives_as_written(self, recipient: str) -> None:
        assert str(mail(email=recipient)["To"]) == recipient

    @pytest.mark.parametrize(
        "name",
        ["", "Shop, Inc.", "Café Zoë", "A  B", 'The "Shop" \\', "o" * 64],
        ids=["none", "comma", "accents", "spaces", "quotes", "long"],
    )
    def test_a_sender_arrives_as_written(self, name: str) -> None:
        sender = Sender(name, "pay@shop.example", "bounces@shop.example")
        [address] = mail(sender=sender)["From"].addresses
        assert (address.display_name, address.addr_spec) == (name, "pay@shop.example")

    def test_bounces_go_to_an_address_of_their_own(self) -> None:
        mail = written()
        assert mail.sender == "bounces@shop.example"
        assert b"bounces@" not in mail.content


class TestEncodings:
    def encodings(self, message: EmailMessage) -> list[tuple[str, str]]:
        return [
            (part.get_content_type(), part["Content-Transfer-Encoding"])
            for part in message.iter_parts()
        ]

    def test_an_ascii_text_travels_as_it_is(self) -> None:
        assert self.encodings(mail(payment_amount=Decimal(5), currency="USD")) == [
            ("text/plain", "7bit"),
            ("text/html", "base64"),
        ]

    def test_another_text_travels_as_quoted_printable(self) -> None:
        assert self.encodings(mail(transaction_id="Nº 5")) == [
            ("text/plain", "quoted-printable"),
            ("text/html", "base64"),
        ]

    @pytest.mark.parametrize(
        "reference", ["x" * 128, "é" * 128, "😀" * 128], ids=["ASCII", "accents", "emoji"]
    )
    def test_no_line_is_longer_than_smtp_takes_and_all_is_ascii(self, reference: str) -> None:
        """Without 8BITMIME or SMTPUTF8, which a server need not offer."""
        wire = written(transaction_id=reference, org_id="o" * 64).content
        assert wire.isascii()
        assert max(len(line) for line in wire.split(b"\r\n")) <= 998
        assert b"\n" not in wire.replace(b"\r\n", b"")

    def test_a_reference_survives_its_encoding(self) -> None:
        message = mail(transaction_id="Nº 5 = 😀" * 10)
        assert "Nº 5 = 😀" * 10 in text_of(message)
        assert html.escape("Nº 5 = 😀" * 10) in html_of(message)

    def test_the_plain_part_comes_first(self) -> None:
        """The last one is what a reader prefers (RFC 2046, 5.1.4)."""
        message = mail()
        assert message.get_content_type() == "multipart/alternative"
        assert [part.get_content_type() for part in message.iter_parts()] == [
            "text/plain",
            "text/html",
        ]


class TestCodeMail:
    def test_both_parts_say_the_code_and_how_long_it_is_good(self) -> None:
        message = code_mail("042817")
        for said in (text_of(message), Shown(html_of(message)).text):
            assert re.findall(r"\b[0-9]{6}\b", said) == ["042817"]
            assert "good for 10 minutes and can be used once" in said

    def test_the_code_stands_in_the_subject_and_in_no_other_header(self) -> None:
        message = code_mail("042817")
        assert message["Subject"] == "042817 is your payment code"
        assert [name for name, value in message.items() if "042817" in str(value)] == ["Subject"]

    def test_it_goes_to_the_email_that_asked(self) -> None:
        assert str(code_mail()["To"]) == "jane@example.com"

    @pytest.mark.parametrize(
        ("left", "span"),
        [
            (timedelta(minutes=9, seconds=55), "10 minutes"),
            (timedelta(minutes=5), "5 minutes"),
            (timedelta(seconds=90), "2 minutes"),
            (timedelta(hours=24), "1 day"),
        ],
        ids=["a little later", "half the time later", "nearly over", "a day"],
    )
    def test_it_says_how_long_is_left(self, left: timedelta, span: str) -> None:
        assert f"good for {span} and" in text_of(code_mail(expires_in=left))

    def test_its_message_id_is_the_same_for_one_code_and_another_for_the_next(self) -> None:
        assert code_mail()["Message-ID"] == code_mail(attempts=2)["Message-ID"]
        assert code_mail()["Message-ID"] != code_mail(nonce=b"m" * 16)["Message-ID"]
        assert code_mail()["Message-ID"] != code_mail(email="joe@example.com")["Message-ID"]

    def test_its_message_id_tells_neither_nonce_nor_email(self) -> None:
        message_id = code_mail()["Message-ID"]
        assert (b"n" * 16).hex() not in message_id
        assert "jane" not in message_id


class TestProfile:
    def test_an_organization_presents_itself(self) -> None:
        message = mail(profile=ACME, payment_amount=Decimal(5), currency="EUR")
        assert message["Subject"] == "Acme & Söhne asks you for €5.00"
        assert (str(message["From"]), str(message["Reply-To"])) == (
            "Acme & Söhne <pay@shop.example>",
            "help@acme.example",
        )
        assert "background:#ffd400;color:#000000" in html_of(message)
        assert "Acme & Söhne asks you for a payment" in Shown(html_of(message)).text

    def test_its_logo_travels_with_the_mail(self) -> None:
        message = mail(profile=ACME)
        [page] = [
            part for part in message.iter_parts() if part.get_content_type() == "multipart/related"
        ]
        shown, picture = page.iter_parts()
        assert re.findall(r'<img src="([^"]+)"', shown.get_content()) == ["cid:logo"]
        assert (picture["Content-ID"], picture.get_content_type()) == ("<logo>", "image/png")
        assert picture.get_content() == LOGO_SIGNATURES["png"] + bytes(100)

    def test_a_code_comes_in_the_name_of_the_link_s_organization(self) -> None:
        assert "Acme & Söhne" in Shown(html_of(code_mail(profile=ACME, org_id="acme"))).text
        assert str(code_mail(profile=ACME, org_id="acme")["Reply-To"]) == "help@acme.example"

    @pytest.mark.parametrize("profile", [NOBODY, ACME], ids=["plain", "branded"])
    def test_a_mail_asks_nothing_of_another_host(self, profile: Profile) -> None:
        link = make_link()
        for message in (mail(link, profile=profile), code_mail(profile=profile)):
            found = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')>\s]+)""", html_of(message))
            assert set(found) <= {"cid:logo", f"https://pay.example/pay/{link.id}"}


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("amount", [None, Decimal(5)], ids=["without an amount", "with one"])
def test_the_mail_of_a_scheduled_link_reads_as_any_other(
    locale: str, amount: Decimal | None
) -> None:
    """It must not call itself a reminder."""
    fields: dict[str, Any] = {
        "payment_amount": amount,
        "currency": "EUR",
        "locale": locale,
        "expires_at": NOW + timedelta(days=7),
    }
    now, later = mail(**fields), mail(scheduled_at=NOW + timedelta(days=1), **fields)
    assert later["Subject"] == now["Subject"]
    assert text_of(later) == text_of(now)


@pytest.mark.parametrize("locale", LANGUAGES)
def test_times_are_in_the_organization_s_zone_and_say_so(locale: str) -> None:
    link = make_link(locale=locale)
    message = mail(link, profile=Profile(time_zone="Africa/Lagos"))
    until = avoid_no_break_spaces(
        get_formats(locale).format_datetime(link.expires_at, ZoneInfo("Africa/Lagos"))
    )
    assert until.endswith(" WAT")
    for part in (text_of(message), html_of(message)):
        assert until in part


class TestLanguage:
    @pytest.mark.parametrize(
        ("link", "profile", "language"),
        [("ar", "de", "ar"), (None, "de", "de"), (None, None, "en")],
        ids=["link", "profile", "none"],
    )
    def test_it_is_the_link_s_or_the_organization_s(
        self, link: str | None, profile: str | None, language: str
    ) -> None:
        message = mail(locale=link, profile=Profile(locale=profile))
        assert message["Content-Language"] == language
        assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in html_of(
            message
        )

    def test_a_code_comes_in_the_language_in_which_it_was_asked_for(self) -> None:
        assert code_mail(locale="ar", profile=Profile(locale="de"))["Content-Language"] == "ar"


class TestRightToLeft:
    """What an Arabic reader's mailbox shows."""

    def test_the_direction_outlives_a_mailbox_that_drops_html_and_body(self) -> None:
        for message in (mail(locale="ar"), code_mail(locale="ar")):
            kept = re.search(r"<body[^>]*>(.*)</body>", html_of(message), re.DOTALL)
            assert kept is not None
            assert '<table class="page" lang="ar" dir="rtl"' in kept[1]

    def test_names_references_and_amounts_stand_apart_from_the_words_around_them(self) -> None:
        org, reference = "\u2068Acme (NG) Ltd\u2069", "\u20682026-000042\u2069"
        profile = Profile(display_name="Acme (NG) Ltd")
        message = mail(
            locale="ar",
            profile=profile,
            transaction_id="2026-000042",
            payment_amount=Decimal(7),
            currency="NGN",
        )
        for part in (text_of(message), html_of(message)):
            assert org in part
            assert reference in part
        assert org in message["Subject"]
        assert message["Subject"].count("\u2068") == message["Subject"].count("\u2069") == 2

    def test_nothing_is_added_where_all_is_left_to_right(self) -> None:
        message = mail(
            locale="fr",
            profile=ACME,
            transaction_id="2026-000042",
            payment_amount=Decimal(7),
            currency="NGN",
        )
        assert "\u2068" not in text_of(message) + html_of(message) + message["Subject"]


def test_both_parts_of_a_codes_mail_name_who_asks() -> None:
    message = code_mail(profile=ACME)
    assert text_of(message).splitlines()[0] == "Acme & Söhne"
    assert "Acme &amp; Söhne" in html_of(message)


@pytest.mark.parametrize(
    "message", [mail(profile=ACME), mail(locale="ar"), code_mail()], ids=["link", "Arabic", "code"]
)
def test_a_mail_is_no_wider_in_outlook_which_knows_no_max_width(message: EmailMessage) -> None:
    page = html_of(message)
    in_outlook = re.sub(r"<!--\[if mso\]>(.*?)<!\[endif\]-->", r"\1", page)
    assert "<!" not in in_outlook.removeprefix("<!doctype html>")
    assert Tables(page).limited == [("480", "100%")] * 2
    assert Tables(in_outlook).limited == [("480", "480")] * 2


@pytest.mark.parametrize(
    ("colour", "edge"), [("#ffffff", "#bfbfbf"), ("#ffd400", "#bf9f00"), ("#000000", "#3f3f3f")]
)
def test_the_button_shows_on_a_ground_of_its_own_colour(colour: str, edge: str) -> None:
    assert f"border:1px solid {edge}" in html_of(mail(profile=Profile(colour=colour)))
