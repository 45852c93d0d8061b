"""Headers: those of a request, read from the scope, and the policy of pages.

Litestar's own parsers cache up to 1,024 whole headers, whatever a client sends.
"""

from service.http.request import Connection

PAGE_SOURCES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


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


def content_security_policy(**sources: str) -> dict[str, str]:
    """The header of a page that loads only its own files, with other ``sources`` where given.

    ``script_src="'none'"`` sets the directive ``script-src``.
    """
    directives = PAGE_SOURCES | {name.replace("_", "-"): value for name, value in sources.items()}
    policy = "; ".join(f"{name} {value}" for name, value in directives.items())
    return {"Content-Security-Policy": policy}
