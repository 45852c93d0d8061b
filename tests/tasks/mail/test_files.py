"""E-mails that are written to files."""

import asyncio
import email
import email.policy
import stat
from email.message import EmailMessage
from pathlib import Path

import pytest

from tasks.mail.files import FileSession
from tasks.mail.mailer import ConfirmLease, MailerUnavailable
from tasks.mail.mime import Mail
from tasks.message import LeaseLost
from tests.support.smtp_setup import lease_is_held, lease_is_lost, mail_to


def write(directory: Path, *mails: Mail, confirm_lease: ConfirmLease = lease_is_held) -> None:
    """Sends the mails in one session."""

    async def send() -> None:
        session = FileSession(directory)
        await session.open()
        for mail in mails:
            await session.send(mail, confirm_lease)
        await session.close()

    asyncio.run(send())


def read(path: Path) -> EmailMessage:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_each_mail_is_a_file(tmp_path: Path) -> None:
    write(tmp_path / "outbox", mail_to("jane@example.com"), mail_to("joe@example.com"))
    written = sorted((tmp_path / "outbox").iterdir())
    assert [str(read(path)["To"]) for path in written] == ["jane@example.com", "joe@example.com"]
    assert {path.suffix for path in written} == {".eml"}


def test_a_mail_is_whole(tmp_path: Path) -> None:
    mail = mail_to(text="Grüße\n" * 1000)
    write(tmp_path, mail)
    [path] = tmp_path.iterdir()
    assert read(path).get_content() == "Grüße\n" * 1000
    assert read(path)["Message-ID"] == mail.message_id


def test_only_their_owner_reads_them(tmp_path: Path) -> None:
    write(tmp_path / "outbox", mail_to())
    [path] = (tmp_path / "outbox").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700


def test_the_same_mail_sent_again_is_another_file(tmp_path: Path) -> None:
    mail = mail_to()
    write(tmp_path, mail, mail)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_is_there_already_is_used(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path / "outbox", mail_to())
    assert len(list((tmp_path / "outbox").iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_our_fault(tmp_path: Path) -> None:
    (tmp_path / "outbox").touch()
    with pytest.raises(MailerUnavailable, match="cannot write to DATA_DIR: File exists"):
        write(tmp_path / "outbox", mail_to())


def test_no_file_is_written_without_a_lease(tmp_path: Path) -> None:
    with pytest.raises(LeaseLost):
        write(tmp_path, mail_to(), confirm_lease=lease_is_lost)
    assert list(tmp_path.iterdir()) == []


def test_sessions_write_at_the_same_time(tmp_path: Path) -> None:
    """Workers have several sessions, all with one folder, even of mails with one Message-ID."""
    mail = mail_to()

    async def send_from_each() -> None:
        sessions = [FileSession(tmp_path / "outbox") for _ in range(8)]
        await asyncio.gather(*(session.send(mail, lease_is_held) for session in sessions))

    asyncio.run(send_from_each())
    assert {path.suffix for path in (tmp_path / "outbox").iterdir()} == {".eml"}
    assert len(list((tmp_path / "outbox").iterdir())) == 8


def test_a_session_is_always_open(tmp_path: Path) -> None:
    session = FileSession(tmp_path)
    assert session.is_open
    assert session.is_proven
    asyncio.run(session.keep_open())
    session.abort()
    asyncio.run(session.close())
    assert session.is_open
