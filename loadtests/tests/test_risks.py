"""The questions are the contract's, varied and repeatable."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from risks import Questions, Zipf
from settings import Settings

from kit.contract import Contract, load

SETTINGS = Settings.read()


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load()


@pytest.fixture(scope="module")
def questions(contract: Contract) -> Questions:
    return Questions(contract, SETTINGS.mix, SETTINGS.risks)


def risks(questions: Questions, count: int) -> list[dict[str, Any]]:
    chance = random.Random(3)  # noqa: S311
    return [questions.risk(chance)[0] for _ in range(count)]


def test_every_answer_is_within_the_contract(questions: Questions, contract: Contract) -> None:
    """Field by field: the right group, within its range or its list."""
    for risk in risks(questions, 500):
        for group, answers in risk.items():
            for name, value in answers.items():
                if name not in {"vehicle_id", "consent"}:
                    field = contract.field(name)
                    assert group == field.group
                    assert value in field.values if field.values else field.minimum <= value <= field.maximum


def test_no_risk_contradicts_itself(questions: Questions, contract: Contract) -> None:
    """Licence, bonus and residence fit the age; an id excludes what the store knows; history has its consent."""
    stored = {f.name for e in contract.entities for f in contract.fields_of(e.name)}
    for risk in risks(questions, 500):
        flat = {name: value for answers in risk.values() for name, value in answers.items()}
        assert all(flat[o.least] + o.gap <= flat[o.most] for o in contract.orders if {o.least, o.most} <= set(flat))
        assert not ("vehicle_id" in flat and stored & set(flat))
        assert risk["history"]["consent"] is True


def test_the_typical_ranges_are_the_contracts(contract: Contract) -> None:
    """A typo in load.toml is noticed here."""
    for name, (low, high) in SETTINGS.risks.typical.items():
        field = contract.field(name)
        assert field.minimum <= low <= high <= field.maximum


def test_the_same_seed_asks_the_same(questions: Questions, contract: Contract) -> None:
    """Two runs differ by the server, not by the questions."""
    again = Questions(contract, SETTINGS.mix, SETTINGS.risks)
    chances = [random.Random(1), random.Random(1)]  # noqa: S311

    asked = [[one.ask(chance) for _ in range(50)] for one, chance in zip((questions, again), chances, strict=True)]

    assert asked[0] == asked[1]


def test_the_mix_is_the_mix(questions: Questions) -> None:
    """Of ten thousand requests, each kind has its weight."""
    chance = random.Random(5)  # noqa: S311

    drawn = Counter(questions.ask(chance).name for _ in range(10_000))

    assert SETTINGS.mix == pytest.approx({kind: n / 100 for kind, n in drawn.items()}, abs=1.5)


def test_unknown_cars_explain_their_degradation(questions: Questions) -> None:
    """About one in a hundred ids is in no store, and only there an unknown entity is as it should be."""
    chance = random.Random(5)  # noqa: S311

    asks = [questions.ballpark(chance) for _ in range(5_000)]
    unknown = [a for a in asks if a.explains]

    assert 25 <= len(unknown) <= 80
    assert all(int(json.loads(a.body)["risk"]["vehicle"]["vehicle_id"][2:]) >= SETTINGS.risks.vehicles for a in unknown)


def test_few_cars_are_asked_for_often() -> None:
    """Zipf: the most popular of 1,000 comes about as often as its share says."""
    zipf, chance = Zipf([str(i) for i in range(1_000)], 1.1, seed=1), random.Random(2)  # noqa: S311

    (_, first), (_, second) = Counter(zipf.draw(chance) for _ in range(20_000)).most_common(2)

    share = 1 / sum(k**-1.1 for k in range(1, 1_001))
    assert share == pytest.approx(first / 20_000, rel=0.1)
    assert 2**1.1 == pytest.approx(first / second, rel=0.15)
