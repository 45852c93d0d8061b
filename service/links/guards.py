"""Who may read a link."""

from service.auth.guards import admin_of, bearer_token
from service.auth.tokens import is_customer_token
from service.errors import Forbidden, OtpRequired, TokenInvalid, Unavailable
from service.http.request import Connection, context_of
from service.links.model import Link


async def require_access(connection: Connection, link: Link) -> bool:
    """Admits anyone; to a gated link, only its customer and admins of its organization.

    Returns:
        Whether the caller is an admin of its organization, who may read all of it.

    Raises:
        OtpRequired: there is no token.
        TokenInvalid: the token is not valid.
        Forbidden: it is another customer's, or another organization's.
    """
    if not link.otp_required:
        return await _is_admin_of(connection, link.org_id)
    token = bearer_token(connection)
    if token is None:
        raise OtpRequired
    context = context_of(connection)
    is_admin = False
    try:
        email = context.customer_tokens.verify(token, now=context.clock())
        allowed = email == link.recipient
    except TokenInvalid:
        if is_customer_token(token):
            raise
        allowed = is_admin = (await admin_of(connection, token)).may_act_for(link.org_id)
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
            and (await admin_of(connection, token)).may_act_for(org_id)
        )
    except (TokenInvalid, Unavailable):
        return False
