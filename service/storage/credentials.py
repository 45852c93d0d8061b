"""The login at Redis: a password from the URL, or from a file that may change."""

from pathlib import Path
from typing import Any, NamedTuple

import redis
from redis.credentials import CredentialProvider


class PasswordFileError(redis.ConnectionError):
    """The file of the password cannot be read, or is empty."""


class Credentials(NamedTuple):
    """A user, and a password or the file of one. Without a user, the default one logs in."""

    user: str | None
    password: str | None
    password_file: Path | None

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of redis-py's connections; empty where nobody logs in."""
        if self.password_file is not None:
            return {"credential_provider": PasswordFile(self.password_file, self.user)}
        options = {"username": self.user, "password": self.password}
        return {name: value for name, value in options.items() if value}


class PasswordFile(CredentialProvider):
    """Reads the password anew for each connection, so that it may be rotated at any time."""

    def __init__(self, file: Path, user: str | None) -> None:
        self._file = file
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """The password, without the line break at its end, after the user if there is one.

        Raises:
            PasswordFileError: the file cannot be read, or is empty.
        """
        password = self._read()
        return (self._user, password) if self._user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()

    def _read(self) -> str:
        try:
            password = self._file.read_text().rstrip("\r\n")
        except OSError as error:
            raise PasswordFileError(f"password_file: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PasswordFileError("password_file: not text") from None
        if not password:
            raise PasswordFileError("password_file: empty")
        return password
