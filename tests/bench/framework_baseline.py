"""The baselines: the framework without the service, and the server without the framework.

``python -m tests.bench.framework_baseline litestar|asgi PORT PROCESSES`` serves one of them on
Granian, as ``payment-links web`` does.
"""

import sys
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar, get, post, put

from service.http.fields import Amount
from service.http.schemas import Problem
from service.links.link_body import DeliveryBody, LinkBody
from service.links.model import DeliveryState, Status
from service.links.schemas import Counts, CreateLink, LinkPage, Verification, VerifyLink
from service.otps.schemas import SubmitOtp
from service.process.server import serve

PAGE = 100


@cache
def body(number: int = 0) -> LinkBody:
    """A link as the service gives it."""
    link_id = f"pl_3f{number:022}"
    return LinkBody(
        id=link_id,
        url=f"https://pay.example.com/pay/{link_id}",
        org_id="acme",
        email=f"payer{number:08}@example.com",
        transaction_id=f"INV-2026-{number:06}",
        description=None,
        payment_amount=Decimal("125000.50"),
        currency="NGN",
        accept_partial=False,
        amount_paid=Decimal(0),
        amount_due=Decimal("125000.50"),
        status=Status.ACTIVE,
        otp_required=False,
        locale=None,
        scheduled_at=None,
        created_at="2026-11-23T09:30:15.123Z",
        expires_at="2026-11-26T09:30:15.123Z",
        revoked_at=None,
        paid_at=None,
        checkout_started_at=None,
        supersedes=None,
        superseded_by=None,
        version=0,
        delivery=DeliveryBody(
            state=DeliveryState.SENT,
            attempts=1,
            sends=1,
            sent_at="2026-11-23T09:30:17.123Z",
            error=None,
        ),
    )


PAGE_BODY = LinkPage(
    100_000,
    Counts(90_000, 8_000, 1_000, 1_000),
    [body(number) for number in range(PAGE)],
    "MTc5NTQ2Nzg2Nzk4Njpwbf8",
)
WRONG = Problem(
    title="Unauthorized",
    status=401,
    detail="the code is wrong, used or expired",
    code="otp_invalid",
)
GOOD = Verification(valid=True, status=Status.ACTIVE, link=body())


@get("/payment-links/{link_id:str}")
async def get_link(link_id: str) -> LinkBody:
    return body()


@post("/payment-links/verify", status_code=200)
async def verify_link(data: VerifyLink) -> Verification:
    return GOOD


@post("/payment-links")
async def create_link(data: CreateLink) -> LinkBody:
    return body()


@get("/orgs/{org_id:str}/payment-links")
async def list_links(org_id: str, limit: int) -> LinkPage:
    return PAGE_BODY


@put("/payment-links/otp", status_code=401)
async def submit_otp(data: SubmitOtp) -> Problem:
    return WRONG


def litestar() -> Litestar:
    """The framework, with handlers that take and give what ours do."""
    return Litestar(
        [get_link, verify_link, create_link, list_links, submit_otp],
        type_decoders=[(lambda kind: kind is Amount, lambda kind, value: kind(str(value)))],
        openapi_config=None,
        logging_config=None,
    )


def asgi() -> Any:
    """The server, with an application that reads requests and gives the same bytes."""
    link, page = msgspec.json.encode(body()), msgspec.json.encode(PAGE_BODY)
    headers = [(b"content-type", b"application/json")]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        content = page if scope["path"].startswith("/orgs/") else link
        while scope["method"] != "GET" and (await receive()).get("more_body"):
            pass
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": content})

    return application


if __name__ == "__main__":
    serve(
        f"tests.bench.framework_baseline:{sys.argv[1]}",
        host="127.0.0.1",
        port=int(sys.argv[2]),
        processes=int(sys.argv[3]),
    )
