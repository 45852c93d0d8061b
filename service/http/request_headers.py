"""Headers of a request, read from the scope.

Litestar's own parsers cache up to 1,024 whole headers, whatever a client sends.
"""

from service.http.request import Connection


def header_values(connection: Connection, name: bytes) -> list[str]:
    """The values of all headers called ``name`` (in lower case), in their order."""
    return [value.decode("latin-1") for sent, value in connection.scope["headers"] if sent == name]


def cookie_value(connection: Connection, name: str) -> str | None:
    """The value of the first cookie called ``name``."""
    for line in header_values(connection, b"cookie"):
        for pair in line.split(";"):
            found, _, value = pair.strip().partition("=")
            if found == name:
                return value
    return None
