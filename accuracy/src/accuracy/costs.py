"""What did a stage take?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall clock and processor seconds, the most bytes resident at once, and of a scoring the seconds that it answered in."""

    wall_s: float
    cpu_s: float
    memory: int
    work_s: float | None = None
