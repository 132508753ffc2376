"""Ranges of enquiries: the same chance whatever is asked for, and answers that agree with each other."""

from datetime import timedelta

import numpy as np
import pytest
from conftest import ENQUIRIES, Drawn
from hypothesis import given, settings, strategies as st

from kit.contract import Contract
from market import enquiries
from market.drift import still
from market.enquiries import Enquiries, Plan
from market.insurers import Market
from market.outcomes import DECLINE, NO_RESPONSE, QUOTE, TIMEOUT_S
from market.randomness import BLOCK
from market.scenarios import BEGINS


def _assert_same(expected: Enquiries, actual: Enquiries) -> None:
    for name in Enquiries.__slots__:
        left, right = getattr(expected, name), getattr(actual, name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            assert left.keys() == right.keys()
            for column in left:
                np.testing.assert_array_equal(left[column], right[column])


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_range_equals_its_slice(data: st.DataObject, contract: Contract, drawn: Drawn) -> None:
    """Enquiries first to last are the same, to the bit, as when all are drawn."""
    first = data.draw(st.integers(0, ENQUIRIES - 1))
    last = data.draw(st.integers(first + 1, min(ENQUIRIES, first + 2 * BLOCK)))

    for part in enquiries.between(contract, still(drawn.market, 8), drawn.plan, first, last):
        whole = drawn.blocks[part.first // BLOCK]
        begin = part.first % BLOCK
        _assert_same(whole[begin : begin + len(part.ids)], part)


def test_ids_run_on(drawn: Drawn) -> None:
    """Every enquiry has its number, and none is missing."""
    np.testing.assert_array_equal(np.arange(ENQUIRIES), drawn.all("ids"))


def test_an_insurer_answers_alike_in_other_company(contract: Contract, drawn: Drawn) -> None:
    """What an insurer answers does not depend on which others there are."""
    one = drawn.market.insurers[7]
    alone = Market(drawn.market.seed, drawn.market.base, drawn.market.factors, drawn.market.groups, (one,))

    (first, *_) = enquiries.between(contract, still(alone, 8), drawn.plan, 0, BLOCK)

    np.testing.assert_array_equal(drawn.blocks[0].premium[:, 7], first.premium[:, 0])
    np.testing.assert_array_equal(drawn.blocks[0].response_s[:, 7], first.response_s[:, 0])


def test_another_seed_is_another_market(contract: Contract, drawn: Drawn) -> None:
    """The seed decides who asks."""
    (other, *_) = enquiries.between(contract, still(drawn.market, 8), Plan(2, BLOCK, 8), 0, BLOCK)

    assert not np.array_equal(drawn.blocks[0].columns["age"], other.columns["age"])


def test_enquiries_are_in_the_order_of_time(drawn: Drawn) -> None:
    """They are spread evenly over the weeks, and never before or after."""
    asked = drawn.all("asked_at_us")
    begins = int(BEGINS.timestamp()) * 1_000_000
    weeks = np.bincount((asked - begins) // int(timedelta(weeks=1).total_seconds() * 1_000_000))

    assert (np.diff(asked) >= 0).all()
    assert drawn.plan.weeks == len(weeks)
    assert weeks.max() - weeks.min() <= 2


def test_a_premium_stands_with_a_quote_alone(drawn: Drawn) -> None:
    """A quote has a premium in whole pence, and nothing else has one."""
    outcome, premium = drawn.all("outcome"), drawn.all("premium")

    np.testing.assert_array_equal(outcome == QUOTE, ~np.isnan(premium))
    quoted = premium[outcome == QUOTE]
    np.testing.assert_allclose(quoted, np.round(quoted, 2), rtol=0, atol=1e-9)


def test_a_decline_has_a_reason(drawn: Drawn) -> None:
    """An answer is a decline exactly when a rule, the cap or the footprint fired."""
    outcome, reason = drawn.all("outcome"), drawn.all("reason")
    answered = outcome != NO_RESPONSE

    np.testing.assert_array_equal((outcome == DECLINE)[answered], (reason > 0)[answered])


def test_the_true_probability_of_a_decline_is_kept(drawn: Drawn) -> None:
    """In ten classes of it, as many decline as it says; where a rule fires, it is 1."""
    chance, declines = drawn.all("decline_chance").ravel(), (drawn.all("reason") > 0).ravel()
    classes = np.minimum((10 * chance).astype(int), 10)

    for n in np.unique(classes):
        chosen = classes == n
        error = 4 * np.sqrt(0.25 / chosen.sum()) + 0.005
        assert abs(declines[chosen].mean() - chance[chosen].mean()) < error, n
    assert declines[chance == 1].all()


def test_no_response_is_a_time_out(drawn: Drawn) -> None:
    """Who did not answer was waited for until the end; nobody else took that long."""
    outcome, seconds = drawn.all("outcome"), drawn.all("response_s")

    np.testing.assert_array_equal(outcome == NO_RESPONSE, seconds >= TIMEOUT_S)
    assert 0.005 < (outcome == NO_RESPONSE).mean() < 0.02


def test_the_oracle_is_as_far_off_as_the_noise(drawn: Drawn) -> None:
    """Nobody can predict premiums better than the price before noise does: about 0.09 in the log."""
    premium, true = drawn.all("premium"), drawn.all("log_price")
    quoted = ~np.isnan(premium)

    error = np.log(premium[quoted]) - true[quoted]

    assert 0.07 < np.sqrt(np.mean(error**2)) < 0.10
    assert abs(np.mean(error)) < 0.01


def test_a_range_outside_the_plan_is_refused(contract: Contract, drawn: Drawn) -> None:
    """There are as many enquiries as were planned."""
    with pytest.raises(ValueError, match="of 0 to 20000"):
        list(enquiries.between(contract, still(drawn.market, 8), drawn.plan, 0, ENQUIRIES + 1))
