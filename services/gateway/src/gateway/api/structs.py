"""How is a request read in one pass? msgspec structs made from the shape decode and validate together, a few microseconds each."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.api.shape import Choice, Flag, Many, Node, Number, Record, Text, Whole


def struct_of(shape: Record) -> type[msgspec.Struct]:
    """A struct that accepts what the shape accepts, except for what no type can say: see `request.Reader`."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, node in shape.fields.items():
        kind = _type_of(node)
        fields.append((name, kind) if name in shape.required else (name, kind | UnsetType, UNSET))
    return msgspec.defstruct(shape.name, fields, forbid_unknown_fields=True, frozen=True, gc=False, kw_only=True)


def _type_of(node: Node) -> Any:  # noqa: PLR0911 -- one for each kind
    match node:
        case Record():
            return struct_of(node)
        case Whole(minimum, maximum):
            return Annotated[int, Meta(ge=minimum, le=maximum)]
        case Number(minimum, maximum):
            return Annotated[float, Meta(ge=minimum, le=maximum)]
        case Flag():
            return bool
        case Choice(values):
            return Literal[values]
        case Text():
            return _text(node)
        case Many(item, most):
            return Annotated[list[_text(item)], Meta(min_length=1, max_length=most)]  # type: ignore[misc]


def _text(node: Text) -> Any:
    return Annotated[str, Meta(pattern=_END.join(node.pattern.rsplit("$", 1)))]


_END: Final = r"\Z"  # Python's `$` would let a line break pass
