"""Is the page about a company's own data what the contract says?"""

import runpy
from pathlib import Path

from kit import contract

ROOT = Path(__file__).parent.parent.parent


def test_the_field_table_of_own_data_is_the_contract() -> None:
    """docs/own-data.md has the table that the script makes of the data."""
    text = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")

    assert runpy.run_path(str(ROOT / "scripts" / "own_data_table.py"))["page"](text, contract.load()) == text
