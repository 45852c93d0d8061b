"""Who is calling, and whether they may. Routes ask before the body is read."""

from service.auth.tokens import Admin, Role, is_customer_token, verify_admin
from service.context import AnyRequest, Connection, context_of
from service.errors import Forbidden, OtpRequired, TokenInvalid, TokenRequired, Unavailable
from service.http.headers import header_values
from service.http.parameters import check_query
from service.links.model import Link
from service.values.email import canonical


async def require_admin(request: AnyRequest) -> None:
    """Lets admins pass, and leaves who it is in ``request.user``.

    This is a route's ``before_request``, and so takes the place of the application's. For ``guards``, Litestar copies the handler
    at each request, which is a tenth of what a create costs.
    """
    await _identify(request)
    await check_query(request)


async def require_internal_admin(request: AnyRequest) -> None:
    """Lets internal admins pass, and no others."""
    await _identify(request)
    if request.user.role is not Role.INTERNAL_ADMIN:
        raise Forbidden("only an internal-admin may do this")
    await check_query(request)


def require_org(admin: Admin, org_id: str) -> None:
    """Lets pass who may act for the organization."""
    if not admin.may_act_for(org_id):
        raise Forbidden("the token is another organization's")


async def require_access(connection: Connection, link: Link) -> bool:
    """Lets pass who may read the link: everybody, or, where it is gated, its customer and admins of its organization.

    Returns:
        Whether it is an admin of its organization, who may read all of it.

    Raises:
        OtpRequired: there is no token.
        TokenInvalid: there is one, but no good one.
        Forbidden: it is somebody else's.
    """
    if not link.otp_required:
        return await _is_admin_of(connection, link.org_id)
    token = bearer_token(connection)
    if token is None:
        raise OtpRequired
    context = context_of(connection)
    is_admin = False
    try:
        allowed = context.customer_tokens.email(token, now=context.clock()) == canonical(link.email)
    except TokenInvalid:
        if is_customer_token(token):
            raise
        allowed = is_admin = (await _admin_of(connection, token)).may_act_for(link.org_id)
    if not allowed:
        raise Forbidden("the link was sent to somebody else")
    return is_admin


async def _is_admin_of(connection: Connection, org_id: str) -> bool:
    """Whether the request carries the token of an admin who may act for the organization."""
    try:
        token = bearer_token(connection)
        return (
            token is not None
            and not is_customer_token(token)
            and (await _admin_of(connection, token)).may_act_for(org_id)
        )
    except (TokenInvalid, Unavailable):
        return False


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


async def _identify(request: AnyRequest) -> None:
    token = bearer_token(request)
    if token is None:
        raise TokenRequired
    request.scope["user"] = await _admin_of(request, token)


async def _admin_of(connection: Connection, token: str) -> Admin:
    context = context_of(connection)
    key = await context.find_admin_key(token)
    return verify_admin(token, key, now=context.clock(), issuer=context.settings.admin_jwt_issuer)
