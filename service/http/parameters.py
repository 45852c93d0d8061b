"""Parameters in path, query and headers: which there are, and what is wrong with them, in words."""

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
MAX_VALUE = 128
"""Characters of the longest value that any parameter has, which is a cursor."""
PAGE = {"page": True}
"""``opt`` of a route whose query is nobody's business: people add to the addresses of pages (``?fbclid=``)."""


async def check_query(request: AnyRequest) -> None:
    """Refuses a query that would be ignored, in part or whole. Pages, which are not described or marked ``PAGE``, take any.

    Raises:
        Invalid: a parameter is not the route's, comes twice, or is null.
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
        elif values == ["null"]:  # which Litestar takes for a parameter left out
            faults.add(name, "must not be null")
    if faults.found or any(len(value) > MAX_VALUE for value in request.query_params.values()):
        _check_values(
            request, faults
        )  # before Litestar does, which remembers the last 1,024 queries that it read
    faults.raise_if_any()


def parameter_faults(handler: HTTPRouteHandler, names: Iterable[str]) -> Faults:
    """The faults of the handler's parameters that have these ``names`` in Python, and values that it does not take."""
    parameters = handler.parsed_fn_signature.parameters
    faults = Faults()
    for name in names:
        definition: Any = parameters[name].kwarg_definition
        faults.add(definition.name or name, _must_be(parameters[name], definition))
    return faults


def _check_values(request: AnyRequest, faults: Faults) -> None:
    """Adds the faults of values, which Litestar checks only where the names are right."""
    sent, wrong = {**request.query_params, **request.path_params}, []
    for name, kind in request.route_handler.signature_model.__annotations__.items():
        try:
            if name in sent:
                msgspec.convert(sent[name], kind, strict=False)
        except msgspec.ValidationError:
            wrong.append(name)
    faults.found += [
        fault
        for fault in parameter_faults(request.route_handler, wrong).found
        if fault.field not in faults
    ]


@cache
def _known_parameters(handler: HTTPRouteHandler) -> set[str] | None:
    """The names of the parameters that the handler reads from the query; None where it is a page."""
    if not handler.resolve_include_in_schema() or handler.opt.get("page"):
        return None
    parameters = handler.parsed_fn_signature.parameters.values()
    return {
        field.name for field in parameters if isinstance(field.kwarg_definition, QueryParameter)
    }


def _must_be(parameter: Any, definition: Any) -> str:
    """In words, what the values of a parameter must be."""
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
