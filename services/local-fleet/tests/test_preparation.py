"""The steps of this repository, and their stamps on disk."""

import json
from pathlib import Path

from kit import contract
from kit.files import sha256_of
from local_fleet.places import Home, repository
from local_fleet.preparation import Wanted, evidence_of, stamp, stamp_path, steps_for
from local_fleet.steps import Step, plan

ROOT = repository()


def steps(home: Home, wanted: Wanted | None = None, market: str = "ab") -> tuple[Step, ...]:
    """All of them, for some market."""
    return steps_for(ROOT, home, wanted or Wanted(), market=market, fingerprint="cd")


def finish(home: Home, name: str) -> Step:
    """Do as if a step had run: its manifest with one file, and its stamp."""
    step = next(s for s in steps(home) if s.name == name)
    manifest = Path(str(step.manifests[0]).replace("*", "1"))
    manifest.parent.mkdir(parents=True)
    (manifest.parent / "data").write_bytes(b"data")
    manifest.write_text(json.dumps({"files": {"data": sha256_of(manifest.parent / "data")}}))
    stamp(ROOT, home, Wanted(), step)
    return step


def test_steps_stand_in_an_order_in_which_they_can_be_done(tmp_path: Path) -> None:
    """Nothing comes before what it waits for, and everything that is waited for exists."""
    names = [s.name for s in steps(Home(tmp_path))]

    assert all(names.index(before) < names.index(s.name) for s in steps(Home(tmp_path)) for before in s.after)


def test_the_models_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Their stages run side by side."""
    for step in steps(Home(tmp_path)):
        if step.name.startswith("quote-classifier"):
            assert not [n for n in step.after if n.startswith("premium-regressor")]


def test_every_command_runs_in_its_services_own_environment(tmp_path: Path) -> None:
    """No step needs what another project has installed."""
    for step in steps(Home(tmp_path)):
        if not step.always:
            service = step.name.split()[0]
            assert step.command[0].endswith(f"services/{service}/.venv/bin/python")


def test_a_finished_step_is_not_done_again(tmp_path: Path) -> None:
    """Its stamp and its files are found and valid."""
    home = Home(tmp_path)
    step = finish(home, "market")

    assert None is evidence_of(home, step).problem
    assert "market" in stamp_path(home, step).name


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    """The bytes are compared with the manifest's sha256."""
    home = Home(tmp_path)
    step = finish(home, "market")
    (home.market / "data").write_bytes(b"dead")

    assert "data is missing or changed" == evidence_of(home, step).problem


def test_a_removed_manifest_is_found(tmp_path: Path) -> None:
    """A folder that was deleted is made again."""
    home = Home(tmp_path)
    step = finish(home, "quote-classifier test")
    (home.store / "quote-classifier" / "1" / "manifest.json").unlink()

    assert "store/quote-classifier/1/manifest.json is missing or changed" == evidence_of(home, step).problem


def test_a_stamp_that_is_no_stamp_counts_as_none(tmp_path: Path) -> None:
    """Whatever lies there, the next start understands it."""
    home = Home(tmp_path)
    step = finish(home, "market")
    stamp_path(home, step).write_bytes(b"\x00")

    assert None is evidence_of(home, step).stamp


def test_other_parameters_train_one_model_again(tmp_path: Path) -> None:
    """A params.toml of its own makes that model's steps stale, and no other's."""
    home, params = Home(tmp_path / "home"), tmp_path / "params.toml"
    params.write_text("epochs = 1\n")
    names = [s.name for s in steps(home) if not s.always]
    for name in names:
        finish(home, name)
    market = sha256_of(home.market / "manifest.json")
    fingerprint = contract.load().fingerprint

    now = steps_for(ROOT, home, Wanted(params={"quote-classifier": params}), market=market, fingerprint=fingerprint)
    todo = plan(now, {s.name: evidence_of(home, s) for s in now})

    assert ["quote-classifier wrangle", "quote-classifier train", "quote-classifier test"] == [
        n for n in todo if n in names
    ]
