"""E-mails that are written to files."""

import email
import email.policy
import stat
from email.message import EmailMessage
from pathlib import Path

import pytest

from tasks.mail.files import FileMailer
from tasks.mail.mailer import (
    MailerUnavailable,
)
from tests.support.smtp_setup import (
    mail_to,
)


class TestFiles:
    def read(self, path: Path) -> EmailMessage:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def test_each_mail_is_a_file(self, tmp_path: Path) -> None:
        with FileMailer(tmp_path / "outbox") as mailer:
            mailer.send(mail_to("jane@example.com"))
            mailer.send(mail_to("joe@example.com"))
        written = sorted((tmp_path / "outbox").iterdir())
        assert [str(self.read(path)["To"]) for path in written] == [
            "jane@example.com",
            "joe@example.com",
        ]
        assert {path.suffix for path in written} == {".eml"}

    def test_a_mail_is_whole(self, tmp_path: Path) -> None:
        message = mail_to(text="Grüße\n" * 1000)
        with FileMailer(tmp_path) as mailer:
            mailer.send(message)
        [path] = tmp_path.iterdir()
        assert self.read(path).get_content() == "Grüße\n" * 1000
        assert self.read(path)["Message-ID"] == message.message_id

    def test_only_their_owner_reads_them(self, tmp_path: Path) -> None:
        with FileMailer(tmp_path / "outbox") as mailer:
            mailer.send(mail_to())
        [path] = (tmp_path / "outbox").iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700

    def test_the_same_mail_sent_again_is_another_file(self, tmp_path: Path) -> None:
        message = mail_to()
        with FileMailer(tmp_path) as mailer:
            mailer.send(message)
            mailer.send(message)
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_folder_that_is_there_already_is_used(self, tmp_path: Path) -> None:
        for _ in range(2):
            with FileMailer(tmp_path / "outbox") as mailer:
                mailer.send(mail_to())
        assert len(list((tmp_path / "outbox").iterdir())) == 2

    def test_a_folder_that_cannot_be_made_ends_the_session(self, tmp_path: Path) -> None:
        (tmp_path / "outbox").touch()
        with (
            FileMailer(tmp_path / "outbox") as mailer,
            pytest.raises(MailerUnavailable, match="cannot write to"),
        ):
            mailer.send(mail_to())

    def test_no_file_is_written_without_a_lease(self, tmp_path: Path) -> None:
        with FileMailer(tmp_path) as mailer:
            assert not mailer.send(mail_to(), start_lease_check=lambda: lambda: False)
        assert list(tmp_path.iterdir()) == []
