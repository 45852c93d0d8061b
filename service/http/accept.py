"""Content negotiation (RFC 9110, 12.5.1) where there are two representations: a page, and JSON for programs."""

import re

PAGE_TYPES = ("text/html", "application/xhtml+xml")
JSON_TYPES = ("application/json", "application/problem+json")
MAX_HEADER = 1000
"""Characters of ``Accept`` that are read."""
_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def prefers_json(accept: str) -> bool:
    """Whether ``accept`` names JSON, and gives a page less weight, or as much by a wildcard only.

    Wildcards do not name JSON: link previews, like ``curl``, send ``*/*`` or nothing.
    """
    weights = _weights(accept)
    json = max(weights.get(name, 0.0) for name in JSON_TYPES)
    named = [weights[name] for name in PAGE_TYPES if name in weights]
    page = max(named) if named else weights.get("text/*", weights.get("*/*", 0.0))
    return json > 0 and (json > page or (json == page and not named))


def _weights(accept: str) -> dict[str, float]:
    """The media ranges of ``accept``; a malformed one is ignored."""
    weights: dict[str, float] = {}
    for part in accept[:MAX_HEADER].split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        found = next(
            (parameter for parameter in parameters if parameter[:2] in {"q=", "Q="}), "q=1"
        )
        if weight := _WEIGHT.fullmatch(found):
            weights[name.lower()] = max(float(weight[1]), weights.get(name.lower(), 0.0))
    return weights
