"""Parameters of paths, queries and headers: their types, and the faults of their values."""

from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter, QueryParameter

from service.errors import MAX_QUOTED_NAME_CHARACTERS, Faults
from service.http.request import AnyRequest
from service.values.ids import LINK_ID_PATTERN, ORG_ID_PATTERN, ORG_ID_RULE

PathLinkId = Annotated[str, PathParameter(schema_extra={"pattern": f"^{LINK_ID_PATTERN}$"})]
PathOrgId = Annotated[str, PathParameter(pattern=f"^{ORG_ID_PATTERN}$", description=ORG_ID_RULE)]
MAX_VALUE_CHARACTERS = 128
"""Limits any parameter's value; the longest is a cursor."""
PageLimit = Annotated[int, QueryParameter(ge=1, le=1000)]
PageCursor = Annotated[
    str | None,
    QueryParameter(
        min_length=1, max_length=MAX_VALUE_CHARACTERS, description="the next_cursor of a page"
    ),
]
IGNORE_QUERY = {"ignore_query": True}
"""``opt`` of a page: others add parameters to links (``?fbclid=``)."""


async def check_query(request: AnyRequest) -> None:
    """Refuses parameters that the route would ignore.

    Routes that the API's description leaves out, and those with ``IGNORE_QUERY``, accept any.

    Raises:
        Invalid: a parameter is unknown, comes twice, or is null.
    """
    if not request.scope["query_string"]:
        return
    known = _known_parameters(request.route_handler)
    if known is None:
        return
    faults = Faults()
    for name, values in request.query_params.dict().items():
        if name not in known:
            faults.add(name[:MAX_QUOTED_NAME_CHARACTERS], "is not a known parameter")
        elif len(values) > 1:
            faults.add(name, "must not be given twice")
        elif values == ["null"]:  # Litestar would read it as a missing parameter
            faults.add(name, "must not be null")
    if faults.found or any(
        len(value) > MAX_VALUE_CHARACTERS for value in request.query_params.values()
    ):
        # Litestar would do so later, but it caches the last 1,024 queries that it has parsed.
        _check_values(request, faults)
    faults.raise_if_any()


def describe_invalid_parameters(handler: HTTPRouteHandler, names: Iterable[str]) -> Faults:
    """The faults of parameters with values of the wrong type. ``names`` are those in Python."""
    parameters = handler.parsed_fn_signature.parameters
    faults = Faults()
    for name in names:
        definition: Any = parameters[name].kwarg_definition
        faults.add(definition.name or name, _describe_rule(parameters[name], definition))
    return faults


def _check_values(request: AnyRequest, faults: Faults) -> None:
    """Adds the faults of values: Litestar checks them only if all names are known."""
    sent, wrong = {**request.query_params, **request.path_params}, []
    for name, kind in request.route_handler.signature_model.__annotations__.items():
        try:
            if name in sent:
                msgspec.convert(sent[name], kind, strict=False)
        except msgspec.ValidationError:
            wrong.append(name)
    faults.found += [
        fault
        for fault in describe_invalid_parameters(request.route_handler, wrong).found
        if fault.field not in faults
    ]


@cache
def _known_parameters(handler: HTTPRouteHandler) -> set[str] | None:
    """Names of the parameters that the handler reads from the query; None for a page."""
    if not handler.resolve_include_in_schema() or handler.opt.get("ignore_query"):
        return None
    return {
        field.name
        for field in handler.parsed_fn_signature.parameters.values()
        if isinstance(field.kwarg_definition, QueryParameter)
    }


def _describe_rule(parameter: Any, definition: Any) -> str:
    """The rule for a parameter's values, as a message."""
    kind = next(
        option.annotation
        for option in [*parameter.inner_types, parameter]
        if not option.is_none_type
    )
    if definition.description:
        return f"must be {definition.description}"
    if issubclass(kind, int):
        return f"must be a whole number from {definition.ge} to {definition.le}"
    if issubclass(kind, str) and definition.max_length:
        return f"must have at most {definition.max_length} characters"
    return f"must be one of {', '.join(kind)}"
