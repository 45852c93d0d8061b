"""A browser before the pages of a link, without a script."""

import base64
import hashlib
import re
from http.cookies import SimpleCookie
from typing import Any

import httpx

from service.orgs.model import LOGO_SIGNATURES
from tests.support.api import JANE, Api

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

CHECKOUT = "https://shop.example/checkout?link={link_id}"
LOGO = f"data:image/png;base64,{base64.b64encode(LOGO_SIGNATURES['png'] + b'0' * 100).decode()}"


class Browser:
    """Looks at one link, follows where it is led to, and keeps cookies, unless it blocks them."""

    def __init__(self, api: Api, link: dict[str, Any], *, blocks_cookies: bool = False) -> None:
        self.api = api
        self.path = f"/pay/{link['id']}"
        self.blocks_cookies = blocks_cookies
        self.cookies: dict[str, tuple[str, str]] = {}
        """Values and paths, by name."""

    def open(self, path: str = "", **headers: str) -> httpx.Response:
        return self._send("GET", self.path + path, headers)

    def ask(self, **headers: str) -> httpx.Response:
        """The button for a code."""
        return self._send("POST", f"{self.path}/code", headers)

    def enter(self, otp: str, **hidden: str) -> httpx.Response:
        """The form for a code."""
        return self._send("POST", f"{self.path}/token", {}, {"otp": otp, **hidden})

    def enter_on(self, page: httpx.Response, otp: str) -> httpx.Response:
        """The form for a code as it stands on ``page``, with its hidden fields."""
        return self.enter(
            otp,
            **dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)),
        )

    def _send(
        self, method: str, path: str, headers: dict[str, str], data: dict[str, str] | None = None
    ) -> httpx.Response:
        sent = {
            name: value
            for name, (value, where) in self.cookies.items()
            if path == where or path.startswith(f"{where}/")
        }
        cookie = (
            {"Cookie": "; ".join(f"{name}={value}" for name, value in sent.items())} if sent else {}
        )
        client = self.api.client
        response = client.request(
            method, path, data=data, headers=BROWSER | headers | cookie, follow_redirects=False
        )
        client.cookies.clear()
        if not self.blocks_cookies:
            self._keep(response)
        return (
            self._send("GET", response.headers["location"], headers)
            if response.status_code == 303
            else response
        )

    def _keep(self, response: httpx.Response) -> None:
        for header in response.headers.get_list("set-cookie"):
            for name, cookie in SimpleCookie(header).items():
                self.cookies[name] = (cookie.value, cookie["path"])
                if cookie["max-age"] == "0":
                    del self.cookies[name]


def look(api: Api, link_id: str, **headers: str) -> httpx.Response:
    """The page, as a browser asks for it."""
    return api.client.get(f"/pay/{link_id}", headers=BROWSER | headers, follow_redirects=False)


def read(api: Api, link_id: str, **headers: str) -> httpx.Response:
    """The link, as a program asks for it."""
    return api.client.get(f"/pay/{link_id}", headers={"Accept": "application/json"} | headers)


def ask(api: Api, link: dict[str, Any], **headers: str) -> httpx.Response:
    """The button for a code."""
    return api.client.post(
        f"/pay/{link['id']}/code", headers=BROWSER | headers, follow_redirects=False
    )


def proof(api: Api, email: str = JANE) -> dict[str, str]:
    """A header that says that the mailbox is the visitor's."""
    token = api.customer(email)["Authorization"].partition(" ")[2]
    return {
        "Cookie": f"payment_link_token_{hashlib.sha256(email.encode()).hexdigest()[:16]}={token}"
    }


def error_of(page: httpx.Response) -> str:
    """What the page's form says is wrong."""
    [said] = re.findall(r'class="error" role="alert">([^<]+)<', page.text)
    return str(said)


def text_of(page: httpx.Response) -> str:
    """The page's words."""
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page.text))
