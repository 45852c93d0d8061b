"""From request to inbox, through real processes."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TypeVar

import httpx

from tests.support.servers import MailServer, wait_until
from tests.support.service_processes import Service

T = TypeVar("T")


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def code_in(message: EmailMessage) -> str:
    found = re.search(r"\b\d{6}\b", text_of(message))
    assert found is not None
    return found[0]


def wait_for_code(email: str, mails: MailServer) -> EmailMessage:
    """The mail with the code that was asked for, told from a link's by its subject."""

    def codes() -> list[EmailMessage]:
        return [
            mail
            for mail in mails.mailbox.to(email)
            if mail["Subject"].endswith(" is your payment code")
        ]

    wait_until(codes, "the code's mail")
    return codes()[-1]


def token_for(email: str, public: httpx.Client, mails: MailServer) -> str:
    """Proves control of ``email`` as its customer would."""
    assert public.post("/payment-links/otp", json={"email": email}).status_code == 202
    code = code_in(wait_for_code(email, mails))
    return str(public.put("/payment-links/otp", json={"email": email, "otp": code}).json()["token"])


def test_a_link_is_mailed_verified_revoked_and_known_to_be_revoked(
    admin: httpx.Client, public: httpx.Client, mails: MailServer
) -> None:
    created = admin.post(
        "/payment-links",
        json={
            "email": "Jane@shop.example.com",
            "org_id": "acme",
            "payment_amount": 125000.50,
            "currency": "NGN",
        },
    )
    assert created.status_code == 201
    link = created.json()
    mail = mails.mailbox.wait_for("Jane@shop.example.com")[0]
    assert link["url"] in text_of(mail)
    assert "125,000.50" in text_of(mail)
    wait_until(
        lambda: public.get(f"/payment-links/{link['id']}").json()["delivery"]["state"] == "sent",
        "the mail to be marked",
    )
    assert (
        public.post("/payment-links/verify", json={"link_id": link["id"]}).json()["valid"] is True
    )
    assert admin.delete(f"/payment-links/{link['id']}").json() == {
        "revoked": 1,
        "links": [link["id"]],
        "unavailable": [],
    }
    verification = public.post("/payment-links/verify", json={"link_id": link["id"]}).json()
    assert (verification["valid"], verification["status"]) == (False, "revoked")
    assert len(mails.mailbox.to("Jane@shop.example.com")) == 1


def test_a_gated_link_opens_to_its_customer_only(
    admin: httpx.Client, public: httpx.Client, mails: MailServer
) -> None:
    link = admin.post(
        "/payment-links",
        json={
            "email": "gated@example.com",
            "org_id": "acme",
            "otp_required": True,
            "notify": False,
        },
    ).json()
    path = f"/payment-links/{link['id']}"
    assert public.get(path).json()["code"] == "otp_required"
    own = {"Authorization": f"Bearer {token_for('gated@example.com', public, mails)}"}
    assert public.get(path, headers=own).json()["email"] == "gated@example.com"
    other = {"Authorization": f"Bearer {token_for('other@example.com', public, mails)}"}
    assert public.get(path, headers=other).status_code == 403


def test_a_code_verified_before_gates_the_link_it_is_named_for(
    admin: httpx.Client, public: httpx.Client, mails: MailServer
) -> None:
    token = token_for("early@example.com", public, mails)
    code = code_in(mails.mailbox.to("early@example.com")[-1])
    body = {"email": "early@example.com", "org_id": "acme", "otp": code, "notify": False}
    link = admin.post("/payment-links", json=body).json()
    assert link["otp_required"] is True
    opened = public.get(
        f"/payment-links/{link['id']}", headers={"Authorization": f"Bearer {token}"}
    )
    assert opened.status_code == 200


def test_a_scheduled_link_is_with_the_mail_server_within_five_seconds_of_its_time(
    admin: httpx.Client, mails: MailServer
) -> None:
    due = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    body = {"email": "later@example.com", "org_id": "acme", "scheduled_at": due.isoformat()}
    link = admin.post("/payment-links", json=body).json()
    assert link["delivery"]["state"] == "scheduled"
    mails.mailbox.wait_for("later@example.com")
    assert 0 <= (datetime.now(UTC) - due).total_seconds() <= 5


def test_a_window_claimed_ten_times_at_once_mails_each_link_once(
    service: Service, admin: httpx.Client, mails: MailServer
) -> None:
    due = datetime.now(UTC) + timedelta(hours=30)
    recipients = [f"window{number}@example.com" for number in range(20)]
    for number, recipient in enumerate(recipients):
        body = {"email": recipient, "org_id": f"org-{number % 5}", "scheduled_at": due.isoformat()}
        assert admin.post("/payment-links", json=body).status_code == 201
    window = {"scheduled_at": (due - timedelta(hours=1)).isoformat(), "period": 2}
    claims = together(
        10,
        lambda: httpx.post(
            f"{service.url}/payment-links/scheduled", json=window, headers=admin.headers
        ).json(),
    )
    assert sum(claim["queued"] for claim in claims) == len(recipients)
    for recipient in recipients:
        mails.mailbox.wait_for(recipient)
    admin.post("/payment-links/scheduled", json=window)
    time.sleep(3)  # two scans: whatever would send a mail again has had its chance
    assert [len(mails.mailbox.to(recipient)) for recipient in recipients] == [1] * len(recipients)


def test_a_link_revoked_before_its_time_is_not_sent(
    admin: httpx.Client, public: httpx.Client, mails: MailServer
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=2)
    body = {"email": "never@example.com", "org_id": "acme", "scheduled_at": due.isoformat()}
    link = admin.post("/payment-links", json=body).json()
    admin.request("DELETE", "/payment-links", json={"email": "NEVER@example.com"})
    time.sleep(6)  # its time, and the five seconds in which it would have been sent
    assert mails.mailbox.to("never@example.com") == []
    assert public.get(f"/payment-links/{link['id']}").json()["delivery"]["state"] == "none"


def test_a_hundred_right_codes_at_once_give_one_token(
    service: Service, public: httpx.Client, mails: MailServer
) -> None:
    public.post("/payment-links/otp", json={"email": "race@example.com"})
    code = code_in(mails.mailbox.wait_for("race@example.com")[0])
    body = {"email": "race@example.com", "otp": code}
    answers = together(
        100, lambda: httpx.put(f"{service.url}/payment-links/otp", json=body).status_code
    )
    assert answers.count(200) == 1
    assert set(answers) <= {200, 401, 429}


def test_nothing_secret_is_logged(
    service: Service, admin: httpx.Client, public: httpx.Client, mails: MailServer
) -> None:
    """Neither codes, tokens, whole link ids nor e-mail addresses are in any process' log."""
    link = admin.post(
        "/payment-links",
        json={"email": "quiet@example.com", "org_id": "acme", "otp_required": True},
    ).json()
    token = token_for("quiet@example.com", public, mails)
    public.get(f"/payment-links/{link['id']}", headers={"Authorization": f"Bearer {token}"})
    wait_until(lambda: len(mails.mailbox.to("quiet@example.com")) == 2, "both mails")
    codes = [
        code_in(mail)
        for mail in mails.mailbox.to("quiet@example.com")
        if mail["Subject"].endswith(" is your payment code")
    ]
    logs = service.logs()
    assert "mail_sent" in logs
    for secret in [link["id"], token, "quiet@example.com"]:
        assert secret not in logs
    for code in codes:
        assert re.search(rf"(?<![0-9.]){code}(?![0-9])", logs) is None


def together(count: int, call: Callable[[], T]) -> list[T]:
    """What ``count`` calls give that begin at once."""
    barrier = threading.Barrier(count)

    def begin(_: int) -> T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))
