"""The steps of this repository, and their stamps on disk."""

import json
from pathlib import Path

import pytest

from kit import contract
from kit.files import sha256_of
from local_fleet import preparation
from local_fleet.places import Home, repository
from local_fleet.preparation import Wanted, code_of, evidence_of, stamp, stamp_path, steps_for
from local_fleet.steps import CODE, Step, plan

ROOT = repository()


def steps(home: Home, wanted: Wanted | None = None, market: str = "ab") -> tuple[Step, ...]:
    """All of them, for some market."""
    return steps_for(ROOT, home, wanted or Wanted(), market=market, fingerprint=contract.load().fingerprint)


def finish(home: Home, name: str) -> Step:
    """Do as if a step had run: its manifest with one file, and its stamp."""
    step = next(s for s in steps(home) if s.name == name)
    manifest = Path(str(step.manifests[0]).replace("*", "1"))
    manifest.parent.mkdir(parents=True)
    (manifest.parent / "data").write_bytes(b"data")
    manifest.write_text(json.dumps({"files": {"data": sha256_of(manifest.parent / "data")}}))
    stamp(home, step)
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


def sources(root: Path, *names: str) -> None:
    """A repository with these files, and the locks of two services."""
    for name in (*names, "services/market/requirements.lock", "services/quote-classifier/requirements.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("as it was")


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("services/market/src/market/draw.py", {"market"}),
        ("services/market/requirements.lock", {"market"}),
        ("services/kit/src/kit/contract/motor.toml", {"market", "quote-classifier"}),
        ("services/kit/src/kit/training/nets/net.py", {"quote-classifier"}),
        ("services/quote-classifier/src/quote_classifier/project.py", {"quote-classifier"}),
        ("services/quote-classifier/src/quote_classifier/params.toml", set()),
        ("services/kit/src/kit/deploy/__init__.py", set()),
    ],
)
def test_the_digest_of_the_code_follows_what_a_step_runs(tmp_path: Path, file: str, stale: set[str]) -> None:
    """A changed file is seen by the services that make something with it, and by no other."""
    sources(tmp_path, file)
    before = {service: code_of(tmp_path, service) for service in ("market", "quote-classifier")}
    (tmp_path / file).write_text("another")

    assert stale == {service for service in before if code_of(tmp_path, service) != before[service]}


def test_every_step_but_installations_depends_on_its_code(tmp_path: Path) -> None:
    """A model that other code has made is not served."""
    assert [] == [s.name for s in steps(Home(tmp_path)) if not s.always and len(str(s.inputs.get(CODE, ""))) != 64]


def test_a_stamp_has_the_code_that_was_planned_with(tmp_path: Path) -> None:
    """An edit while a step runs is not taken for what the step ran."""
    home = Home(tmp_path)
    step = finish(home, "market")
    found = evidence_of(home, step).stamp

    assert found is not None
    assert step.inputs == found.inputs


def new_market(home: Home, content: str) -> None:
    """Do as the market's command does, beside the market in force."""
    for folder in (home.next.truth, home.next.market):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"is": content}))


def test_a_new_market_takes_the_old_ones_place(tmp_path: Path) -> None:
    """Both folders are replaced, and nothing is left beside them."""
    home = Home(tmp_path)
    market = next(s for s in steps(home) if s.name == "market")
    for content in ("old", "new"):
        new_market(home, content)
        preparation.finish(home, market)

    assert {"is": "new"} == json.loads((home.market / "manifest.json").read_bytes())
    assert {"is": "new"} == json.loads((home.truth / "manifest.json").read_bytes())
    assert {"market", "truth", "steps"} == {p.name for p in tmp_path.iterdir()}
    assert None is evidence_of(home, market).problem


@pytest.mark.parametrize("moves", [0, 1, 2, 3, 4])
def test_a_kill_while_markets_change_places_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """After any number of moves the old market stands with its stamp, or the step is done again; then all is as it should be."""
    home = Home(tmp_path)
    market = next(s for s in steps(home) if s.name == "market")
    new_market(home, "old")
    preparation.finish(home, market)
    new_market(home, "new")
    real, done = Path.rename, list[Path]()

    def rename(self: Path, target: Path) -> Path:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(self)
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        patch.setattr("local_fleet.places.shutil.rmtree", _killed)
        with pytest.raises(KeyboardInterrupt):
            preparation.finish(home, market)

    assert (moves == 0) == (evidence_of(home, market).problem is None)
    home.next.clear()
    new_market(home, "third")
    preparation.finish(home, market)
    assert None is evidence_of(home, market).problem
    assert {"market", "truth", "steps"} == {p.name for p in tmp_path.iterdir()}


def _killed(_: Path) -> None:
    raise KeyboardInterrupt
