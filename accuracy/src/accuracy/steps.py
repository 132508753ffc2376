"""Which stages are done already? Each leaves a stamp: what it was made from, the digest of its result, and what it cost."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from accuracy.costs import Cost
from kit.files import sha256_of, write_atomic

CODE: Final = "code"
"""The input that `stale_ok` does not look at."""

Inputs = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Step:
    """A stage as a command. `result` is the file that it writes last, or of a store the pattern of its versions' manifests.

    `leftover` is what an attempt that was broken off may leave to go on with: it is removed, so that the cost is that of the whole.
    """

    name: str
    command: tuple[str, ...]
    inputs: Inputs
    result: Path
    leftover: Path | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """That a step was done."""

    inputs: Inputs
    result: str
    cost: Cost
    finished: str

    def encode(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None when there is none, or none that can be read: then the step is done again."""
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
            return cls(raw["inputs"], raw["result"], Cost(**raw["cost"]), raw["finished"])
        except (OSError, ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True, slots=True)
class Done:
    """What a step cost, when, and whether it was made by other code than the present one."""

    cost: Cost
    finished: str
    is_stale: bool = False


def why(stamp: Stamp | None, inputs: Inputs, result: str | None, *, stale_ok: bool) -> str | None:
    """Why a step has to be done, or None. `result` is the digest of what lies there now, None when nothing does."""
    if stamp is None:
        return "not done yet"
    if result is None or result != stamp.result:
        return "its result is missing or changed"
    for name in sorted({*inputs, *stamp.inputs}):
        if stamp.inputs.get(name) != inputs.get(name) and not (name == CODE and stale_ok):
            return f"its {name} changed"
    return None


def digest(pattern: Path) -> str | None:
    """Of a step's result: the file, or of a pattern's matches the one in the folder with the highest number. None: there is none."""
    found = [p for p in Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))) if p.is_file()]
    found.sort(key=lambda p: int(p.parent.name) if p.parent.name.isdecimal() else 0)
    return sha256_of(found[-1]) if found else None


def do(
    step: Step,
    stamps: Path,
    say: Callable[[str], None],
    measure: Callable[[Step], Cost],
    *,
    stale_ok: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Done:
    """Do a step that is not done, or not from the same inputs, and stamp it; else say what it cost when it was done.

    Raises what `measure` raises; and FileNotFoundError when the step ended well and left nothing.
    """
    path = stamps / f"{step.name.replace(' ', '.')}.json"
    stamp = Stamp.read(path)
    reason = why(stamp, step.inputs, digest(step.result), stale_ok=stale_ok)
    if stamp is not None and reason is None:
        say(f"{step.name}: done already ({stamp.cost.wall_s:.1f} s on {stamp.finished[:10]})")
        return Done(stamp.cost, stamp.finished, is_stale=stamp.inputs.get(CODE) != step.inputs.get(CODE))
    say(f"{step.name}: {reason}")
    if step.leftover is not None:
        step.leftover.unlink(missing_ok=True)
    cost = measure(step)
    result = digest(step.result)
    if result is None:
        raise FileNotFoundError(f"{step.name} left nothing at {step.result}")
    new = Stamp(step.inputs, result, cost, now().isoformat(timespec="seconds"))
    write_atomic(path, new.encode())
    say(f"{step.name}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} s of CPU, {cost.memory / 2**20:.0f} MiB")
    return Done(cost, new.finished)
