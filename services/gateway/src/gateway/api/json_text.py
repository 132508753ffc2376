"""Is this text JSON as we take it? Stricter than most parsers: no duplicate keys, no NaN, no deep nesting, UTF-8 only.

`parse` is the slow path, taken when the fast decoder has refused a body or when a key may stand twice.
"""

import json
import math
import re
from collections import Counter
from typing import Any, Final

from gateway.api.problems import Code, Refusal, Wrong

DEEPEST: Final = 16  # a request needs 3
MOST_FLAWS: Final = 50
LONGEST_NUMBER: Final = 40  # digits; longer ones are read as floats

# An unfinished string goes to the end of the text, and nothing is tried twice: the time stays linear whatever is sent.
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)', re.DOTALL)
_KEY: Final = re.compile(rb'"[^"\\]*"[ \t\r\n]*:')  # one match a key, as long as no backslash is about
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_NOT_A_NUMBER: Final = object()

REPEATED: Final = "stands twice"
NOT_FINITE: Final = "must be a number; NaN and Infinity are none"


class _Repeats(dict[str, Any]):
    """An object in which these keys stood more than once."""

    repeated: tuple[str, ...] = ()


def has_other_keys(body: bytes, distinct: int) -> bool:
    """Whether a JSON text that was read as so many `distinct` keys may have another that was lost: only `parse` can tell.

    Every key is followed by a colon, so with as many colons there is no other; a colon may also stand in a text, and is looked at.
    """
    return b"\\" in body or (body.count(b":") != distinct and len(_KEY.findall(body)) != distinct)


def printable(name: str) -> str:
    """A key as it may stand in an answer: a name is shown, anything else might be somebody's data."""
    return name if _NAME.fullmatch(name) else "(unnamed)"


def join(loc: str, name: str) -> str:
    """The place of a field below a place."""
    return f"{loc}.{printable(name)}" if loc else printable(name)


def parse(body: bytes) -> Any:
    """The value of a body. Raises `Refusal` with 400; the refusal names the field where there is one."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Refusal(Code.BAD_JSON, "The body is not UTF-8.") from None
    if _depth(text) > DEEPEST:
        raise Refusal(Code.BAD_JSON, f"The body is nested more than {DEEPEST} deep.")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=lambda _: _NOT_A_NUMBER, parse_int=_whole)
    except ValueError as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refusal(Code.BAD_JSON, f"The body is not JSON{where}.") from None
    if wrong := _flaws("", value):
        raise Refusal(Code.BAD_JSON, "The body is not acceptable JSON.", tuple(wrong[:MOST_FLAWS]))
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    marked = _Repeats(value)
    marked.repeated = tuple(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return marked


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_NUMBER else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _depth(text: str) -> int:
    deepest = depth = 0
    for char in _STRING.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _flaws(loc: str, value: Any) -> list[Wrong]:
    if value is _NOT_A_NUMBER:
        return [Wrong(loc or "body", NOT_FINITE)]
    if isinstance(value, list):
        return [flaw for i, item in enumerate(value) for flaw in _flaws(f"{loc or 'body'}[{i}]", item)]
    if not isinstance(value, dict):
        return []
    repeated = value.repeated if isinstance(value, _Repeats) else ()
    found = [Wrong(join(loc, name), REPEATED) for name in repeated]
    return found + [flaw for name, item in value.items() for flaw in _flaws(join(loc, name), item)]
