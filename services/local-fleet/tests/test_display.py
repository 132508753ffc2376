"""What a person sees of a first run."""

import io
from collections.abc import Callable

from rich.console import Console

from local_fleet.display import Board, Lines, Screen, clock_text
from local_fleet.steps import Step

MARKET = Step("market", "make a market", (), expected_s=10)
TRAIN = Step("train", "train", (), after=("market",), expected_s=90)
INSTALL = Step("install", "install market", (), always=True, expected_s=1)
REASONS = {"market": "not done yet", "train": "market is done again", "install": ""}


def at(moments: list[float]) -> Callable[[], float]:
    """A clock that a test sets by changing the list's only element."""
    return lambda: moments[0]


def test_time_is_written_as_minutes() -> None:
    """As on a stop watch."""
    assert ["0:00", "0:59", "4:05"] == [clock_text(s) for s in (0.2, 59.4, 245)]


def test_lines_say_what_begins_why_and_how_long_it_took() -> None:
    """A log of a first run reads like a list of steps."""
    out, now = io.StringIO(), [0.0]
    lines = Lines(Board((MARKET,), REASONS, at(now)), out, at(now))

    lines.begin(MARKET)
    lines.done(MARKET, 9.5)

    assert ["make a market ... (not done yet)", "make a market: done (9.5 s)"] == out.getvalue().splitlines()


def test_a_line_now_and_then_says_what_is_left() -> None:
    """A step's own words are passed on, not more often than every ten seconds."""
    out, now = io.StringIO(), [0.0]
    lines = Lines(Board((MARKET, TRAIN), REASONS, at(now)), out, at(now))
    lines.begin(MARKET)

    for now[0] in (1.0, 11.0, 12.0):
        lines.says(MARKET, "market: 40%")

    assert ["make a market: market: 40% [0:11 so far, about 1:31 left]"] == out.getvalue().splitlines()[1:]


def test_a_step_that_had_nothing_to_do_is_not_mentioned() -> None:
    """Looking whether an environment is there is no news; making one is."""
    out, now = io.StringIO(), [0.0]
    lines = Lines(Board((INSTALL,), REASONS, at(now)), out, at(now))

    for seconds in (0.1, 42.0):
        lines.begin(INSTALL)
        lines.done(INSTALL, seconds)

    assert ["install market: done (42.0 s)"] == out.getvalue().splitlines()


def test_the_screen_has_a_row_for_every_step() -> None:
    """Done, running and waiting steps, and the time left."""
    out, now = io.StringIO(), [0.0]
    screen = Screen(Board((MARKET, TRAIN), REASONS, at(now)), Console(file=out, width=100, force_terminal=True))

    with screen:
        screen.begin(MARKET)
        screen.done(MARKET, 20.0)
        screen.begin(TRAIN)
        screen.says(TRAIN, "epoch 3 of 16")

    text = out.getvalue()
    assert all(part in text for part in ("make a market", "0:20", "epoch 3 of 16", "about 3:00 left"))
