"""The Content Security Policy of pages."""

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


def content_security_policy(**sources: str) -> dict[str, str]:
    """The header of a page that loads only its own files, with other ``sources`` where given.

    ``script_src="'none'"`` sets the directive ``script-src``.
    """
    directives = PAGE_SOURCES | {name.replace("_", "-"): value for name, value in sources.items()}
    return {
        "Content-Security-Policy": "; ".join(
            f"{name} {value}" for name, value in directives.items()
        )
    }
