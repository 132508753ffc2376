"""The command line: clear errors with exit code 2 before any work, and a description of what was made."""

from pathlib import Path

import pytest

from market.__main__ import main


def _exit_code(*argv: str) -> int:
    try:
        return main(argv)
    except SystemExit as left:
        return int(left.code or 0)


def _generate(folder: Path, **changed: str) -> tuple[str, ...]:
    options = {"enquiries": "50", "insurers": "30", "seed": "1", "out": str(folder / "m"), "truth": str(folder / "t")}
    flags = [part for name, value in (options | changed).items() for part in (f"--{name.replace('_', '-')}", value)]
    return ("generate", *flags, "--quiet")


def test_a_market_is_made_and_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both commands end with 0, and the description shows a figure beside its target."""
    assert 0 == _exit_code(*_generate(tmp_path))
    assert 0 == _exit_code("describe", str(tmp_path / "m"))

    said = capsys.readouterr().out
    assert "50 drivers asked 30 insurers" in said
    assert "nothing moves" in said
    assert "i-0030" in said
    assert "savings variable" in said


def test_a_market_that_is_there_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run says that there is nothing to do, and ends with 0."""
    _exit_code(*_generate(tmp_path))

    assert 0 == _exit_code(*_generate(tmp_path))
    assert "are there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("enquiries", "-5", "must be 1 to"),
        ("enquiries", "0", "must be 1 to"),
        ("enquiries", "many", "not a whole number"),
        ("insurers", "29", "must be 30 to 160"),
        ("insurers", "161", "must be 30 to 160"),
        ("seed", "-1", "must be 0 to"),
        ("market_seed", "x", "not a whole number"),
        ("weeks", "0", "must be 1 to"),
        ("chunk", "0", "must be 1 to"),
        ("workers", "0", "must be 1 to"),
        ("from", "50", "--from is below --to"),
        ("to", "51", "there are enquiries 0 to 50"),
        ("truth", "", ""),
    ],
)
def test_bad_arguments_are_refused(
    option: str, value: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the option by its name, what would be right, and no folder."""
    wrong = value or str(tmp_path / "m" / "t")

    assert 2 == _exit_code(*_generate(tmp_path, **{option: wrong}))

    error = capsys.readouterr().err
    assert f"--{option.replace('_', '-')}" in error
    assert said in error
    assert [] == list(tmp_path.iterdir())


def test_a_misspelt_option_is_shown_the_right_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest option is named."""
    assert 2 == _exit_code(*_generate(tmp_path), "--wekes", "3")
    assert "did you mean --weeks?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [("preset", "wied", "wide"), ("scenario", "stedy", "steady"), ("preset", "check-24", "check24")],
)
def test_a_misspelt_name_is_shown_the_right_one(
    option: str, value: str, near: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown preset or scenario is refused with all that there are, and the nearest."""
    assert 2 == _exit_code(*_generate(tmp_path, **{option: value}))
    error = capsys.readouterr().err
    assert f"did you mean {near}?" in error
    assert f"--{option}" in error
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("argv", [(), ("replay",), ("generate",)])
def test_an_incomplete_command_is_refused(argv: tuple[str, ...]) -> None:
    """A command and its required options must be there."""
    assert 2 == _exit_code(*argv)


def test_nothing_to_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a manifest is no market."""
    assert 2 == _exit_code("describe", str(tmp_path))
    assert "manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [("--help",), ("generate", "--help"), ("describe", "--help"), ("replay", "--help"), ("report", "--help")]
)
def test_help(argv: tuple[str, ...]) -> None:
    """Every command explains itself."""
    assert 0 == _exit_code(*argv)
