import io

import pytest

from kit.stage import BadInput, GateRefused, Lines, Places, Quiet, Stage, StageError, main


def ending(error: StageError | None) -> Stage:
    def run(places: Places, _: object) -> None:
        with places.progress.task("work", 2) as task:
            task.advance()
        if error:
            raise error

    return Stage("train", "Trains.", run)


@pytest.mark.parametrize(("error", "code"), [(None, 0), (BadInput("no column age"), 2), (GateRefused("AUC 0.5"), 3)])
def test_the_exit_code_says_how_it_ended(
    error: StageError | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 done, 2 bad input, 3 refused by the gate, with the reason on standard error."""
    assert code == main("demo", [ending(error)], ["train", "--in", "a", "--out", "b", "--quiet"])
    assert (f"demo train: {error}\n" if error else "") == capsys.readouterr().err


def test_an_unknown_stage_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo ends with 2 and the names that would have been right."""
    with pytest.raises(SystemExit) as ended:
        main("demo", [ending(None)], ["trian", "--in", "a", "--out", "b"])

    assert 2 == ended.value.code
    assert "train" in capsys.readouterr().err


def test_lines_tell_the_share_and_the_time_left() -> None:
    """Half the work in ten seconds leaves ten."""
    out, now = io.StringIO(), [0.0]
    with Lines(out, clock=lambda: now[0]).task("epochs", total=4) as task:
        now[0] = 10.0
        task.advance(2, "loss 0.1")
        now[0] = 20.0

    assert "epochs ...\nepochs: 50% (10 s, 10 s left) loss 0.1\nepochs: done (20.0 s) loss 0.1\n" == out.getvalue()


def test_lines_are_few() -> None:
    """A thousand quick steps are not a thousand lines."""
    out = io.StringIO()
    with Lines(out, clock=lambda: 0.0).task("rows", total=1000) as task:
        for _ in range(1000):
            task.advance()

    assert 2 == len(out.getvalue().splitlines())


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing reaches the terminal."""
    with Quiet().task("work", 1) as task:
        task.advance()

    assert ("", "") == capsys.readouterr()


def test_a_stage_that_only_reads_has_no_out(capsys: pytest.CaptureFixture[str]) -> None:
    """It needs no place to write, and its notes go to standard error unless it is quiet."""
    stage = Stage("look", "Looks.", lambda places, _: places.say(f"seen {places.source}{places.out}"), writes=False)

    assert [0, 0] == [main("demo", [stage], ["look", "--in", "a", *more]) for more in ((), ("--quiet",))]
    assert "seen a\n" == capsys.readouterr().err
