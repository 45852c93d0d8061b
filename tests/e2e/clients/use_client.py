"""Creates a payment link, changes it, verifies it and saves its QR code."""

import sys
from pathlib import Path

from payment_link_service_client import AuthenticatedClient, Client
from payment_link_service_client.api.payment_links import (
    create_link,
    get_qr,
    update_link,
    verify_link,
)
from payment_link_service_client.models import (
    CreateLink,
    LinkBody,
    QrFormat,
    UpdateLink,
    Verification,
    VerifyLink,
)
from payment_link_service_client.types import File


def main(url: str, token: str, picture: str) -> None:
    admin, public = AuthenticatedClient(base_url=url, token=token), Client(base_url=url)
    body = CreateLink(
        email="jane@example.com", org_id="acme", payment_amount=125000.5, currency="NGN"
    )
    link = create_link.sync(client=admin, body=body)
    assert isinstance(link, LinkBody), link
    changed = update_link.sync(
        link.id, client=admin, body=UpdateLink(description="Cleaning"), if_match='"0-active"'
    )
    assert isinstance(changed, LinkBody), changed
    assert (changed.description, changed.payment_amount) == ("Cleaning", 125000.5)
    verification = verify_link.sync(client=admin, body=VerifyLink(link.id))
    assert isinstance(verification, Verification), verification
    assert verification.valid
    code = get_qr.sync(link.id, client=public, format_=QrFormat.PNG, size=512)
    assert isinstance(code, File), code
    Path(picture).write_bytes(code.payload.read())
    sys.stdout.write(verification.link.url)


main(*sys.argv[1:])
