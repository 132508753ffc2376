"""What must be done before a fleet can start, what of it is there already and still valid, and how long will the rest take?

A step that has finished leaves a stamp: what it was made from, and the sha256 of the manifests that it wrote. A stamp is written
after its step, whole or not at all, so a run that is killed at any moment leaves only steps that are done and steps that are not.
All of this is decided on values; reading stamps and running commands is `preparation`'s and `runner`'s.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

Inputs = Mapping[str, str | int]

CODE: Final = "code"
"""The input that is the digest of a step's own sources: nobody wants to read it in a reason."""

LEFT: Final = re.compile(r"\((?:\d+) s, (\d+) s left\)")
"""The time left as `kit.stage` prints it: `train: 40% (12 s, 18 s left) loss 0.31`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the preparation.

    `inputs` is what its result depends on; `manifests` are globs of the files that stand for the result. `wanted` says that the
    result is used by the fleet itself: any other step is done only for one that comes after it. `always` marks a command that
    knows by itself, at once, that there is nothing to do. `expected_s` was measured on two cores.
    """

    name: str
    title: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    inputs: Inputs = field(default_factory=dict)
    manifests: tuple[Path, ...] = ()
    wanted: bool = False
    always: bool = False
    expected_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """That a step finished: what it was made from, and path to sha256 of its manifests."""

    inputs: Inputs
    manifests: Mapping[str, str]

    def encode(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Self | None:
        """None when the text is not a stamp: then the step has to be done again anyway."""
        try:
            raw: dict[str, Any] = json.loads(text)
            return cls(inputs=dict(raw["inputs"]), manifests=dict(raw["manifests"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found of an earlier run of a step: its stamp, and what is wrong with the result (None: nothing)."""

    stamp: Stamp | None = None
    problem: str | None = None


def why_stale(step: Step, evidence: Evidence) -> str | None:
    """Why a step's earlier result cannot be used, or None."""
    if evidence.stamp is None:
        return "not done yet"
    for name, now in step.inputs.items():
        before = evidence.stamp.inputs.get(name)
        if before != now and name == CODE:
            return "its code changed"
        if before != now:
            return f"{name} was {_short(before)}, is now {_short(now)}"
    if gone := sorted(set(evidence.stamp.inputs) - set(step.inputs)):
        return f"{gone[0]} is no longer set"
    return evidence.problem


def _short(value: str | int | None) -> str:
    text = "not set" if value is None else str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def plan(steps: Sequence[Step], evidence: Mapping[str, Evidence]) -> dict[str, str]:
    """The steps to do, in order, each with the reason. `steps` must be in an order in which they can be done."""
    own = {
        s.name: reason
        for s in steps
        if not s.always and (reason := why_stale(s, evidence.get(s.name, Evidence()))) is not None
    }
    todo: dict[str, str] = {}
    while (more := _more(steps, own, todo)) != todo:
        todo = more
    return {s.name: todo.get(s.name, "") for s in steps if s.always or s.name in todo}


def _more(steps: Sequence[Step], own: Mapping[str, str], todo: Mapping[str, str]) -> dict[str, str]:
    """The steps to do, given some that are to be done: what they spoil after them, and what they lack before them."""
    stale = dict(own)
    for step in steps:
        if not step.always and (again := [n for n in step.after if n in todo]):
            stale.setdefault(step.name, f"{again[0]} is done again")
    found: dict[str, str] = {}
    for step in reversed(steps):
        is_used = step.wanted or any(step.name in s.after for s in steps if s.name in found)
        is_spoilt = any(n in todo for n in step.after)
        if step.name in stale and (is_used or is_spoilt):
            found[step.name] = stale[step.name]
    return found


def seconds_left(steps: Sequence[Step], done: Mapping[str, float], running: Mapping[str, tuple[float, str]]) -> float:
    """How long the planned steps will still take: the longest way through those that are left.

    `done` is the seconds each finished step took, `running` the seconds so far and the last line of each that runs. The
    expectations are corrected by how this machine has done so far; a step that says its own time left is believed when it is longer.
    """
    expected = {s.name: s.expected_s for s in steps}
    telling = [s.name for s in steps if s.name in done and not s.always]
    pace = sum(done[n] for n in telling) / sum(expected[n] for n in telling) if telling else 1.0
    ends: dict[str, float] = {}
    for step in steps:
        if step.name in done:
            own = 0.0
        elif step.name in running:
            spent, line = running[step.name]
            said = float(found[1]) if (found := LEFT.search(line)) else 0.0
            own = max(expected[step.name] * pace - spent, said, 1.0)
        else:
            own = expected[step.name] * pace
        ends[step.name] = own + max((ends[n] for n in step.after if n in ends), default=0.0)
    return max(ends.values(), default=0.0)
