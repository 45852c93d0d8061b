"""Who is calling, and whether they may. Routes ask before the body is read."""

from service.api.context import AnyRequest, Connection, context_of, header_values
from service.domain.email import canonical
from service.domain.errors import Forbidden, OtpRequired, TokenInvalid, TokenRequired, Unavailable
from service.domain.link import Link
from service.domain.tokens import Admin, Role, is_customer_token, verify_admin


async def require_admin(request: AnyRequest) -> None:
    """Lets admins pass, and leaves who it is in ``request.user``."""
    token = bearer_token(request)
    if token is None:
        raise TokenRequired
    request.scope["user"] = await _admin_of(request, token)


async def require_internal_admin(request: AnyRequest) -> None:
    """Lets internal admins pass, and no others."""
    await require_admin(request)
    if request.user.role is not Role.INTERNAL_ADMIN:
        raise Forbidden("only an internal-admin may do this")


def require_org(admin: Admin, org_id: str) -> None:
    """Lets pass who may act for the organization."""
    if not admin.may_act_for(org_id):
        raise Forbidden("the token is another organization's")


async def require_access(connection: Connection, link: Link) -> None:
    """Lets pass who may read a gated link: its customer, and admins of its organization.

    Raises:
        OtpRequired: there is no token.
        TokenInvalid: there is one, but no good one.
        Forbidden: it is somebody else's.
    """
    token = bearer_token(connection)
    if token is None:
        raise OtpRequired
    context = context_of(connection)
    try:
        allowed = context.customer_tokens.email(token, now=context.clock()) == canonical(link.email)
    except TokenInvalid:
        if is_customer_token(token):
            raise
        allowed = (await _admin_of(connection, token)).may_act_for(link.org_id)
    if not allowed:
        raise Forbidden("the link was sent to somebody else")


async def has_access(connection: Connection, link: Link) -> bool:
    """Whether ``require_access`` would let pass."""
    try:
        await require_access(connection, link)
    except (OtpRequired, TokenInvalid, Forbidden, Unavailable):
        return False
    return True


def bearer_token(connection: Connection) -> str | None:
    """The token of the Authorization header (RFC 6750, 2.1).

    Raises:
        TokenInvalid: the header holds something else, or comes more than once.
    """
    headers = header_values(connection, b"authorization")
    if not headers:
        return None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip(" "):
        raise TokenInvalid("Authorization must be, and once: Bearer <token>")
    return token.strip(" ")


async def _admin_of(connection: Connection, token: str) -> Admin:
    context = context_of(connection)
    key = await context.find_admin_key(token)
    return verify_admin(token, key, now=context.clock(), issuer=context.admin_issuer)
