"""Write src/ballpark_client/api.py from the OpenAPI document: `python generate.py` (or `make openapi`, which makes the document first).

Understood is what Ballpark's own document uses. Anything else stops here with its place, so that no type is ever guessed.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent, wrap
from typing import Any, Final

Schema = Mapping[str, Any]

HERE: Final = Path(__file__).resolve().parent
DOCUMENT: Final = HERE.parents[2] / "docs" / "openapi.json"
MODULE: Final = HERE / "src" / "ballpark_client" / "api.py"
WIDTH: Final = 116
TYPES: Final = {"string": "str", "boolean": "bool", "integer": "int", "number": "float", "null": "None"}

HEAD: Final = '''"""{title}, version {version}: its types and its calls.

{about}

Made from the OpenAPI document by generate.py; a test compares them. Do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Required, TypedDict, TypeVar

from msgspec import Struct

from ballpark_client.operation import Operation

A = TypeVar("A")
'''


class NotUnderstood(ValueError):
    """The document has something that this generator does not know."""


def module(document: Schema) -> str:
    """The text of the module."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    operations = [(path, method, o) for path, methods in document["paths"].items() for method, o in methods.items()]
    sent = _reachable(schemas, [_body(o) for _, _, o in operations if "requestBody" in o])
    told = _reachable(schemas, [s for _, _, o in operations for s in _answers(o)])
    if both := sorted(sent.keys() & told.keys()):
        raise NotUnderstood(f"{', '.join(both)}: sent as well as answered")
    bodies = {_name(_body(o)) for _, _, o in operations if "requestBody" in o}  # these become a method's arguments
    calls = [call for path, method, o in operations for call in _calls(path, method, o, schemas)]
    info = document["info"]
    parts = [
        HEAD.format(title=info["title"], version=info["version"], about=_wrapped(info["description"])),
        *(_typed_dict(name, schema) for name, schema in sent.items() if name not in bodies),
        *(_struct(name, schema) for name, schema in told.items()),
        "\n".join(call.row() for call in calls),
        _mixin("Calls", "def", "self._call", calls),
        _mixin("AsyncCalls", "async def", "await self._call", calls),
    ]
    return "\n\n".join(part.strip("\n") + "\n" for part in parts)


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _body(operation: Schema) -> Schema:
    body: Schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return body


def _answers(operation: Schema) -> list[Schema]:
    return [content["schema"] for answer in operation["responses"].values() for content in answer["content"].values()]


def _reachable(schemas: Mapping[str, Schema], roots: list[Schema]) -> dict[str, Schema]:
    """Named schemas that these refer to, each after those that it needs itself."""
    found: dict[str, Schema] = {}

    def visit(part: Any) -> None:
        if isinstance(part, Mapping):
            if "$ref" in part and (name := _name(part)) not in found:
                visit(schemas[name])
                found[name] = schemas[name]
            for inner in part.values():
                visit(inner)
        elif isinstance(part, list):
            for inner in part:
                visit(inner)

    visit(roots)
    return found


def kind(schema: Schema, where: str, *, is_sent: bool) -> str:  # noqa: PLR0911 -- one for each form of a schema
    """The Python type of a schema. What is answered may get more words than are listed, so its lists of words are `str`."""
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " | ".join(kind(choice, where, is_sent=is_sent) for choice in schema["anyOf"])
    if "const" in schema and is_sent:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema and is_sent:
        return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
    match schema.get("type"):
        case list() as types:
            return " | ".join(TYPES[name] for name in types)
        case "array":
            item = kind(schema["items"], where, is_sent=is_sent)
            return f"Sequence[{item}]" if is_sent else f"tuple[{item}, ...]"
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            return f"Mapping[str, {kind(schema['additionalProperties'], where, is_sent=is_sent)}]"
        case str() as name if name in TYPES:
            return TYPES[name]
    raise NotUnderstood(f"{where}: give the object a name in components" if "properties" in schema else where)


def _typed_dict(name: str, schema: Schema) -> str:
    lines = [f"class {name}(TypedDict, total=False):", _doc(schema["description"]), ""]
    for field, part in schema["properties"].items():
        type_ = kind(part, f"{name}.{field}", is_sent=True)
        lines += _folded(f"{field}: {f'Required[{type_}]' if field in schema['required'] else type_}")
        lines += [_doc(part["description"])] if "description" in part else []
    return "\n".join(lines)


def _struct(name: str, schema: Schema) -> str:
    lines = [f"class {name}(Struct, frozen=True):", _doc(schema["description"]), ""]
    for field in sorted(schema["properties"], key=lambda field: field not in schema["required"]):  # defaults stand last
        part = schema["properties"][field]
        type_ = kind(part, f"{name}.{field}", is_sent=False)
        lines.append(f"    {field}: {type_}" if field in schema["required"] else f"    {field}: {type_} | None = None")
        lines += [_doc(about)] if (about := _with_words(part)) else []
    return "\n".join(lines)


def _folded(line: str) -> Iterator[str]:
    """A field, with a long list of words on lines of its own."""
    if len(line) <= WIDTH:
        yield f"    {line}"
        return
    before, _, words = line.partition("Literal[")
    inside, _, after = words.partition("]")
    yield f"    {before}Literal["
    yield indent("\n".join(wrap(inside + ",", WIDTH - 8)), " " * 8)
    yield f"    ]{after}"


class Call:
    """One method of the clients."""

    def __init__(
        self, target: str, method: str, operation: Schema, name: str, answer: str, body: Schema, *, fixed: str = ""
    ) -> None:
        self.target, self.method, self.operation, self.name = target, method, operation, name
        self.answer, self.body = answer, body
        self.fixed = fixed  # the parameter that is decided by the method's name

    def row(self) -> str:
        """Its row in the table of operations."""
        extra = (", has_body=True" if self.body else "") + (
            ", has_quote_id=True" if "quote_id" in self.body.get("properties", {}) else ""
        )
        return f'{self.name.upper()}: Final = Operation("{self.method.upper()}", "{self.target}", {self.answer}{extra})'

    def source(self, define: str, ask: str) -> str:
        """The method."""
        places = [p["name"] for p in self.operation["parameters"] if p["in"] == "path"]
        fields = self.body.get("properties", {})
        required = [field for field in fields if field in self.body["required"]]
        first = [f"{name}: str" for name in places] + [f"{name}: {self._type(name)}" for name in required]
        rest = [f"{name}: {self._type(name)} | None = None" for name in fields if name not in required]
        rest += [f"{name}: {type_} = {default}" for name, (type_, default) in self._free().items()]
        arguments = ", ".join(["self", *first, "*", *rest, "budget_s: float | None = None"])
        given = {
            "path": {name: name for name in places},
            "query": {name: name for name in self._free()},
            "body": {name: name for name in fields},
        }
        sent = [
            f'            "{part}": {{{", ".join(f"{json.dumps(name)}: {value}" for name, value in values.items())}}},'
            for part, values in given.items()
            if values
        ]
        sent = ["        given = {", *sent, "        }"] if sent else []
        return "\n".join(
            [
                f"    {define} {self.name}(",
                *(f"        {argument.strip()}," for argument in _split(arguments)),
                f"    ) -> {self.answer}:",
                indent(f'"""{_wrapped(self._about())}\n"""', " " * 8),
                *sent,
                f"        return {ask}({self.name.upper()}, {'given' if sent else '{}'}, budget_s)",
            ]
        )

    def _type(self, field: str) -> str:
        return kind(self.body["properties"][field], f"{self.name}.{field}", is_sent=True)

    def _free(self) -> dict[str, tuple[str, str]]:
        """Parameters of the query that the caller chooses: type and default."""
        found = {}
        for parameter in self.operation["parameters"]:
            if parameter["in"] == "query" and parameter["name"] != self.fixed:
                type_ = kind(parameter["schema"], f"{self.name}.{parameter['name']}", is_sent=True)
                found[parameter["name"]] = (f"{type_} | None", "None")
        return found

    def _about(self) -> str:
        said = [self.operation["summary"]]
        said += [
            f"`{name}`: {part['description']}"
            for name, part in self.body.get("properties", {}).items()
            if "description" in part
        ]
        return "\n\n".join([*said, "Raises `ballpark_client.BallparkError`."])


def _split(arguments: str) -> Iterator[str]:
    """At the commas that are in no bracket."""
    depth, start = 0, 0
    for at, char in enumerate(arguments):
        depth += {"[": 1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            yield arguments[start:at]
            start = at + 1
    yield arguments[start:]


def _calls(path: str, method: str, operation: Schema, schemas: Mapping[str, Schema]) -> Iterator[Call]:
    """A method for the call; where a parameter decides which answer comes (`x-answers`), one for each of its values."""
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    name = operation["operationId"]
    body = schemas[_name(_body(operation))] if "requestBody" in operation else {}
    deciding = next((p for p in operation["parameters"] if "x-answers" in p), None)
    if deciding is None:
        yield Call(path, method, operation, name, _name(answer), body)
        return
    fixed, default = deciding["name"], deciding["schema"]["default"]
    for value, schema in deciding["x-answers"].items():
        if value == default:
            yield Call(path, method, operation, name, schema, body, fixed=fixed)
        else:
            yield Call(f"{path}?{fixed}={value}", method, operation, f"{name}_{value}", schema, body, fixed=fixed)


def _mixin(name: str, define: str, ask: str, calls: list[Call]) -> str:
    lines = [
        f"class {name}:",
        '    """A method for every call of the API; a client brings the way to make one."""',
        "",
        f"    {define} _call(self, operation: Operation[A], given: Mapping[str, Mapping[str, Any]], budget_s: float | None) -> A:",
        "        raise NotImplementedError",
    ]
    for call in calls:
        lines += ["", call.source(define, ask)]
    return "\n".join(lines)


def _with_words(schema: Schema) -> str:
    """The description of what is answered, and the words that it may be."""
    words = schema.get("enum") or schema.get("items", {}).get("enum") or ()
    known = f"One of {', '.join(f'`{word}`' for word in words)}." if words else ""
    return f"{schema.get('description', '')} {known}".strip()


def _doc(about: str) -> str:
    return indent(f'"""{_wrapped(about)}"""', "    ")


def _wrapped(text: str) -> str:
    return "\n\n".join("\n".join(wrap(part, WIDTH - 8)) for part in text.split("\n\n"))


def main() -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--document", type=Path, default=DOCUMENT, help="the OpenAPI document (default docs/openapi.json)"
    )
    parser.add_argument("--out", type=Path, default=MODULE, help="the module to write")
    options = parser.parse_args()
    try:
        text = module(json.loads(options.document.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        print(f"generate: {options.document}: {error}", file=sys.stderr)  # noqa: T201 -- a command line prints
        return 2
    beside = options.out.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
