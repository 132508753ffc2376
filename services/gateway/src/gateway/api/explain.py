"""What exactly is wrong with the form of this request? Every problem at once, in the contract's words, and never the value itself.

This is the slow path: the fast decoder has already said no. Both walk the same shape, and a property test holds them in agreement.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final, cast

from gateway.api.json_text import join
from gateway.api.problems import Wrong
from gateway.api.shape import Choice, Flag, Many, Node, Number, Record, Text, Whole

MOST_PROBLEMS: Final = 50
LONGEST_NAME: Final = 40
CLOSE_ENOUGH: Final = 0.75  # of difflib's ratio: `licence_yeers` is `licence_years`, and `sex` is not `use`
CONSENT: Final = "consent"


def problems(shape: Record, value: Any) -> list[Wrong]:
    """Everything in which a JSON value departs from a shape; nothing when it does not."""
    homes = {name: loc for loc, name in _homes("", shape)}
    return list(islice(_record(shape, "", value, homes), MOST_PROBLEMS))  # lazily: a hostile body has thousands


def _homes(loc: str, shape: Record) -> Iterator[tuple[str, str]]:
    """(place, name) of every field of a shape, for "it belongs there"."""
    for name, node in shape.fields.items():
        yield join(loc, name), name
        if isinstance(node, Record):
            yield from _homes(join(loc, name), node)


def _record(shape: Record, loc: str, value: Any, homes: Mapping[str, str]) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield Wrong(loc or "body", "must be an object")
        return
    for name in value:
        if name not in shape.fields:
            yield Wrong(join(loc, name), _stranger(name, shape, homes))
    for name in sorted(shape.required - value.keys()):
        yield Wrong(join(loc, name), 'must be true: send `"consent": true`' if name == CONSENT else "is required")
    for name, node in shape.fields.items():
        if name in value:
            yield from _node(node, join(loc, name), value[name], homes)


def _stranger(name: str, shape: Record, homes: Mapping[str, str]) -> str:
    if (home := homes.get(name)) is not None:
        return f"does not belong here, but at `{home}`"
    near = _nearest(name, shape.fields) or [homes[n] for n in _nearest(name, homes)]
    return f"is not a field of the contract; did you mean `{near[0]}`?" if near else "is not a field of the contract"


def _nearest(text: str, of: Iterable[str]) -> list[str]:
    return get_close_matches(text[:LONGEST_NAME], list(of), 1, CLOSE_ENOUGH)


def _node(node: Node, loc: str, value: Any, homes: Mapping[str, str]) -> Iterable[Wrong]:
    if isinstance(node, Record):
        return _record(node, loc, value, homes)
    if isinstance(node, Many):
        return _many(node, loc, value)
    message = _CHECKS[type(node)](node, value)
    return [] if message is None else [Wrong(loc, message)]


def _many(node: Many, loc: str, value: Any) -> Iterator[Wrong]:
    if not isinstance(value, list):
        yield Wrong(loc, "must be a list of texts")
        return
    if not 1 <= len(value) <= node.most:
        yield Wrong(loc, f"must have 1 to {node.most} entries")
    for i, item in enumerate(value[: node.most]):
        if (message := _text(node.item, item)) is not None:
            yield Wrong(f"{loc}[{i}]", message)


def _whole(node: Whole, value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and node.minimum <= value <= node.maximum:
        return None
    return f"must be a whole number from {node.minimum} to {node.maximum}"


def _number(node: Number, value: Any) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and node.minimum <= value <= node.maximum:  # false for NaN, too
        return None
    return f"must be a number from {node.minimum:g} to {node.maximum:g}"


def _flag(node: Flag, value: Any) -> str | None:
    if value is True or (value is False and not node.must):
        return None
    return "must be true" if node.must else "must be true or false"


def _choice(node: Choice, value: Any) -> str | None:
    if isinstance(value, str) and value in node.values:
        return None
    near = _nearest(value, node.values) if isinstance(value, str) else []
    return f"must be one of {', '.join(node.values)}" + (f"; did you mean `{near[0]}`?" if near else "")


def _text(node: Text, value: Any) -> str | None:
    if isinstance(value, str) and re.fullmatch(node.pattern.removesuffix("$"), value):
        return None
    return f"must be a text that matches {node.pattern}"


_CHECKS: Final = cast(
    "Mapping[type[Node], Callable[[Any, Any], str | None]]",
    {Whole: _whole, Number: _number, Flag: _flag, Choice: _choice, Text: _text},
)
