"""supervisord's log in a person's words."""

import pytest

from local_fleet import events
from local_fleet.events import Event

LINES = {
    "2026-11-23 20:03:01,962 INFO spawned: 'redis' with pid 12738": Event("started", "redis", "12738"),
    "2026-11-23 20:03:01,966 WARN exited: gateway (exit status 1; not expected)": Event(
        "died", "gateway", "exit status 1"
    ),
    "2026-11-23 20:03:01,966 WARN exited: redis (terminated by SIGKILL; not expected)": Event(
        "died", "redis", "terminated by SIGKILL"
    ),
    "2026-11-23 20:03:01,966 INFO exited: redis (exit status 0; expected)": Event("died", "redis", "exit status 0"),
    "2026-11-23 20:03:10,988 WARN stopped: redis (terminated by SIGTERM)": Event(
        "stopped", "redis", "terminated by SIGTERM"
    ),
    "2026-11-23 20:03:04,977 INFO gave up: redis entered FATAL state, too many start retries too quickly": Event(
        "gave_up", "redis", "too many start retries too quickly"
    ),
    "2026-11-23 20:02:57,940 INFO supervisord started with pid 12734": None,
}


@pytest.mark.parametrize(("line", "event"), LINES.items())
def test_a_line_is_read(line: str, event: Event | None) -> None:
    """Each kind of line that concerns a process is recognised, and no other."""
    assert event == events.read(line)


def test_a_death_is_told_with_its_cause() -> None:
    """A person reads which process died and of what."""
    assert (
        "redis died (terminated by SIGKILL); it is started again"
        == Event("died", "redis", "terminated by SIGKILL").text()
    )
