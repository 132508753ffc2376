"""Write docs/contract.md from the contract: `services/kit/.venv/bin/python scripts/contract_table.py > docs/contract.md`."""

from kit.contract import Contract, Field, load


def allowed(field: Field) -> str:
    """What may be sent, in a few words."""
    if field.kind == "bool":
        return "true, false"
    if field.kind == "enum":
        return (
            ", ".join(f"`{v}`" for v in field.values)
            if len(field.values) < 10
            else f"`{field.values[0]}` to `{field.values[-1]}`"
        )
    if field.kind == "code":
        return f"`{field.values[0]}` … ({len(field.values):,} codes)"
    return f"{field.minimum:,.0f} to {field.maximum:,.0f}"


def table(contract: Contract) -> str:
    """The page: one table per group."""
    lines = [
        "# The feature contract",
        "",
        "Made from `services/kit/src/kit/contract/motor.toml` by `scripts/contract_table.py`; a test compares them. Every field but `driver.age` may be left out.",
        "",
    ]
    for group in contract.groups:
        note = ' (with `"consent": true` only)' if group.consent else ""
        lines += [
            f"## {group.title}: `{group.name}`{note}",
            "",
            "| field | allowed | unit | known to | why |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{f.name}` {f.title} | {allowed(f)}{f', assumed `{f.assumed}`' if f.assumed is not None else ''} | {f.unit} | "
            f"{'the caller' if f.entity is None else f'the store ({f.entity}) or the caller'} | {f.purpose} |"
            for f in contract.fields
            if f.group == group.name
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(load()), end="")
