"""What a request's head must be like, whatever it asks for (RFC 9112)."""

import re
from typing import Any

from service.api.problems import CODES, problem

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(:[0-9]*)?")
"""uri-host [ ":" port ] (RFC 9110, 7.2), of http: where the host may not be empty."""
HTTP_1_0 = {"1", "1.0"}
BAD_HOST = problem(400, CODES[400], "a request names the host it is for, once: Host: pay.example.com", {"Connection": "close"})


def names_one_host(scope: Any) -> bool:
    """Whether the request may be served by its ``Host`` (RFC 9112, 3.2). Only HTTP/1.0 does without one.

    Of a request whose target is a whole URL and that has no ``Host``, the server gives us the target's.
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if scope["http_version"] in HTTP_1_0 and hosts in ([], [b""]):  # the server's way to say that there is none
        return True
    return len(hosts) == 1 and HOST.fullmatch(hosts[0]) is not None
