"""What does report.json say of a model? Figures over all held-out enquiries and in every group, and the curves of the page.

    "profiles"     {profile: figures}, see `kit.training.judging.predicted`
    "segments"     {profile: {kind: {group: figures}}}, see `kit.training.judging.segments`
    "fairness"     the limit, and "groups": {kind: {group: {rows, gap, allowance, judged, passed}}}, see `kit.training.judging.fairness`
    "gate"         [{figure, value, at_least, at_most, passed}], see `kit.training.judging.verdicts`
    "reliability"  [{predicted, ...}], what was predicted and what came, in bins of the prediction
    "age_curve"    see `kit.training.report.curves`

Fairness, reliability and the curve are of the profile `full`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.calibration import Calibration
from kit.contract import Contract
from kit.stage import Task
from kit.training.data.slices import Rows
from kit.training.judging import fairness, segments
from kit.training.judging.branches import Branch
from kit.training.nets.masking import FULL, Mask
from kit.training.nets.served import Served
from kit.training.params import FairnessParams
from kit.training.report import curves

Report = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """The exported model with its tables, and who its insurers are."""

    served: Served
    branch: Branch
    tables: Calibration
    contract: Contract
    archetypes: Mapping[str, str]  # by insurer; empty when nobody said them


def measure(of: Subject, rows: Rows, asked: Mapping[str, Mask], params: FairnessParams, task: Task) -> Report:
    """All that the model has to be asked for; once per profile. `asked` are masks by profile, and `full` is among them."""
    insurers = of.served.insurers()
    found: Report = {"profiles": {}, "segments": {}}
    for name, known in asked.items():
        predicted = of.branch.predict(of.served, rows.hidden(known), of.contract, of.tables)
        found["profiles"][name] = predicted.figures()
        if name in segments.PROFILES:
            kinds = segments.partitions(of.contract, rows, known, insurers, of.archetypes)
            found["segments"][name] = predicted.by_group(kinds)
        if name == FULL:
            found["fairness"] = fairness.told(fairness.gaps(predicted.errors(), kinds, params), params)
            found["reliability"] = predicted.reliability()
        task.advance(note=name)
    typical = of.branch.predict(of.served, curves.typical(of.contract, rows), of.contract, of.tables)
    found["age_curve"] = curves.by_archetype(typical.answers(), insurers, of.archetypes)
    return found
