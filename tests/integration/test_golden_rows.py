"""Is what the test stage wrote down what the model server answers: through every signature, alone and in a batch?"""

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from e2e.fleets import MODELS, ROOT
from numpy.typing import NDArray

from kit import contract
from kit.artefacts import Store
from kit.tensors import decode_response, encode_request

READY_WITHIN_S = 120
CALL_TIMEOUT_S = 30
ROUNDING = 1e-5
"""Float32 sums differ a little between batch sizes."""
INSURERS_ROUNDING = 60 * ROUNDING
"""A number of insurers is a share times their number."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Served:
    """An artefact behind a model server."""

    model: str
    golden: Sequence[Mapping[str, Any]]
    channel: grpc.Channel

    def predict(self, signature: str, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """All outputs of the signature, by name."""
        call = self.channel.unary_unary("/tensorflow.serving.PredictionService/Predict", None, None)
        return decode_response(call(encode_request(self.model, None, signature, inputs), timeout=CALL_TIMEOUT_S))

    def expected(self, section: str = "outputs") -> Mapping[str, Array]:
        """What golden.jsonl says, by name."""
        return {name: np.array([row[section][name] for row in self.golden]) for name in self.golden[0][section]}

    def packed(self) -> dict[str, Array]:
        """The golden rows as packed rows."""
        numeric = [[np.nan if value is None else value for value in row["numeric"]] for row in self.golden]
        return {
            "numeric": np.array(numeric, np.float32),
            "categorical": np.array([row["categorical"] for row in self.golden], np.int32),
        }

    def raw(self) -> dict[str, Array]:
        """The golden rows by field name; what is not known is NaN or empty."""
        return {f.name: self._column(f.name, is_numeric=f.is_numeric) for f in contract.load().fields}

    def _column(self, name: str, *, is_numeric: bool) -> Array:
        values = [row["raw"][name] for row in self.golden]
        if is_numeric:
            return np.array([np.nan if value is None else value for value in values], np.float32)
        return np.array([value or "" for value in values], object)


@contextmanager
def model_server(model: str, store: Path, version: int, folder: Path) -> Iterator[grpc.Channel]:
    """A model server with batching, as a fleet starts it, on free ports."""
    batching = folder / "batching.config"
    batching.write_text("max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n")
    config = folder / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "{model}" base_path: "{store / model}" model_platform: "tensorflow" '
        f"model_version_policy {{ specific {{ versions: {version} }} }} }} }}"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = [
        f"--port={port}",
        f"--model_config_file={config}",
        "--enable_batching=true",
        f"--batching_parameters_file={batching}",
    ]
    python = str(ROOT / "services" / "model-server" / ".venv" / "bin" / "python")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([python, "-m", "model_server", *flags], stdout=log, stderr=subprocess.STDOUT)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=READY_WITHIN_S)
            yield channel
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module", params=MODELS)
def served(request: pytest.FixtureRequest, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each model's newest artefact, served."""
    model: str = request.param
    version = Store(str(store)).versions(model)[-1]
    golden = [json.loads(line) for line in (store / model / str(version) / "golden.jsonl").read_text().splitlines()]
    with model_server(model, store, version, tmp_path_factory.mktemp(model)) as channel:
        yield Served(model, golden, channel)


def same(expected: Mapping[str, Array], found: Mapping[str, Array], rounding: float = ROUNDING) -> None:
    """Every output is there, and none differs by more than rounding."""
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(values, found[name], rtol=0, atol=rounding, err_msg=name)


def test_packed_rows_get_their_golden_answers(served: Served) -> None:
    """What the gateway sends, all rows in one call."""
    same(served.expected(), served.predict("packed", served.packed()))


def test_named_fields_get_their_golden_answers(served: Served) -> None:
    """What anybody else sends: raw values by field name."""
    same(served.expected(), served.predict("serving_default", served.raw()))


def test_a_row_alone_gets_its_golden_answer(served: Served) -> None:
    """The rest of a batch makes no difference."""
    alone = {name: column[:1] for name, column in served.packed().items()}

    same({name: values[:1] for name, values in served.expected().items()}, served.predict("packed", alone))


@pytest.mark.parametrize("served", ["premium-regressor"], indirect=True)
@pytest.mark.parametrize(("signature", "rounding"), [("panel", INSURERS_ROUNDING), ("shortlist", ROUNDING)])
def test_the_panels_figures_get_their_golden_answers(served: Served, signature: str, rounding: float) -> None:
    """The regressor's other heads: best prices and how many quote, and who is the cheapest."""
    same(served.expected(signature), served.predict(signature, served.packed()), rounding)
