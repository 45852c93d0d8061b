"""Limits of a request's target and headers (RFC 9110, RFC 9112), checked before any parsing."""

import re
from typing import Any

from service.http.problems import CODES, problem
from service.http.responses import JsonResponse

MAX_TARGET_BYTES = 8 * 1024
"""Limits path and query together. RFC 9112, 3, recommends at least 8,000."""
MAX_PATH_BYTES = 2048
"""Limits the path: ours have at most 1,610, with a payment's id of 128 characters that take 12 each
in percent-encoding, and Litestar caches the last 1,024 of any length."""
MAX_PARAMETERS = 100
MAX_HEADERS_BYTES = 16 * 1024
"""Limits all header lines together."""
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|([A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(:[0-9]*)?")
"""uri-host [ ":" port ] (RFC 9110, 7.2); in http URLs the host is not empty."""

CLOSE = {"Connection": "close"}
BAD_HOST = problem(
    400, CODES[400], "a request names the host it is for, once: Host: pay.example.com", CLOSE
)
TARGET_TOO_LONG = problem(
    414, CODES[414], "the address is longer than 8 KiB, or has more than 100 parameters", CLOSE
)
NOT_FOUND = problem(404, CODES[404], "there is nothing here")
HEADERS_TOO_LARGE = problem(431, CODES[431], "all headers together are larger than 16 KiB", CLOSE)


def find_head_problem(scope: Any) -> JsonResponse[Any] | None:
    """The problem of a request whose head breaks a limit; None if it breaks none."""
    path_bytes = len(scope["raw_path"].partition(b"?")[0])
    if (
        path_bytes + len(scope["query_string"]) > MAX_TARGET_BYTES
        or scope["query_string"].count(b"&") >= MAX_PARAMETERS
    ):
        return TARGET_TOO_LONG
    if (
        sum([len(name) + len(value) + len(b": \r\n") for name, value in scope["headers"]])
        > MAX_HEADERS_BYTES
    ):
        return HEADERS_TOO_LARGE
    if not _names_one_host(scope):
        return BAD_HOST
    return NOT_FOUND if path_bytes > MAX_PATH_BYTES else None


def _names_one_host(scope: Any) -> bool:
    """Whether the request has one valid ``Host`` (RFC 9112, 3.2). In HTTP/1.0 it may have none.

    If the target is a whole URL and there is no ``Host``, the server passes the target's host.
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    has_none = hosts in ([], [b""])  # Granian passes an empty one
    if has_none and scope["http_version"] in {"1", "1.0"}:
        return True
    return len(hosts) == 1 and HOST.fullmatch(hosts[0]) is not None
