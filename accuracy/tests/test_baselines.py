"""Are the baselines fair: do they learn what is there to learn, and survive an insurer from whom nothing can be learnt?"""

import numpy as np
import pytest

from accuracy import baselines
from accuracy.baselines import BOOSTED, KINDS, LINEAR, Answers, Chosen
from kit.contract import Contract
from kit.training.data.slices import Rows
from kit.training.judging import measures

BY_AGE, NEVER, ALWAYS = 0, 1, 2


@pytest.fixture(scope="module")
def chosen(of: Contract, train: Rows) -> Chosen:
    """Tuned on the insurer that can be learnt, and on one that cannot."""
    return baselines.tune(of, train, (BY_AGE, NEVER), lambda _: None)


@pytest.fixture(scope="module")
def answers(chosen: Chosen, train: Rows, held_out: Rows) -> dict[str, Answers]:
    """Of the insurer that quotes by age."""
    return baselines.answers(chosen, train, held_out, BY_AGE)


@pytest.mark.parametrize(("kind", "at_most"), [(BOOSTED, 0.03), (LINEAR, 0.015)])
def test_a_tariff_is_learnt(answers: dict[str, Answers], held_out: Rows, kind: str, at_most: float) -> None:
    """Noise of one per cent leaves an error of little more, and the thresholds of acceptance are found."""
    actual = np.log(held_out.premium[:, BY_AGE])

    assert at_most >= measures.absolute_percentage_error(answers[kind].log_premium, actual)
    assert 0.99 <= measures.auc(answers[kind].score, held_out.quoted[:, BY_AGE] == 1)


def test_each_setting_chosen_is_told(chosen: Chosen) -> None:
    """The report can say with what each kind was fitted."""
    settings = chosen.settings()

    assert set(KINDS) == settings.keys()
    assert {"premium alpha", "quote c"} == settings[LINEAR].keys()
    assert {"premium loss", "premium leaves", "quote leaves"} == settings[BOOSTED].keys()


def test_an_insurer_without_quotes_is_answered_all_the_same(chosen: Chosen, train: Rows, held_out: Rows) -> None:
    """Nothing can be fitted to no premium and to one kind of answer."""
    found = baselines.answers(chosen, train, held_out, NEVER)

    assert all((of.log_premium == 0).all() and (of.score == 0).all() for of in found.values())


def test_an_insurer_that_always_quotes_has_prices_and_no_score(chosen: Chosen, train: Rows, held_out: Rows) -> None:
    """Its price is learnt; who is declined cannot be."""
    found = baselines.answers(chosen, train, held_out, ALWAYS)

    assert all(np.allclose(6.0, of.log_premium, atol=0.01) for of in found.values())
    assert all((of.score == 0).all() for of in found.values())


def test_short_vocabularies_are_split_natively(of: Contract) -> None:
    """Every categorical field is used once, long ones by their target."""
    trees = baselines.Trees.of(of)

    assert set(range(len(of.categorical))) == {*trees.short, *trees.long}
    assert ["model", "sector"] == sorted(of.categorical[i].name for i in trees.long)
