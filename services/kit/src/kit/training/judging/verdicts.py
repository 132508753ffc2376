"""May a model be published? Its figures beside the limits of params.toml, and what is said of those that are outside."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from kit.training.params import Limit


def held_to(profiles: Mapping[str, Mapping[str, float]], limits: Iterable[Limit]) -> list[dict[str, Any]]:
    """Each `profile.figure` beside its limits. One that is missing or not finite did not pass."""
    found = []
    for limit in limits:
        profile, _, name = limit.figure.partition(".")
        value = profiles.get(profile, {}).get(name, math.nan)
        low, high = (
            -math.inf if limit.at_least is None else limit.at_least,
            math.inf if limit.at_most is None else limit.at_most,
        )
        found.append(asdict(limit) | {"value": value, "passed": low <= value <= high and math.isfinite(value)})
    return found


def refusals(report: Mapping[str, Any]) -> list[str]:
    """Why the model may not be published, a sentence each: figures outside their limits, and groups of people outside theirs."""
    said = [
        f"{v['figure']} is {v['value']:.4g}, and has to be {spoken_limit(v)}" for v in report["gate"] if not v["passed"]
    ]
    fair = report["fairness"]
    for kind, groups in fair["groups"].items():
        for group, of in groups.items():
            if not of["passed"]:
                said.append(
                    f"fairness: {kind} {group} is {of['gap']:+.4f} apart from all ({of['rows']} enquiries), and may be "
                    f"{fair['gap_at_most']:g}, with {of['allowance']:.4f} for chance"
                )
    return said


def spoken_limit(verdict: Mapping[str, Any]) -> str:
    """The limits of one line of the gate, in words."""
    bounds = (("least", verdict["at_least"]), ("most", verdict["at_most"]))
    return " and ".join(f"at {word} {bound:g}" for word, bound in bounds if bound is not None)
