"""The API for people: one page, made from the OpenAPI document, that needs nothing from elsewhere."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

Schema = Mapping[str, Any]

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 64rem; padding: 1rem 2rem; color: #1b1f24; background: #fff }
h1, h2, h3 { line-height: 1.2 } h2 { border-top: 1px solid #d0d7de; padding-top: 1.5rem; margin-top: 2.5rem }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f3f5f7; border-radius: 4px } code { padding: 0 .3em }
pre { padding: .8rem; overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e5e8eb }
summary { cursor: pointer; margin: .5rem 0 } .method { color: #0a5; font-weight: 600 } nav a { margin-right: 1rem }
@media (prefers-color-scheme: dark) { body { color: #d6dbe0; background: #14171a } code, pre { background: #22272c } a { color: #6cf } }
"""


def policy() -> bytes:
    """The page's Content-Security-Policy: its own style, by hash, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'".encode()


def page(document: Schema) -> bytes:
    """The page."""
    info = document["info"]
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(f'<a href="#{o["operationId"]}">{escape(path)}</a>' for path, _, o in operations)
    parts = [
        '<!doctype html><html lang="en-GB"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} API</h1><p>{escape(info['description'])}</p>",
        "<p>Send <code>Authorization: Bearer KEY</code> with every call. The same as a document: ",
        f'<a href="/openapi.json">openapi.json</a>.</p><nav>{links}</nav>',
        *(part for path, method, operation in operations for part in _operation(path, method, operation)),
        "<h2>Schemas</h2>",
        *(part for name, schema in document["components"]["schemas"].items() for part in _schema(name, schema)),
        "</body></html>",
    ]
    return "".join(parts).encode()


def _operation(path: str, method: str, operation: Schema) -> Iterator[str]:
    yield f'<h2 id="{operation["operationId"]}"><span class="method">{method.upper()}</span> {escape(path)}</h2>'
    yield f"<p>{escape(operation['summary'])}</p>"
    rows = [(p["name"], f"{p['in']}, {_kind(p['schema'])}", escape(p["description"])) for p in operation["parameters"]]
    yield from _table(("parameter", "kind", "meaning"), rows)
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        yield f"<h3>Body</h3><p>{_kind(content['schema'])}</p>"
        for example in content["examples"].values():
            yield f"<details><summary>{escape(example['summary'])}</summary><pre>{_curl(path, example['value'])}</pre></details>"
    yield "<h3>Answers</h3>"
    answers = {status: next(iter(answer["content"].values())) for status, answer in operation["responses"].items()}
    told = [
        (status, _kind(answers[status]["schema"]), _headers(answer["headers"]), escape(answer["description"]))
        for status, answer in operation["responses"].items()
    ]
    yield from _table(("status", "body", "headers", "when"), told)
    for example in answers["200"]["examples"].values():
        text = escape(json.dumps(example["value"], indent=1))
        yield f"<details><summary>{escape(example['summary'])}</summary><pre>{text}</pre></details>"


def _headers(headers: Schema) -> str:
    return ", ".join(f"<code>{escape(name)}</code>" for name in headers)


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f'<h3 id="{name}">{name}</h3><p>{escape(schema.get("description", ""))}</p>'
    required = schema.get("required", ())
    rows = [
        (f"{field}{' *' if field in required else ''}", _kind(kind), escape(kind.get("description", "")))
        for field, kind in schema.get("properties", {}).items()
    ]
    yield from _table(("field", "kind", "meaning"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"
        for first, *rest in rows:
            yield f"<tr><td><code>{escape(first)}</code></td>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        yield "</table>"


def _kind(schema: Schema) -> str:
    """A schema in a few words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_kind(choice) for choice in schema[word])
    if "enum" in schema or "const" in schema:
        return " | ".join(
            f"<code>{escape(json.dumps(value))}</code>" for value in schema.get("enum", [schema.get("const")])
        )
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    words = schema.get("type", "anything")
    words = " or ".join(words) if isinstance(words, list) else words
    if "maximum" in schema and "minimum" in schema:
        words += f", {schema['minimum']:g} to {schema['maximum']:g}"
    return words + (f", <code>{escape(schema['pattern'])}</code>" if "pattern" in schema else "")


def _curl(path: str, body: Any) -> str:
    text = json.dumps(body, indent=1)
    return escape(
        f"curl -X POST http://127.0.0.1:8080{path} -H 'Authorization: Bearer ballpark-dev' \\\n"
        f"     -H 'Content-Type: application/json' -d '{text}'"
    )
