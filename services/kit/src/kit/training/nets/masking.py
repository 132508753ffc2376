"""Which answers does the model see? Masks that hide fields, so that one model answers from any subset of answers.

A mask is bool[B, N + M]: whether the packed row's field is known, numeric fields first.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import UNKNOWN_CODE, Categorical, Numeric, is_always_known
from kit.stage import BadInput
from kit.training.params import MaskParams

Mask = NDArray[np.bool_]

FULL: Final = "full"


def hide(numeric: Numeric, categorical: Categorical, known: Mask) -> tuple[Numeric, Categorical]:
    """The rows with every field that is not known made NaN or -1; `known` may be one row for all."""
    count = numeric.shape[1]
    return (
        np.where(known[..., :count], numeric, np.float32(np.nan)),
        np.where(known[..., count:], categorical, np.int32(UNKNOWN_CODE)),
    )


def profiles(contract: Contract, chosen: Mapping[str, tuple[str, ...]]) -> dict[str, Mask]:
    """The named masks, bool[N + M] each: those chosen, and those that the contract itself implies.

    Implied are `full`; `no_<group>` for a group that needs consent; and what a failing feature store leaves: `no_<entity>` and
    `no_store`. What is `always_known` is known in each of them. Raises `BadInput` for a field that is not in the contract.
    """
    fields = (*contract.numeric, *contract.categorical)
    names = {f.name for f in fields}
    found = {FULL: np.ones(len(fields), bool)}
    for group in contract.groups:
        if group.consent:
            found[f"no_{group.name}"] = np.array([f.group != group.name for f in fields])
    for entity in contract.entities:
        found[f"no_{entity.name}"] = np.array([f.entity != entity.name for f in fields])
    found["no_store"] = np.array([f.entity is None for f in fields])
    for name, known in chosen.items():
        if strange := set(known) - names:
            raise BadInput(f"params.toml: mask.profiles.{name}: no field {sorted(strange)} in the contract")
        found[name] = np.array([f.name in known for f in fields])
    return {name: known | always_known(contract) for name, known in found.items()}


def always_known(contract: Contract) -> Mask:
    """What no request leaves open, bool[N + M]: a required field is sent, and an assumed value takes the place of what was not."""
    return np.array([is_always_known(f) for f in (*contract.numeric, *contract.categorical)])


def group_masks(contract: Contract, known_groups: Mask) -> Mask:
    """From bool[B, G], which groups are known, to bool[B, N + M], which fields are, with what is `always_known`."""
    place = {g.name: i for i, g in enumerate(contract.groups)}
    in_group = known_groups[:, [place[f.group] for f in (*contract.numeric, *contract.categorical)]]
    return in_group | always_known(contract)


def field_masks(contract: Contract, hidden: NDArray[np.float64], rng: np.random.Generator) -> Mask:
    """Masks that hide each field with its own luck, bool[B, N + M]; never what is `always_known`.

    `hidden` is the probability, [B, 1] for all fields of a row or [B, G] for those of each group.
    """
    place = {g.name: i if hidden.shape[1] > 1 else 0 for i, g in enumerate(contract.groups)}
    chance = hidden[:, [place[f.group] for f in (*contract.numeric, *contract.categorical)]]
    return (rng.random(chance.shape) >= chance) | always_known(contract)


def some_missing(contract: Contract, share: float, rows: int, rng: np.random.Generator) -> Mask:
    """What people leave open who answer nearly everything: each field is hidden with the same probability, bool[rows, N + M]."""
    return field_masks(contract, np.full((rows, 1), share), rng)


def subsets(contract: Contract, rows: int, rng: np.random.Generator) -> tuple[Mask, Mask, Mask]:
    """Three ways to leave questions open, bool[rows, N + M] each, as calibration has to have seen them.

    Whole groups; single fields, few in some rows and many in others; and in each group none, all or a share of its own.
    """
    groups = len(contract.groups)
    kind, share = rng.integers(3, size=(rows, groups)), rng.random((rows, groups))
    return (
        group_masks(contract, rng.random((rows, groups)) < 0.5),
        field_masks(contract, rng.random((rows, 1)), rng),
        field_masks(contract, np.choose(kind, [0.0, 1.0, share]), rng),
    )


def draw(contract: Contract, params: MaskParams, rows: int, rng: np.random.Generator) -> Mask:
    """Masks for one pass over the training rows, bool[rows, N + M]: whole rows, profiles, random groups, random fields."""
    fields = len(contract.numeric) + len(contract.categorical)
    known = np.ones((rows, fields), bool)
    kind = rng.random(rows)
    in_profile = kind < params.profile
    in_groups = (kind >= params.profile) & (kind < params.profile + params.groups)
    in_single = (kind >= params.profile + params.groups) & (kind < params.profile + params.groups + params.single)
    table = np.array(list(profiles(contract, params.profiles).values()))
    known[in_profile] = table[rng.integers(len(table), size=in_profile.sum())]
    known[in_groups] = group_masks(contract, rng.random((in_groups.sum(), len(contract.groups))) < 0.5)
    # Each row draws its own share of hidden fields, so that few and many are equally common.
    known[in_single] = field_masks(contract, rng.random((in_single.sum(), 1)), rng)
    return known
