"""Write the field table of docs/own-data.md from the contract: `services/kit/.venv/bin/python scripts/own_data_table.py`."""

from pathlib import Path

from kit.contract import Contract, Field, load

PAGE = Path(__file__).resolve().parent.parent / "docs" / "own-data.md"
BEGIN, END = "<!-- fields: made by scripts/own_data_table.py -->", "<!-- end of fields -->"
TYPES = {"int": "integer", "float": "float", "bool": "bool", "enum": "string", "code": "string"}


def holds(field: Field) -> str:
    """What a column may hold, in a few words."""
    if field.kind == "bool":
        return "true, false"
    if field.kind == "enum":
        return ", ".join(f"`{v}`" for v in field.values)
    if field.kind == "code":
        return f"`{field.values[0]}` to `{field.values[-1]}` ({len(field.values):,} codes); others count as not known"
    return f"{field.minimum:,.0f} to {field.maximum:,.0f} {field.unit}".strip()


def table(contract: Contract) -> str:
    """A row per field, in the contract's order."""
    lines = ["| column | type | what | holds | null |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{f.name}` | {TYPES[f.kind]} | {f.title} | {holds(f)} | {'never' if f.required else 'not known'} |"
        for f in contract.fields
    ]
    return "\n".join(lines)


def page(text: str, contract: Contract) -> str:
    """The page with its table made anew. Raises ValueError when the page has no place for it."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table(contract)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), load()), encoding="utf-8")
