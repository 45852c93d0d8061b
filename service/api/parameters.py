"""Parameters in path, query and headers: what is wrong with them, in words."""

from collections.abc import Iterable
from typing import Any

from service.api.context import AnyRequest
from service.domain.errors import Faults


def parameter_faults(request: AnyRequest, names: Iterable[str]) -> Faults:
    """What is wrong with the parameters of a handler that have these ``names`` in Python."""
    parameters = request.route_handler.parsed_fn_signature.parameters
    faults = Faults()
    for name in names:
        definition: Any = parameters[name].kwarg_definition
        faults.add(definition.name or name, _must_be(parameters[name], definition))
    return faults


def _must_be(parameter: Any, definition: Any) -> str:
    """In words, what the values of a parameter must be."""
    kind = next(option.annotation for option in [*parameter.inner_types, parameter] if not option.is_none_type)
    if definition.description:
        return f"must be {definition.description}"
    if issubclass(kind, int):
        return f"must be a whole number from {definition.ge} to {definition.le}"
    if issubclass(kind, str) and definition.max_length:
        return f"must have at most {definition.max_length} characters"
    return f"must be one of {', '.join(kind)}"
