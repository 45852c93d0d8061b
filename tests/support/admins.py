"""Admins of services that are started with ``SECRET``."""

from datetime import UTC, datetime, timedelta

import httpx

from service.auth.tokens import Admin, Role, issue_admin_token
from tests.support.service_processes import SECRET


def admin_token(
    role: Role = Role.INTERNAL_ADMIN,
    org_id: str | None = None,
    lifetime: timedelta = timedelta(hours=1),
) -> str:
    return issue_admin_token(
        SECRET.encode(), Admin("tests", role, org_id), now=datetime.now(UTC), lifetime=lifetime
    )


def as_admin(lifetime: timedelta = timedelta(hours=1)) -> dict[str, str]:
    """The header of an internal admin's requests."""
    return {"Authorization": f"Bearer {admin_token(lifetime=lifetime)}"}


def admin_of(url: str) -> httpx.Client:
    """An internal admin who asks the service at ``url``."""
    return httpx.Client(base_url=url, headers=as_admin(), timeout=30)
