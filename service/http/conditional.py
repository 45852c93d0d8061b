"""Conditional requests: a link changes only if it is as the caller read it (RFC 9110, 13).

``If-Match`` is read from all headers of that name: a list may come in several.
"""

import re
from typing import Annotated

from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter

from service.errors import EtagInvalid
from service.http.request import Connection, header_values

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="`*` or strong entity tags, of which one must be that of the link as it is",
        schema_extra={"pattern": r'^(\*|"[!#-~]*"(, ?"[!#-~]*")*)$'},
    ),
]
ETAG_HEADER = ResponseHeader(
    "ETag",
    documentation_only=True,
    required=True,
    description="A strong entity tag, which changes with the link's version and status.",
)
_ETAG = r'"[!\x23-\x7e\x80-\xff]*"'
_ETAGS = re.compile(rf"[ \t,]*(?:{_ETAG}(?:[ \t]*,[ \t,]*{_ETAG})*[ \t,]*)?")
_FIND_ETAG = re.compile(_ETAG)


def read_if_match(connection: Connection) -> frozenset[str] | None:
    """The entity tags of ``If-Match``, with their quotes; None if any will do.

    An empty list matches nothing.

    Raises:
        EtagInvalid: it is something else, such as a weak tag, which can match nothing.
    """
    text = ", ".join(header_values(connection, b"if-match"))
    if not header_values(connection, b"if-match") or text.strip() == "*":
        return None
    if not _ETAGS.fullmatch(text):
        raise EtagInvalid
    return frozenset(_FIND_ETAG.findall(text))
