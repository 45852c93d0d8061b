"""Writes e-mails to files where no SMTP server is configured."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tasks.mail.mailer import (
    SEND_TIMEOUT_SECONDS,
    LeaseCheck,
    Mailer,
    MailerUnavailable,
    do_nothing,
    require_valid,
    skip_lease_check,
)
from tasks.mail.mime import Mail


class FileMailer(Mailer):
    """Writes each e-mail to an ``.eml`` file, which appears complete or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def send(
        self,
        mail: Mail,
        *,
        timeout: float = SEND_TIMEOUT_SECONDS,
        start_lease_check: Callable[[], LeaseCheck] = skip_lease_check,
        while_waiting: Callable[[], object] = do_nothing,
    ) -> bool:
        require_valid(mail)
        if not start_lease_check()():
            return False
        try:
            self._write(mail)
        except OSError as error:
            raise MailerUnavailable(f"cannot write to DATA_DIR: {error.strerror}") from error
        return True

    def _write(self, mail: Mail) -> None:
        name = f"{time.time_ns()}-{mail.message_id.strip('<>').partition('@')[0]}"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._directory / f".{name}.partial"
        with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(mail.content.replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._directory / f"{name}.eml")
