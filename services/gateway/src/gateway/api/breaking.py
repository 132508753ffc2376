"""What would a caller lose if this OpenAPI document took the place of that one?

A request that was right must stay right, and what an answer promised must stay promised. More is always allowed: another call, an
optional field, a wider range, one more field or word in an answer. Only what our own documents use is understood.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]
Said = Iterator[str]

LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minItems", "minLength")
UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxItems", "maxLength")
EXACT: Final = ("pattern", "const", "uniqueItems", "dependentSchemas")
CHOICES: Final = ("anyOf", "oneOf")


def breaking(old: Schema, new: Schema) -> list[str]:
    """Every removal and narrowing, each as "where: what"; empty when no caller would notice."""
    return list(dict.fromkeys(_paths(old, new)))  # two calls may share a schema


def _paths(old: Schema, new: Schema) -> Said:
    request, answer = _Requests(old, new).compare, _Answers(old, new).compare
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            if method in new["paths"].get(path, {}):
                yield from _operation(name, operation, new["paths"][path][method], request, answer)
            else:
                yield f"{name}: is gone"


Compare = Callable[[str, Any, Any], Said]


def _operation(name: str, old: Schema, new: Schema, request: Compare, answer: Compare) -> Said:
    if old["operationId"] != new["operationId"]:
        yield f"{name}: its name {old['operationId']} became {new['operationId']}"
    yield from _parameters(name, old, new, request)
    if "requestBody" in new:
        before = old.get("requestBody", {}).get("content", {}).get("application/json")
        after = new["requestBody"]["content"]["application/json"]
        if before is None:
            yield f"{name}: needs a body"
        else:
            yield from request(f"{name} body", before["schema"], after["schema"])
    for status in old["responses"].keys() & new["responses"].keys():
        yield from _answer(f"{name} {status}", old["responses"][status], new["responses"][status], answer)
    if "200" not in new["responses"]:
        yield f"{name}: no longer answers 200"


def _parameters(name: str, old: Schema, new: Schema, request: Compare) -> Said:
    before, after = ({(p["in"], p["name"]): p for p in operation["parameters"]} for operation in (old, new))
    for (place, parameter), was in before.items():
        now = after.get((place, parameter))
        if now is None:
            yield f"{name} {place} {parameter}: is gone"
        else:
            yield from request(f"{name} {place} {parameter}", was["schema"], now["schema"])
    for (place, parameter), now in after.items():
        if now.get("required") and not before.get((place, parameter), {}).get("required"):
            yield f"{name} {place} {parameter}: is required"


def _answer(name: str, old: Schema, new: Schema, answer: Compare) -> Said:
    for header, was in old["headers"].items():
        if was["required"] and not new["headers"].get(header, {}).get("required"):
            yield f"{name} header {header}: is no longer promised"
    for media, content in old["content"].items():
        if media in new["content"]:
            yield from answer(f"{name} body", content["schema"], new["content"][media]["schema"])
        else:
            yield f"{name}: no longer {media}"


class _Schemas:
    """Walks two schemas side by side; what counts as worse is the subclass's."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old["components"]["schemas"], new["components"]["schemas"]

    def compare(self, where: str, old: Any, new: Any) -> Said:
        """Everything in which `new` gives a caller less than `old`."""
        if "$ref" in old and "$ref" in new:  # a shared schema is named once, by its own name
            where = old["$ref"].rpartition("/")[2]
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        was, now = _types(old), _types(new)
        if self.loses(was, now):
            yield f"{where}: {_words(was)} became {_words(now)}"
            return
        yield from self.own(where, old, new)
        for name, kind in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}.{name}: is gone"
            elif isinstance(kind, Mapping):
                yield from self.compare(f"{where}.{name}", kind, new["properties"][name])
        for part, mark in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(old.get(part), Mapping) and isinstance(new.get(part), Mapping):
                yield from self.compare(where + mark, old[part], new[part])
        for part in CHOICES:
            for was_choice, choice in zip(old.get(part, ()), new.get(part, ()), strict=False):
                yield from self.compare(where, was_choice, choice)

    def loses(self, old: frozenset[str], new: frozenset[str]) -> bool:
        """Whether a change of types takes something away."""
        raise NotImplementedError

    def own(self, where: str, old: Schema, new: Schema) -> Said:
        """What one schema says without its parts."""
        raise NotImplementedError


class _Requests(_Schemas):
    """What was accepted must be accepted."""

    def loses(self, old: frozenset[str], new: frozenset[str]) -> bool:
        return not old <= new

    def own(self, where: str, old: Schema, new: Schema) -> Said:
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{where}.{name}: is required"
        if "enum" in new and (gone := [v for v in old.get("enum", ["anything"]) if v not in new["enum"]]):
            yield f"{where}: no longer {', '.join(map(str, gone))}"
        for bound in LOWER_BOUNDS:
            if new.get(bound, float("-inf")) > old.get(bound, float("-inf")):
                yield f"{where}: {bound} rose to {new[bound]}"
        for bound in UPPER_BOUNDS:
            if new.get(bound, float("inf")) < old.get(bound, float("inf")):
                yield f"{where}: {bound} fell to {new[bound]}"
        for word in EXACT:
            if word in new and new[word] != old.get(word):
                yield f"{where}: another {word}"


class _Answers(_Schemas):
    """What was promised must be promised. Words of a list may be added: the document tells callers to expect them."""

    def loses(self, old: frozenset[str], new: frozenset[str]) -> bool:
        return not new <= old

    def own(self, where: str, old: Schema, new: Schema) -> Said:
        for name in sorted(
            (set(old.get("required", ())) & new.get("properties", {}).keys()) - set(new.get("required", ()))
        ):
            yield f"{where}.{name}: is no longer always there"
        for word in ("pattern", "const"):
            if word in old and old[word] != new.get(word):
                yield f"{where}: another {word}"


def _resolved(schema: Schema, named: Schema) -> Schema:
    found: Schema = named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _types(schema: Schema) -> frozenset[str]:
    """The JSON types that a schema allows; a choice between objects counts as one more type each."""
    for word in CHOICES:
        if word in schema:
            return frozenset().union(*(_types_of_choice(choice) for choice in schema[word]))
    if "const" in schema and "type" not in schema:
        return frozenset({type(schema["const"]).__name__})
    kinds = schema.get("type", "anything")
    return frozenset(kinds if isinstance(kinds, list) else [kinds])


def _types_of_choice(choice: Schema) -> frozenset[str]:
    return frozenset({choice["$ref"].rpartition("/")[2]}) if "$ref" in choice else _types(choice)


def _words(types: frozenset[str]) -> str:
    return " or ".join(sorted(types))
