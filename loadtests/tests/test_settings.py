"""Whom may the load be sent to, and with which budget?"""

from pathlib import Path

import pytest
from settings import FILE, BadSettings, Settings, check_host, timeout_header


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("http://127.0.0.1:8080", None), ("http://localhost/", None), ("http://[::1]:80", None), ("https://mine.test", "mine.test")],
)  # fmt: skip
def test_own_machines_are_loaded(url: str, allowed: str | None) -> None:
    """This machine, or the one that is allowed by its name."""
    assert url.rstrip("/") == check_host(url, allowed)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [("http://10.0.0.1", None), ("https://theirs.test", "mine.test"), ("https://theirs.test", "1"), ("127.0.0.1:8080", None)],
)  # fmt: skip
def test_other_machines_are_not(url: str, allowed: str | None) -> None:
    """Neither another address nor another name than the allowed one."""
    with pytest.raises(BadSettings, match="BALLPARK_URL"):
        check_host(url, allowed)


@pytest.mark.parametrize(("budget_ms", "header"), [(1, "5"), (150, "150"), (99.6, "100"), (10_000, "2000")])
def test_the_header_is_one_the_gateway_accepts(budget_ms: float, header: str) -> None:
    """A whole number within the gateway's bounds."""
    assert header == timeout_header(budget_ms)


def test_a_misspelt_setting_is_refused(tmp_path: Path) -> None:
    """The message names the table and the key."""
    path = tmp_path / "load.toml"
    path.write_text(FILE.read_text().replace("warm_up_s", "warmup_s"))

    with pytest.raises(BadSettings, match=r"\[arrivals\].*warmup_s"):
        Settings.read(path)
