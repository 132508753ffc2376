"""What happened to the fleet's processes, in a person's words? supervisord's log has it all; this reads one line of it."""

import re
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["started", "died", "stopped", "gave_up", "up"]

PATTERNS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("started", re.compile(r"INFO spawned: '(?P<name>[^']+)' with pid (?P<what>\d+)")),
    ("died", re.compile(r"WARN exited: (?P<name>\S+) \((?P<what>.*); not expected\)")),
    ("died", re.compile(r"INFO exited: (?P<name>\S+) \((?P<what>.*); expected\)")),
    ("stopped", re.compile(r"(?:WARN|INFO) stopped: (?P<name>\S+) \((?P<what>.*)\)")),
    ("gave_up", re.compile(r"gave up: (?P<name>\S+) entered FATAL state, (?P<what>.*)")),
    ("up", re.compile(r"INFO success: (?P<name>\S+) entered RUNNING state, (?P<what>.*)")),
)
WORDS: Final[dict[Kind, str]] = {
    "started": "{name} started, pid {what}",
    "died": "{name} died ({what}); it is started again",
    "stopped": "{name} was stopped",
    "gave_up": "{name} dies at every start; no more is tried",
    "up": "{name} stays up",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one process; `what` is a pid or a reason."""

    kind: Kind
    name: str
    what: str

    def text(self) -> str:
        """As a person reads it."""
        return WORDS[self.kind].format(name=self.name, what=self.what)


def read(line: str) -> Event | None:
    """The event in a line of supervisord's log, or None when it is about something else."""
    for kind, pattern in PATTERNS:
        if found := pattern.search(line):
            return Event(kind, found["name"], found["what"])
    return None
