"""JSON text as rapidjson reads and complains about it, which is what TensorFlow Serving does.

Python's parser does the work. Where it gives up, its complaint and place are translated. Unlike it, rapidjson takes `Inf` and
`-NaN`, ignores what follows the value, passes any bytes through a string, and refuses lone surrogates and 1e400.
"""

import json
import math
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_server.errors import ServingError, invalid

_BLANK: Final = " \t\n\r"
_WORDS: Final = ("null", "true", "false", "NaN", "Infinity")
# a whole string, or one of the words for numbers that Python does not know
_OTHER_NUMBERS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?Inf(?!inity)|-NaN', re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONE: Final = re.compile(r"[\ud800-\udbff\udc00-\udc7f\udd00-\udfff]")  # but not the escapes of undecodable bytes
_BIG: Final = re.compile(r"[eE]\+?\d{3}|\d{309}")
_DEBUG_BYTES: Final = 256
_DEPTH: Final = "Terminate parsing due to Handler error."

_NUMBER_TOO_BIG: Final = "Number too big to be stored in double."
_DECODER: Final = json.JSONDecoder()


def parse(body: bytes) -> dict[str, Any]:
    """The object that a body begins with. Raises INVALID_ARGUMENT in rapidjson's words."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    begin = len(text) - len(text.lstrip(_BLANK))
    if begin == len(text):
        raise _bad("The document is empty.", text, begin)
    value = _value(text, begin)
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {shown(value)} Is not object")
    return value


def _value(text: str, begin: int) -> Any:
    try:
        value, _ = _DECODER.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        if text.startswith(("Inf", "-Inf", "-NaN"), error.pos):
            return _value(_OTHER_NUMBERS.sub(_as_python, text), begin)
        raise _translated(error, text) from error
    except RecursionError as error:
        raise _bad(_DEPTH, text, begin) from error
    except ValueError as error:  # a number of thousands of digits
        raise _bad(_NUMBER_TOO_BIG, text, begin) from error
    if _BIG.search(text) and (place := _too_big(text)) is not None:
        raise _bad(_NUMBER_TOO_BIG, text, place)
    if "\\u" in text and _has_lone_surrogate(value):
        raise _bad("The surrogate pair in string is invalid.", text, text.index("\\u"))
    return value


def _as_python(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith('"'):
        return text
    return text + "inity" if text.endswith("Inf") else "NaN"


def _too_big(text: str) -> int | None:
    """Where a number stands that is finite in text and infinite in a double, outside of strings."""
    plain = _STRING.sub(lambda found: " " * len(found[0]), text)
    numbers = re.finditer(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", plain)
    return next((found.start() for found in numbers if math.isinf(float(found[0]))), None)


def _has_lone_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return _LONE.search(value) is not None
    if isinstance(value, dict):
        return any(_has_lone_surrogate(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(_has_lone_surrogate(part) for part in value)


def _escape(text: str, place: int) -> int:
    """Where the escape begins that Python complains about somewhere inside."""
    return max(text.rfind("\\", 0, place + 1), 0)


_COMPLAINTS: Final = (
    # what Python's begins with, rapidjson's, and where rapidjson sees it, given the text and Python's place
    ("Expecting value", "Invalid value.", lambda text, place: place + _begun(text, place)),
    ("Expecting property name", "Missing a name for object member.", lambda _, place: place),
    ("Illegal trailing comma", "Missing a name for object member.", lambda _, place: place),
    ("Expecting ':'", "Missing a colon after a name of object member.", lambda _, place: place),
    ("Unterminated string", "Missing a closing quotation mark in string.", lambda text, _: len(text)),
    ("Invalid control character", "Invalid encoding in string.", lambda _, place: place),
    ("Invalid \\uXXXX", "Incorrect hex digit after \\u escape in string.", _escape),
    ("Invalid \\escape", "Invalid escape character in string.", _escape),
)


def _translated(error: json.JSONDecodeError, text: str) -> ServingError:
    """rapidjson's message and place for what Python's parser could not read."""
    place = error.pos
    for begins, message, where in _COMPLAINTS:
        if error.msg.startswith(begins):
            return _bad(message, text, where(text, place))
    after = text[place : place + 1].lower()
    if after in {".", "e"} and text[place - 1].isdecimal():
        return _bad(f"Miss {'fraction part' if after == '.' else 'exponent'} in number.", text, place + 1)
    closing, what = ("}", "an object member") if _is_in_object(text[:place]) else ("]", "an array element")
    return _bad(f"Missing a comma or {closing} after {what}.", text, place)


def _begun(text: str, place: int) -> int:
    """How far rapidjson reads into a value that is none: the part of a word that is right, or a minus."""
    if text.startswith("-", place):
        return 1
    for word in _WORDS:
        if text.startswith(word[0], place):
            return next((i for i, letter in enumerate(word) if text[place + i : place + i + 1] != letter), len(word))
    return 0


def _is_in_object(before: str) -> bool:
    depth = 0
    for bracket in reversed(re.findall(r"[\[\]{}]", _STRING.sub("", before))):
        depth += 1 if bracket in "]}" else -1
        if depth < 0:
            return bool(bracket == "{")
    return False


def _bad(message: str, text: str, place: int) -> ServingError:
    offset = len(text[:place].encode(errors="surrogateescape"))
    return invalid(f"JSON Parse error: {message} at offset: {offset}")


def shown(value: Any) -> str:
    """A value as JSON for a message, cut where TensorFlow Serving cuts it."""
    if isinstance(value, float):
        return decimals(np.array([value]))[0]
    text = json.dumps(_bounded(value), indent=4, ensure_ascii=False)
    return text[:_DEBUG_BYTES]


def _bounded(value: Any) -> Any:
    """Enough of a value for its first bytes: a message must not cost what the request's megabytes cost."""
    if isinstance(value, list):
        return [_bounded(part) for part in value[:_DEBUG_BYTES]]
    if isinstance(value, dict):
        return {key[:_DEBUG_BYTES]: _bounded(part) for key, part in list(value.items())[:_DEBUG_BYTES]}
    return value[: _DEBUG_BYTES + 1] if isinstance(value, str) else value


def kind(value: Any) -> str:
    """rapidjson's name for the type of a value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def decimals(array: NDArray[Any]) -> list[str]:
    """Floats as TensorFlow Serving writes them: six digits where these read back exactly, else all; whole ones with `.0`."""
    values = array.reshape(-1).tolist()
    texts = [f"{value:.6g}" for value in values]
    with np.errstate(over="ignore"):
        back = np.array([float(text) for text in texts], np.float64).astype(array.dtype)
    digits = 9 if array.dtype == np.float32 else 17
    for place in np.flatnonzero(back != array.reshape(-1)).tolist():
        texts[place] = f"{values[place]:.{digits}g}"
    return [_finished(text) for text in texts]


def _finished(text: str) -> str:
    if "n" in text:  # nan, inf
        return {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    return text if "." in text or "e" in text else text + ".0"


def quoted(text: bytes) -> str:
    """A string of JSON; bytes that are no UTF-8 go through as they are."""
    return json.dumps(text.decode(errors="surrogateescape"), ensure_ascii=False)
