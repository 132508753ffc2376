"""The artefact store and the stages' places on Azure Blob, by the wire: Azurite, which answers as Azure does."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Barrier
from typing import Final
from uuid import uuid4

import fsspec
import pytest

from kit.artefacts import CLAIM, BadArtefact, Manifest, Published, Store
from kit.artefacts.__main__ import main
from kit.bundles import CLASSIFIER, REGRESSOR, Release, assemble, list_bundles, read_bundle, read_release
from kit.stage import BadInput
from kit.training.places import reading, writing_file, writing_folder

ROOT: Final = Path(__file__).resolve().parents[2]
OPTIONS: Final = ("--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent")
LISTENS: Final = "successfully listens on "
# The account that every Azurite has; its key is in Azurite's manual.
ACCOUNT: Final = "devstoreaccount1"
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PUBLISHERS: Final = 4

KILLED_PUBLISHER: Final = """
import os, signal, sys
from pathlib import Path
from kit.artefacts import Manifest, Store

class Killed(Store):
    def __init__(self, url):
        super().__init__(url)
        upload = self._fs.put_file
        def last_upload(*arguments):
            upload(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        self._fs.put_file = last_upload

Killed(sys.argv[1]).publish(Path(sys.argv[2]), Manifest("quote-classifier", 0, "", "", "", "", ()))
"""


def manifest(project: str) -> Manifest:
    """What an artefact says of itself before it is published."""
    return Manifest(project, 0, "2025-10-01T00:00:00+00:00", "abc", "f" * 64, "d" * 64, ("i-0001", "i-0002"))


def fail_inside(place: AbstractContextManager[Path]) -> None:
    """Write something, and break off."""
    with place as folder:
        (folder / "third").touch()
        raise BadInput("stop")


@pytest.fixture(scope="module")
def azurite() -> Iterator[None]:
    """Azure Blob on this machine, where whatever reads az:// finds it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Azurite needs Node and npm")
    command = [str(ROOT / "scripts" / "azurite"), *OPTIONS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, pytest.MonkeyPatch.context() as patch:
        assert process.stdout is not None
        try:
            url = next((line.partition(LISTENS)[2].strip() for line in process.stdout if LISTENS in line), None)
            assert url is not None, "Azurite ended before it listened"
            patch.setenv(
                "AZURE_STORAGE_CONNECTION_STRING",
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={url}/{ACCOUNT};",
            )
            yield
        finally:
            fsspec.get_filesystem_class("az").clear_instance_cache()
            process.terminate()


@pytest.fixture
def url(azurite: None) -> str:  # noqa: ARG001 -- it has to run
    """An empty container."""
    container = f"test-{uuid4().hex[:12]}"
    fsspec.filesystem("az").mkdir(container)
    return f"az://{container}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model's artefact."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights" * 100_000)
    (folder / "calibration.json").write_text('{"level": 0.8}')
    return folder


def test_what_was_published_is_fetched_byte_for_byte(
    url: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also by the command line that a model pod's init container runs, and a second time without a word."""
    store = Store(f"{url}/store")
    published = [store.publish(model, manifest(CLASSIFIER)) for _ in range(2)]
    named = ["--project", CLASSIFIER, "--version", "2", "--sha256", published[1].sha256]
    place = ["--store", f"{url}/store"]

    fetched = main(["fetch", *place, *named, "--to", str(tmp_path / "pod")])
    verified = main(["verify", *place, *named])

    assert (0, 0) == (fetched, verified), capsys.readouterr().err
    assert [1, 2] == Store(f"{url}/store").versions(CLASSIFIER)
    files = {str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    copied = {n: (tmp_path / "pod" / "2" / n).read_bytes() for n in files}
    assert files == copied
    assert set(files) == set(store.fetch(published[1], tmp_path / "pod").files)
    assert not (tmp_path / "pod" / "2" / CLAIM).exists()


def test_a_changed_blob_is_refused(url: str, model: Path, tmp_path: Path) -> None:
    """One byte is enough, a missing file too, and so is another manifest; nothing is left in the pod."""
    store = Store(url)
    published = store.publish(model, manifest(CLASSIFIER))

    with pytest.raises(BadArtefact, match="expected 000000000000"):
        store.fetch(Published(CLASSIFIER, 1, "0" * 64), tmp_path / "pod")
    store.write(b"grapf", CLASSIFIER, "1", "saved_model.pb")
    for refuse in (store.verify, lambda named: store.fetch(named, tmp_path / "pod")):
        with pytest.raises(BadArtefact, match=r"quote-classifier/1/saved_model\.pb is not what the manifest says"):
            refuse(published)
    fsspec.filesystem("az").rm_file(store.path(CLASSIFIER, 1, "saved_model.pb"))
    with pytest.raises(BadArtefact, match=r"quote-classifier/1 is not whole in the store: saved_model\.pb"):
        store.fetch(published, tmp_path / "pod")

    assert [] == list((tmp_path / "pod").iterdir())


def test_a_killed_publisher_leaves_no_version(url: str, model: Path, tmp_path: Path) -> None:
    """What it uploaded is no artefact for anybody, its number is not given again, and a day later it is swept."""
    killed = subprocess.run([sys.executable, "-c", KILLED_PUBLISHER, url, str(model)], check=False)
    store = Store(url)

    assert -signal.SIGKILL == killed.returncode
    assert [] == store.versions(CLASSIFIER)
    with pytest.raises(BadArtefact, match=r"quote-classifier/1/manifest\.json is not in the store"):
        store.manifest(CLASSIFIER, 1)
    published = store.publish(model, manifest(CLASSIFIER))
    assert (2, [2]) == (published.version, store.versions(CLASSIFIER))
    assert 3 == len(store.fetch(published, tmp_path / "pod").files)
    half = fsspec.filesystem("az").find(store.path(CLASSIFIER, 1))
    assert 2 == len(half)

    store.write(b"2020-01-01T00:00:00+00:00", CLASSIFIER, "1", CLAIM)
    assert 3 == store.publish(model, manifest(CLASSIFIER)).version
    assert [store.path(CLASSIFIER, 1, CLAIM)] == fsspec.filesystem("az").find(store.path(CLASSIFIER, 1))


def test_publishers_at_the_same_moment_get_versions_of_their_own(url: str, model: Path) -> None:
    """And each of them is whole."""
    together = Barrier(PUBLISHERS)

    def publish(_: int) -> Published:
        store = Store(url)
        together.wait()
        return store.publish(model, manifest(CLASSIFIER))

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        published = list(pool.map(publish, range(PUBLISHERS)))

    store = Store(url)
    assert list(range(1, PUBLISHERS + 1)) == sorted(p.version for p in published)
    assert list(range(1, PUBLISHERS + 1)) == store.versions(CLASSIFIER)
    assert {3} == {len(store.verify(p).files) for p in published}


def test_a_bundle_and_a_release_are_read_from_there(url: str, model: Path) -> None:
    """Two artefacts make one bundle, whoever asks; the release that names it lies beside."""
    store = Store(url)
    published = [store.publish(model, manifest(project)) for project in (CLASSIFIER, REGRESSOR)]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: assemble(Store(url)), range(2)))
    bundle = assemble(store)
    assert bundle is not None
    store.write(Release(bundle.id).encode(), "release.json")

    read = read_bundle(store, read_release(f"{url}/release.json").stable)

    assert published == [read.classifier, read.regressor]
    assert {b.id for b in made if b is not None} == set(list_bundles(store))


def test_stages_read_and_write_there(url: str) -> None:
    """A folder and a file go there and come back; what was there before is gone, and a failure changes nothing."""
    for text in ("first", "second"):
        with writing_folder(f"{url}/out") as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / text).write_text(text)
        with writing_file(f"{url}/one.parquet") as file:
            file.write_text(text)
    with pytest.raises(BadInput, match="stop"):
        fail_inside(writing_folder(f"{url}/out"))

    with reading(f"{url}/out") as folder, reading(f"{url}/one.parquet") as file:
        assert [Path("deep/second")] == [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
        assert "second" == file.read_text()
    with pytest.raises(BadInput, match="there is nothing at az://"), reading(f"{url}/nowhere"):
        pass
