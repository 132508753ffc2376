"""Does the command line refuse what it cannot do, in words?"""

from pathlib import Path

import pytest

from accuracy.__main__ import destination, main
from accuracy.machine import UNKNOWN, Machine, commit, this_machine
from accuracy.sizes import Wanted


@pytest.mark.parametrize("command", [["--help"], ["fleet", "--help"], ["size", "--help"]])
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With its exit codes."""
    with pytest.raises(SystemExit) as caught:
        main(command)

    assert 0 == caught.value.code
    assert "Exit: 0 all that must be shown holds" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["size", "many"], "'many' is not a whole number above 0"),
        (
            ["size", "10", "--params", "regressor=x"],
            "no model 'regressor'; there are quote-classifier, premium-regressor",
        ),
        (["size", "10", "--params", "premium-regressor=nowhere.toml"], "no such file: 'nowhere.toml'"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 with what would be right."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert 2 == caught.value.code
    assert message in capsys.readouterr().err


def test_a_home_without_models_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2."""
    assert 2 == main(["fleet", "--home", str(tmp_path)])
    assert "has no models yet: make models" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wanted", "stale", "expected"),
    [
        (Wanted(3000), (), "docs/2026-01-02-3000.md"),
        (Wanted(3000), ("market",), "work/3000.md"),
        (Wanted(3000, seed=7), (), "work/3000.md"),
        (Wanted(3000, insurers=7), (), "work/3000.md"),
        (Wanted(3000, params={"premium-regressor": Path("other.toml")}), (), "work/3000.md"),
    ],
)
def test_only_a_default_run_is_dated(wanted: Wanted, stale: tuple[str, ...], expected: str) -> None:
    """What is not of the models as they are lies beside its work folder."""
    assert Path(expected) == destination(Path("docs"), Path("work/3000"), wanted, stale, "2026-01-02")


def test_a_machine_is_described_and_not_named() -> None:
    """What a time depends on."""
    assert "P, 2 cores, 8 GiB, Linux x86_64, Python 3.11.0" == str(Machine("P", 2, 8 * 2**30, "Linux x86_64", "3.11.0"))
    assert this_machine().cores > 0


def test_a_folder_without_history_has_no_commit(tmp_path: Path) -> None:
    """It is said to be unknown."""
    assert UNKNOWN == commit(tmp_path)
