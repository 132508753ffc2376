"""The plan: what is stale, why, and what has to be done for it."""

import pytest

from local_fleet.steps import Evidence, Stamp, Step, plan, seconds_left, why_stale

MARKET = Step("market", "market", ("m",), inputs={"enquiries": 60_000}, wanted=True, expected_s=10)
WRANGLE = Step("wrangle", "wrangle", ("w",), after=("market",), inputs={"market": "ab"}, expected_s=5)
TRAIN = Step("train", "train", ("t",), after=("wrangle",), inputs={"market": "ab"}, expected_s=100)
TEST = Step("test", "test", ("e",), after=("train",), inputs={"market": "ab"}, wanted=True, expected_s=20)
STEPS = (MARKET, WRANGLE, TRAIN, TEST)


def valid(*steps: Step) -> dict[str, Evidence]:
    """What finished steps leave."""
    return {s.name: Evidence(Stamp(s.inputs, {"manifest.json": "cd"})) for s in steps}


def test_a_fresh_home_needs_every_step() -> None:
    """Nothing was done yet, so all of it is done, in order."""
    assert ["market", "wrangle", "train", "test"] == list(plan(STEPS, {}))


def test_a_finished_home_needs_none() -> None:
    """A second start has nothing to prepare."""
    assert {} == plan(STEPS, valid(*STEPS))


def test_a_killed_run_goes_on_where_it_was() -> None:
    """Steps that had finished are not repeated."""
    assert {"train": "not done yet", "test": "not done yet"} == plan(STEPS, valid(MARKET, WRANGLE))


def test_intermediate_results_are_not_missed() -> None:
    """A step whose result is only for a later step is not repeated while that one's result is valid."""
    assert {} == plan(STEPS, valid(MARKET, TEST))


def test_a_changed_parameter_redoes_what_depends_on_it() -> None:
    """The reason names the parameter, then and now."""
    before = valid(WRANGLE, TRAIN, TEST) | {"market": Evidence(Stamp({"enquiries": 4000}, {}))}

    reasons = plan(STEPS, before)

    assert "enquiries was 4000, is now 60000" == reasons["market"]
    assert "train is done again" == reasons["test"]
    assert ["market", "wrangle", "train", "test"] == list(reasons)


def test_a_damaged_result_is_redone() -> None:
    """What is wrong with the result is the reason."""
    damaged = Evidence(Stamp(TEST.inputs, {}), "model.pb is missing or changed")

    assert {"test": "model.pb is missing or changed"} == plan(STEPS, valid(MARKET, WRANGLE, TRAIN) | {"test": damaged})


def test_a_result_of_other_inputs_is_stale_even_when_whole() -> None:
    """Fingerprints are shortened in the reason."""
    step = Step("s", "s", (), inputs={"contract": "b" * 64})

    assert f"contract was {'a' * 12}, is now {'b' * 12}" == why_stale(step, Evidence(Stamp({"contract": "a" * 64}, {})))


def test_a_step_that_always_runs_makes_nothing_else_stale() -> None:
    """Looking whether an environment is there does not train a model again."""
    install = Step("install", "install", ("i",), always=True)
    market = Step("market", "market", ("m",), after=("install",), wanted=True)

    assert {"install": ""} == plan((install, market), valid(market))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"inputs": 3, "manifests": {}}', b"\xff"])
def test_what_is_no_stamp_is_none(text: bytes) -> None:
    """A damaged stamp means that its step is done again, not that the start fails."""
    assert Stamp.decode(text) is None


def test_a_stamp_reads_back_as_written() -> None:
    """Encoding loses nothing."""
    stamp = Stamp({"enquiries": 3, "contract": "ab"}, {"market/manifest.json": "cd"})

    assert stamp == Stamp.decode(stamp.encode())


def test_time_left_is_that_of_the_longest_way() -> None:
    """Steps that do not wait for each other run side by side."""
    other = Step("other", "other", (), after=("market",), expected_s=30)

    assert 135 == seconds_left((*STEPS, other), {}, {})


def test_time_left_follows_this_machine() -> None:
    """When what is done took twice as long as expected, so will the rest."""
    assert 250 == seconds_left(STEPS, {"market": 20.0}, {})


def test_a_step_that_says_more_is_believed() -> None:
    """A running step's own estimate counts when it is longer."""
    assert 220 == seconds_left((TRAIN, TEST), {}, {"train": (90.0, "fitting: 31% (90 s, 200 s left) loss 0.3")})


def test_changed_code_is_a_reason_without_digests() -> None:
    """Nobody can do anything with two digests, nor with none."""
    now = Step("s", "s", (), inputs={"code": "b" * 64})

    assert "its code changed" == why_stale(now, Evidence(Stamp({"code": "a" * 64}, {})))
    assert "its code changed" == why_stale(now, Evidence(Stamp({}, {})))
