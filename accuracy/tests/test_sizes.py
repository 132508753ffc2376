"""Are the stages those of the projects, each with what it is made from?"""

from pathlib import Path

import pytest

from accuracy import benchmark, sizes
from accuracy.costs import Cost
from accuracy.places import MODELS, Places, repository
from accuracy.sizes import Kitchen, Wanted
from accuracy.steps import Done
from kit.stage import BadInput
from kit.training.params import read

ROOT = repository()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Of a market of 3,000."""
    return Places.of_size(tmp_path, 3000)


@pytest.mark.parametrize("model", MODELS)
def test_no_gate_of_a_release_stands_in_the_way(model: str) -> None:
    """The parameters are the project's own, without the limits of a release: the must-shows judge."""
    raw = sizes.parameters(ROOT, model, None)

    assert [] == raw["gate"]
    assert {"net", "fit", "loss", "mask", "split"} <= raw.keys()
    assert sizes.NO_LIMIT == raw["fairness"]["gap_at_most"]


def test_bad_parameters_are_refused_before_anything_runs(tmp_path: Path) -> None:
    """The message names the file and the parameter."""
    file = tmp_path / "params.toml"
    file.write_text("[spilt]\ntrain = 0.8\n")

    with pytest.raises(BadInput, match=r"params\.toml: no parameter `spilt`; did you mean `split`"):
        sizes.parameters(ROOT, MODELS[0], file)


def test_both_models_are_tested_on_the_same_enquiries(tmp_path: Path, places: Places) -> None:
    """Other shares for one of them end the run at once."""
    own = (ROOT / "services" / MODELS[1] / "src" / "premium_regressor" / "params.toml").read_text()
    file = tmp_path / "params.toml"
    file.write_text(own.replace("train = 0.8", "train = 0.7"))

    with pytest.raises(BadInput, match="differ in `split`"):
        sizes.make(Kitchen(ROOT, places, lambda _: None), Wanted(3000, params={MODELS[1]: file}))


def test_what_is_written_for_a_stage_can_be_read_by_it(tmp_path: Path, places: Places) -> None:
    """The parameters, written again, are parameters."""
    with pytest.raises(Stopped):
        sizes.make(Stopping(ROOT, places, lambda _: None), Wanted(3000))

    for model in MODELS:
        assert () == read(places.params(model).read_text()).gate
    assert tmp_path in places.params(MODELS[0]).parents


class Stopped(Exception):
    """No stage is run here."""


class Stopping(Kitchen):
    """Does nothing."""

    def do(self, step: object) -> Done:
        """Stop before the first stage."""
        raise Stopped(step)


def test_the_market_is_the_fleets(places: Places) -> None:
    """Size and seed are arguments and inputs."""
    step = sizes.market(ROOT, places, Wanted(3000, seed=7))

    assert {"enquiries": 3000, "insurers": 60, "seed": 7}.items() <= step.inputs.items()
    assert "3000" == step.command[step.command.index("--enquiries") + 1]
    assert str(places.truth) == step.command[step.command.index("--truth") + 1]


def test_what_a_stage_does_not_read_does_not_spoil_it(places: Places) -> None:
    """Another calibration trains nothing anew, other epochs do, and neither wrangles again."""
    params = sizes.parameters(ROOT, MODELS[0], None)
    epochs = params | {"fit": params["fit"] | {"epochs": 1}}
    level = params | {"calibration": params["calibration"] | {"level": 0.5}}

    def inputs(step: str, of: dict[str, object]) -> dict[str, str | int]:
        if step == "wrangle":
            return dict(sizes.wrangle(ROOT, places, of).inputs)
        return dict({"train": sizes.train, "test": sizes.test}[step](ROOT, places, MODELS[0], of).inputs)

    assert inputs("train", params) == inputs("train", level)
    assert inputs("train", params) != inputs("train", epochs)
    assert inputs("test", params) != inputs("test", level)
    assert inputs("wrangle", params) == inputs("wrangle", level) == inputs("wrangle", epochs)


def test_a_training_that_was_broken_off_begins_anew(places: Places) -> None:
    """Its cost is that of the whole, and so what it could go on with is removed."""
    step = sizes.train(ROOT, places, MODELS[0], sizes.parameters(ROOT, MODELS[0], None))

    assert Path(f"{places.trained(MODELS[0])}.checkpoint.npz") == step.leftover


def test_every_market_has_its_folder(tmp_path: Path) -> None:
    """Another seed or panel goes to another one, and the fleet's keeps the plain name."""
    found = [Places.of_size(tmp_path, 3000, *of).work.name for of in ((), (60, 1), (12, 1), (60, 7), (12, 7))]

    assert ["3000", "3000", "3000-12-insurers", "3000-seed-7", "3000-12-insurers-seed-7"] == found


def test_the_newest_version_is_compared(tmp_path: Path) -> None:
    """By number; a store without one is refused."""
    for version in ("9", "10", "tmp"):
        (tmp_path / "a-model" / version).mkdir(parents=True)
        (tmp_path / "a-model" / version / "manifest.json").touch()

    assert 10 == sizes.newest(tmp_path, "a-model")
    with pytest.raises(BadInput, match="has no other-model"):
        sizes.newest(tmp_path, "other-model")


def test_rates_are_without_the_start() -> None:
    """Enquiries per second of answering; a model whose stage did not say has none."""
    done = {
        "quote-classifier score": Done(Cost(9.0, 1.0, 1, 2.0), ""),
        "premium-regressor score": Done(Cost(9.0, 1.0, 1), ""),
    }

    assert {"quote-classifier": 500.0} == sizes.rates(done, 1000)


def test_a_small_sample_of_insurers_is_the_beginning_of_a_large_one() -> None:
    """So that sizes with other samples share insurers."""
    assert benchmark.sampled(60, 12)[:6] == benchmark.sampled(60, 6)
    assert set(range(60)) == set(benchmark.sampled(60, 99))
    assert benchmark.default_insurers(1_000_000) < benchmark.default_insurers(20_000)
