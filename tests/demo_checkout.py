"""A checkout to begin an integration with: ``python -m tests.demo_checkout``. It takes no money.

``ADMIN_TOKEN`` is an admin token of the organization, ``SERVICE_URL`` the service, whose
``CHECKOUT_URL`` is ``http://127.0.0.1:9000/?link={link_id}``.
"""

import os
import secrets
import time
from contextlib import suppress
from decimal import Decimal
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import msgspec

RETRY_PAUSES_SECONDS = (0, 1, 2, 4, 8)
HEAD = '<!doctype html><title>Demo checkout</title><link rel="icon" href="data:,">'
ENCODER = msgspec.json.Encoder(decimal_format="number")
"""Amounts are decimals: floats would lose cents."""


class Link(msgspec.Struct):
    id: str
    url: str
    status: str
    amount_due: Decimal | None
    currency: str | None


class Checkout(BaseHTTPRequestHandler):
    service: httpx.Client
    charges: dict[str, Link] = {}  # noqa: RUF012 - where a real checkout has a database
    """The link as it was shown, by the id of the payment that its customer is about to make."""

    def do_GET(self) -> None:
        """Shows what the service says is due: anybody can change the address of this page."""
        link_id = parse_qs(urlsplit(self.path).query).get("link", [""])[0]
        answer = self.service.get(f"/payment-links/{quote(link_id, safe='')}")
        if answer.status_code != 200:
            return self._answer(404, "There is no such link.")
        link = msgspec.json.decode(answer.content, type=Link)
        if link.status != "active" or link.amount_due is None:
            return self._answer(303, Location=link.url)  # the page says what became of it
        payment_id = f"demo-{secrets.token_hex(8)}"
        self.charges[payment_id] = link
        due = escape(f"{link.amount_due:f} {link.currency or ''}")
        button = f'<button name="payment_id" value="{payment_id}">Pay {due}</button>'
        return self._answer(200, f'<form method="post">{button}</form>')

    def do_POST(self) -> None:
        """Takes the money, records it, and sends the customer back to the link's page."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        payment_id = form.get("payment_id", [""])[0]
        if link := self.charges.get(payment_id):
            # Here a real checkout charges the card, with the same id: once, however often.
            answer = self._record(link, payment_id=payment_id, amount=link.amount_due)
            return self._answer(303, Location=link.url) if answer else self._answer(503, "Wait.")
        return self._answer(404, "This payment is not known.")

    def _record(self, link: Link, **payment: Any) -> bool:
        """Tries until the service answers. It records a payment once, however often it is sent."""
        body = ENCODER.encode(payment | {"currency": link.currency, "method": "demo"})
        path, headers = f"/payment-links/{link.id}/payments", {"Content-Type": "application/json"}
        for pause in RETRY_PAUSES_SECONDS:
            time.sleep(pause)
            with suppress(httpx.TransportError):
                if self.service.post(path, content=body, headers=headers).is_success:
                    return True
        return False

    def _answer(self, status: int, content: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "text/html; charset=utf-8"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(f"{HEAD}{content}".encode())


if __name__ == "__main__":
    Checkout.service = httpx.Client(
        base_url=os.environ.get("SERVICE_URL", "http://127.0.0.1:8000"),
        headers={"Authorization": f"Bearer {os.environ['ADMIN_TOKEN']}"},
    )
    port = int(os.environ.get("PORT", "9000"))
    with suppress(KeyboardInterrupt), ThreadingHTTPServer(("127.0.0.1", port), Checkout) as server:
        server.serve_forever()
