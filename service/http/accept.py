"""Content negotiation (RFC 9110, 12.5.1) between a page, and JSON for programs."""

import re

PAGE_TYPES = ("text/html", "application/xhtml+xml")
JSON_TYPES = ("application/json", "application/problem+json")
MAX_ACCEPT_HEADER_CHARACTERS = 1000
"""The rest of a longer ``Accept`` is ignored."""
_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def prefers_json(accept: str) -> bool:
    """Whether ``accept`` names JSON, and prefers it to a page.

    A page with the same weight is preferred if it is named, not if a wildcard covers it. Wildcards
    do not name JSON: link previews, like ``curl``, send ``*/*`` or nothing.
    """
    weights = _weights(accept)
    json = max(weights.get(name, 0.0) for name in JSON_TYPES)
    named = [weights[name] for name in PAGE_TYPES if name in weights]
    page = max(named) if named else weights.get("text/*", weights.get("*/*", 0.0))
    return json > 0 and (json > page or (json == page and not named))


def _weights(accept: str) -> dict[str, float]:
    """The weight of each media range in ``accept``. Malformed ranges are ignored."""
    weights: dict[str, float] = {}
    for part in accept[:MAX_ACCEPT_HEADER_CHARACTERS].split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next(
            (parameter for parameter in parameters if parameter[:2] in {"q=", "Q="}), "q=1"
        )
        if weight := _WEIGHT.fullmatch(quality):
            weights[name.lower()] = max(float(weight[1]), weights.get(name.lower(), 0.0))
    return weights
