"""The generated module is what the document makes of it, and a route that is added later needs nothing but a generation."""

import copy
import types
from typing import Any

import pytest
from fake import API
from generate import MODULE, NotUnderstood, module

from ballpark_client import errors


def test_the_module_is_made_of_the_document() -> None:
    """After a change of the API: make openapi."""
    assert module(API) == MODULE.read_text(encoding="utf-8")


def made(change: Any) -> types.ModuleType:
    """The module of a changed document."""
    document = copy.deepcopy(API)
    change(document)
    found = types.ModuleType("made")
    exec(module(document), found.__dict__)  # noqa: S102 -- it is our own
    return found


def erase(document: Any) -> None:
    """A route with a place, a query and another method."""
    operation = copy.deepcopy(document["paths"]["/v1/models"]["get"])
    operation["operationId"] = "erase_subject"
    operation["parameters"] += [
        {"name": "subject", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "dry", "in": "query", "schema": {"type": "boolean"}},
    ]
    document["components"]["schemas"]["Receipt"] = {
        "type": "object",
        "description": "Done.",
        "properties": {"note": {"type": "string"}, "id": {"type": "string"}},
        "required": ["id"],
    }
    operation["responses"]["200"]["content"]["application/json"]["schema"] = {"$ref": "#/components/schemas/Receipt"}
    document["paths"]["/v1/subjects/{subject}"] = {"delete": operation}


def test_a_later_route_is_a_matter_of_generating() -> None:
    """Its place is an argument, its query a keyword, its answer a type; what may be missing is None."""
    api = made(erase)
    asked: list[Any] = []

    class Recorder(api.Calls):  # type: ignore[name-defined, misc]
        def _call(self, *arguments: Any) -> None:
            asked.append(arguments)

    Recorder().erase_subject("s-1", dry=True)

    assert [(api.ERASE_SUBJECT, {"path": {"subject": "s-1"}, "query": {"dry": True}}, None)] == asked
    assert ("DELETE", "/v1/subjects/{subject}") == (api.ERASE_SUBJECT.method, api.ERASE_SUBJECT.path)
    assert api.Receipt("r-1").note is None


def test_what_is_not_understood_is_named() -> None:
    """An object without a name stops the generator with its place."""

    def unnamed(document: Any) -> None:
        document["components"]["schemas"]["Band"]["properties"]["low"] = {"type": "object", "properties": {}}

    with pytest.raises(NotUnderstood, match=r"Band\.low"):
        made(unnamed)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """Every class stands in the picture, below its parent."""
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if (name := line.lstrip(" │├└─").split(" ")[0]).isidentifier() and hasattr(errors, name):
            depth = line.index(name)
            above = [(d, n) for d, n in above if d < depth]
            drawn[name] = above[-1][1] if above else "Exception"
            above.append((depth, name))
    classes = {
        name: kind.__bases__[0].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.BallparkError)
    }

    assert classes == drawn
