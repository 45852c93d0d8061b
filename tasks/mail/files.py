"""Writes e-mails to files where no SMTP server is configured."""

import asyncio
import os
import time
from pathlib import Path

from tasks.mail.mailer import ConfirmLease, MailerUnavailable, MailSession, require_valid
from tasks.mail.mime import Mail


class FileSession(MailSession):
    """Writes each e-mail to an ``.eml`` file, which appears complete or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def send(self, mail: Mail, confirm_lease: ConfirmLease) -> None:
        require_valid(mail)
        await confirm_lease()
        try:
            await asyncio.to_thread(self._write, mail)
        except OSError as error:
            raise MailerUnavailable(f"cannot write to DATA_DIR: {error.strerror}") from error

    def _write(self, mail: Mail) -> None:
        name = f"{time.time_ns()}-{mail.message_id.strip('<>').partition('@')[0]}"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._directory / f".{name}.partial"
        with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(mail.content.replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._directory / f"{name}.eml")
