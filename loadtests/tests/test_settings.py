"""Whom may the load be sent to, and with which budget?"""

import re
from pathlib import Path

import pytest
from settings import FILE, KINDS, PERCENTILES, BadSettings, Settings, check_host, timeout_header


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


def test_the_shipped_settings_are_right() -> None:
    """Every question has its weight, every percentile its least number."""
    settings = Settings.read()

    assert set(KINDS) == set(settings.mix)
    assert set(PERCENTILES) == set(settings.limits.min_samples)
    assert (17.0, 85.0) == settings.risks.typical["age"]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("warm_up_s", "warmup_s", "[arrivals]: no warmup_s; did you mean warm_up_s?"),
        ("users = 50", "", "[arrivals]: users is missing"),
        ("users = 50", "users = 1.5", "[arrivals]: users must be a whole number, not 1.5"),
        ("rate_per_s = 50", 'rate_per_s = "50"', "[arrivals]: rate_per_s must be a number, not '50'"),
        ("rate_per_s = 50", "rate_per_s = true", "[arrivals]: rate_per_s must be a number, not True"),
        ("zipf = 1.1", "zipf = nan", "[risks]: zipf must be a number, not nan"),
        ("[mix]", "[mixture]", "load.toml: no mixture; did you mean mix?"),
        ("[mix] # weights\nquotes = 80\nballpark = 18\ninvalid = 2", "", "load.toml: mix is missing"),
        ("quotes = 80", "qoutes = 80", "[mix]: no qoutes; did you mean quotes?"),
        ("invalid = 2", "", "[mix]: invalid is missing"),
        ("invalid = 2", "invalid = -2", "[mix]: weights must be at least 0"),
        ("p95 = 200", "", "[verdict.min_samples]: p95 is missing"),
        ("p95 = 200", "p955 = 200", "[verdict.min_samples]: no p955; did you mean p95?"),
        ("age = [17, 85]", "aeg = [17, 85]", "[risks.typical]: no aeg; did you mean age?"),
        ("age = [17, 85]", "age = [85, 17]", "[risks.typical]: age must be [lowest, highest]"),
        ("age = [17, 85]", "age = 17", "[risks]: typical: age must be [lowest, highest], not 17"),
        ("[arrivals]", "colour = 1\n[arrivals]", "load.toml: no colour; there are arrivals, verdict, mix, risks"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_when_it_is_read(
    tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    """The message names the table, the key, and the spelling that would be right."""
    text = FILE.read_text()
    path = tmp_path / "load.toml"
    path.write_text(text.replace(right, wrong, 1))

    assert right in text
    with pytest.raises(BadSettings, match=re.escape(message)):
        Settings.read(path)
