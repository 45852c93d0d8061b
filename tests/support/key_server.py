"""An identity provider's key set (RFC 7517), served over HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import jwt

from tests.support.signing import private_key


class KeyServer:
    """Serves a key set, and counts how often it is fetched."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.status = 200
        self.body: bytes | None = None
        """What is served instead of the keys."""
        self.headers: dict[str, str] = {}
        self.drip = 0.0
        """Seconds between two bytes, of the headers too."""
        self.fetches = 0
        self.url = ""
        self.stopping = Event()

    def add(self, algorithm: str, kid: str | None, **members: Any) -> None:
        algorithms: dict[str, Any] = {
            "RS256": jwt.algorithms.RSAAlgorithm,
            "ES256": jwt.algorithms.ECAlgorithm,
            "EdDSA": jwt.algorithms.OKPAlgorithm,
        }
        jwk = json.loads(algorithms[algorithm].to_jwk(private_key(algorithm).public_key()))
        jwk.pop("key_ops", None)
        self.keys.append(jwk | ({} if kid is None else {"kid": kid}) | members)


@contextmanager
def served(state: KeyServer) -> Iterator[KeyServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.fetches += 1
            body = json.dumps({"keys": state.keys}).encode() if state.body is None else state.body
            if state.drip:
                self._drip(b"HTTP/1.1 200 OK\r\n\r\n" + body)
                return
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _drip(self, answer: bytes) -> None:
            with suppress(OSError):
                for byte in answer:
                    self.wfile.write(bytes([byte]))
                    if state.stopping.wait(state.drip):
                        return

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            state.stopping.set()
            server.shutdown()
            thread.join()
