"""What every command does first: read the settings, and refuse those that no process could serve."""

from collections.abc import Mapping

from config.settings import Settings, SettingsError, load
from service.domain.tokens import load_public_key


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings that ``environ`` gives.

    Raises:
        SettingsError: a variable is missing or wrong, or names a key that admin tokens cannot be signed with.
    """
    settings = load(environ)
    if settings.admin_jwt_public_key is not None:
        try:
            load_public_key(settings.admin_jwt_public_key)
        except ValueError as error:
            raise SettingsError(f"ADMIN_JWT_PUBLIC_KEY: {error}") from None
    return settings
