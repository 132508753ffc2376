"""Which fields are hidden, in the profiles and in training?"""

from dataclasses import replace

import numpy as np
import pytest
from tiny import tiny

from kit.contract import Contract
from kit.stage import BadInput
from kit.training.nets.masking import Mask, draw, group_masks, profiles, some_missing, subsets


def names_of(contract: Contract, known: Mask) -> set[str]:
    """The fields that a mask leaves known."""
    return {f.name for f, k in zip((*contract.numeric, *contract.categorical), known, strict=True) if k}


def test_the_contract_implies_its_own_profiles(contract: Contract) -> None:
    """A group that needs consent may be withheld, and the feature store may know nothing of a car or an area."""
    found = {name: names_of(contract, known) for name, known in profiles(contract, {}).items()}
    everything = {f.name for f in contract.fields}

    assert {"full", "no_history", "no_vehicle", "no_area", "no_store"} == set(found)
    assert everything == found["full"]
    assert {f.name for f in contract.fields if f.group == "history"} == everything - found["no_history"]
    assert {"sector", "modified"} <= found["no_store"]
    assert not {"urbanity", "make"} & found["no_store"]


def test_assumed_fields_are_always_known(contract: Contract) -> None:
    """The gateway completes a request with them, so a profile never lacks them."""
    found = profiles(contract, {"few": ("age",)})["few"]

    assert {"age", "cover", "voluntary_excess"} == names_of(contract, found)


def test_a_profile_of_a_strange_field_is_refused(contract: Contract) -> None:
    """The field is named."""
    with pytest.raises(BadInput, match=r"mask\.profiles\.few: no field \['agee'\]"):
        profiles(contract, {"few": ("agee",)})


def always(contract: Contract) -> Mask:
    """What a request cannot lack."""
    return np.array(
        [f.name in {"age", "cover", "voluntary_excess"} for f in (*contract.numeric, *contract.categorical)]
    )


def test_nothing_hides_what_a_request_cannot_lack(contract: Contract) -> None:
    """Neither profiles, nor the subsets of calibration, nor training, nor the report: all else is hidden now and then."""
    rng = np.random.default_rng(0)
    ways = [
        np.array(list(profiles(contract, {"nothing": ()}).values())),
        draw(contract, replace(tiny().mask, profile=0.0, groups=0.5, single=0.5), 2000, rng),
        some_missing(contract, 0.5, 2000, rng),
        *subsets(contract, 2000, rng),
    ]

    for known in ways:
        assert (always(contract) == known.all(axis=0)).all()


def test_some_missing_hides_the_share_that_is_asked_for(contract: Contract) -> None:
    """Of every field that can be left open."""
    known = some_missing(contract, 0.2, 20_000, np.random.default_rng(0))

    np.testing.assert_allclose(known.mean(axis=0)[~always(contract)], 0.8, atol=0.015)


def test_calibration_sees_groups_answered_in_part_beside_whole_ones(contract: Contract) -> None:
    """The three ways of leaving questions open: whole groups, few or many fields, and group by group."""
    groups, fields, mixed = subsets(contract, 4000, np.random.default_rng(0))
    driver, vehicle = (
        np.array([f.group == g for f in (*contract.numeric, *contract.categorical)]) & ~always(contract)
        for g in ("driver", "vehicle")
    )

    def in_part(known: Mask, group: Mask) -> Mask:
        return np.asarray(known[:, group].any(axis=1) & ~known[:, group].all(axis=1))

    assert not in_part(groups, driver).any()
    assert pytest.approx(0.5, abs=0.03) == fields[:, driver].mean()
    assert in_part(fields, driver).mean() > 0.7
    assert (in_part(mixed, driver) & mixed[:, vehicle].all(axis=1)).mean() > 0.05


def test_training_hides_in_every_way(contract: Contract) -> None:
    """The shares of whole rows, profiles, groups and single fields are those asked for."""
    params = replace(tiny().mask, profile=0.0, groups=0.3, single=0.2)
    known = draw(contract, params, 20_000, np.random.default_rng(0))
    by_group = np.array(
        [
            [
                names_of(contract, k) >= names_of(contract, group_masks(contract, g[None])[0])
                for g in np.eye(6, dtype=bool)
            ]
            for k in known[:2000]
        ]
    )
    missing = ~known[:2000]
    whole_groups = np.array(
        [
            missing[i].sum()
            == sum(
                (group_masks(contract, g[None])[0] & ~always(contract)).sum()
                for g, k in zip(np.eye(6, dtype=bool), by_group[i], strict=True)
                if not k
            )
            for i in range(2000)
        ]
    )

    assert pytest.approx(0.5, abs=0.03) == known.all(axis=1).mean()
    assert 0.78 <= whole_groups.mean() <= 0.90


def test_the_same_seed_draws_the_same_masks(contract: Contract) -> None:
    """Training can be repeated."""
    first, second = (draw(contract, tiny().mask, 50, np.random.default_rng(5)) for _ in range(2))

    assert (first == second).all()
