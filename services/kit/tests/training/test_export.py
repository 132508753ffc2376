"""Is the SavedModel what TF Serving and the gateway expect, and does it answer alike by every way into it?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tiny import tiny

from kit.contract import Contract
from kit.stage import Quiet
from kit.training.data import slices
from kit.training.data.slices import Rows
from kit.training.data.wrangle import wrangle
from kit.training.nets.export import BATCH_SIZES, WARM_UP, export, raw_inputs, write_warm_up
from kit.training.nets.fit import fit
from kit.training.nets.net import LIKELY, PANEL, PREMIUM, QUOTE, SHORTLIST
from kit.training.nets.served import Served
from kit.training.params import SplitParams

INSURERS = tuple(f"i-{k:04d}" for k in range(1, 7))


@dataclass(frozen=True)
class Trained:
    """A small net with both branches, the rows it was fitted to, and its two exports."""

    net: keras.Model
    rows: Rows
    losses: list[float]
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def trained(market: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Fitted once for all tests here."""
    folder = tmp_path_factory.mktemp("trained")
    wrangle(market, folder, contract, SplitParams(0.7, 0.15), Quiet())
    rows = slices.read(folder / "train.parquet", contract, len(INSURERS))
    net, history = fit(contract, rows, rows, tiny(), Quiet())
    folders = {branch: folder / branch for branch in (QUOTE, PREMIUM)}
    for branch, to in folders.items():
        export(net, branch, contract, INSURERS, to)
        write_warm_up(to, branch, contract, rows.numeric, rows.categorical)
    return Trained(net, rows, [e.loss for e in history], folders)


def test_the_loss_falls(trained: Trained) -> None:
    """Six epochs of a tiny net take much of the loss away."""
    assert trained.losses[-1] < 0.7 * trained.losses[0]


def test_the_same_seed_gives_the_same_net(trained: Trained, contract: Contract) -> None:
    """Weight by weight."""
    again, _ = fit(contract, trained.rows, trained.rows, tiny(), Quiet())

    for first, second in zip(trained.net.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)


def test_signatures_have_the_promised_shapes(trained: Trained, contract: Contract) -> None:
    """Names, types and shapes of inputs and outputs, as the gateway checks them before it takes a bundle."""
    quote, premium = (tf.saved_model.load(str(trained.folders[b])).signatures for b in (QUOTE, PREMIUM))
    packed = {
        "numeric": ([None, len(contract.numeric)], tf.float32),
        "categorical": ([None, len(contract.categorical)], tf.int32),
    }

    def shapes(signature: Any) -> dict[str, object]:
        return {
            name: (spec.shape.as_list(), spec.dtype) for name, spec in signature.structured_input_signature[1].items()
        }

    assert {"serving_default", "packed", "insurers"} == set(quote)
    assert {"serving_default", "packed", "insurers", "panel", "shortlist"} == set(premium)
    assert packed == shapes(quote["packed"]) == shapes(premium["panel"]) == shapes(premium["shortlist"])
    assert {f.name: ([None], tf.float32 if f.is_numeric else tf.string) for f in contract.fields} == shapes(
        quote["serving_default"]
    )
    assert {"probability": [None, 6]} == {n: s.shape.as_list() for n, s in quote["packed"].structured_outputs.items()}
    assert {"log_premium": [None, 6, 3]} == {
        n: s.shape.as_list() for n, s in premium["packed"].structured_outputs.items()
    }
    assert {"log_premium": [None, 2, 3], "likely_insurers": [None, 3]} == {
        n: s.shape.as_list() for n, s in premium["panel"].structured_outputs.items()
    }
    assert {"cheapest_probability": [None, 6]} == {
        n: s.shape.as_list() for n, s in premium["shortlist"].structured_outputs.items()
    }


@pytest.mark.parametrize("branch", [QUOTE, PREMIUM])
def test_both_ways_in_agree(trained: Trained, contract: Contract, branch: str) -> None:
    """By field name or packed, whole or with half the fields hidden, the answer is the same to 1e-6."""
    served = Served(trained.folders[branch])
    known = (
        np.random.default_rng(0).random((len(trained.rows), len(contract.fields)))
        < np.linspace(0, 1, len(trained.rows))[:, None]
    )
    rows = trained.rows.hidden(known)

    by_name = served.by_name(raw_inputs(contract, rows.numeric, rows.categorical))

    np.testing.assert_allclose(served.packed(rows.numeric, rows.categorical), by_name, rtol=0, atol=1e-6)
    assert INSURERS == served.insurers()


def test_the_export_answers_as_the_net(trained: Trained) -> None:
    """Each branch and what follows for the panel are the Keras net's own outputs; numbers of insurers in place of shares."""
    rows = trained.rows.take(slice(32))
    expected = trained.net({"numeric": rows.numeric, "categorical": rows.categorical})
    quote, premium = (Served(trained.folders[b]) for b in (QUOTE, PREMIUM))

    np.testing.assert_allclose(tf.sigmoid(expected[QUOTE]), quote.packed(rows.numeric, rows.categorical), atol=1e-5)
    np.testing.assert_allclose(expected[PREMIUM], premium.packed(rows.numeric, rows.categorical), atol=1e-5)
    np.testing.assert_allclose(expected[PANEL], premium.panel(rows.numeric, rows.categorical), atol=1e-5)
    counts = np.clip(6 * expected[LIKELY], 0, 6)
    np.testing.assert_allclose(counts, premium.likely(rows.numeric, rows.categorical), atol=1e-4)
    np.testing.assert_allclose(
        tf.nn.softmax(expected[SHORTLIST]), premium.shortlist(rows.numeric, rows.categorical), atol=1e-5
    )


def test_the_shortlist_says_who_is_the_cheapest(trained: Trained) -> None:
    """Its probabilities sum to 1, and the insurer that was the cheapest gets far more than its share of them."""
    rows = trained.rows.take(np.isfinite(trained.rows.premium).any(axis=1))
    cheapest = np.where(np.isfinite(rows.premium), rows.premium, np.inf).argmin(axis=1)

    found = Served(trained.folders[PREMIUM]).shortlist(rows.numeric, rows.categorical)

    np.testing.assert_allclose(1.0, found.sum(axis=1), atol=1e-5)
    assert found[np.arange(len(found)), cheapest].mean() > 2 / len(INSURERS)


def test_quantiles_never_cross(trained: Trained) -> None:
    """Low, middle, high, for every insurer and the panel, whatever is hidden."""
    served = Served(trained.folders[PREMIUM])
    rows = trained.rows.hidden(
        np.random.default_rng(0).random(
            (len(trained.rows), trained.rows.numeric.shape[1] + trained.rows.categorical.shape[1])
        )
        < 0.5
    )

    for quantiles in (served.packed(rows.numeric, rows.categorical), served.panel(rows.numeric, rows.categorical)):
        assert np.isfinite(quantiles).all()
        assert (np.diff(quantiles, axis=2) >= 0).all()


def test_what_was_never_seen_is_not_known(trained: Trained, contract: Contract) -> None:
    """A strange string, a code beyond the vocabulary and -1 give the same answer, and none of them fails."""
    served = Served(trained.folders[QUOTE])
    rows = trained.rows.take([0, 0, 0])
    for i, field in enumerate(contract.categorical):
        rows.categorical[:, i] = [-1, len(field.values), 10**6]
    strange = raw_inputs(contract, rows.numeric[:1], rows.categorical[:1])
    strange |= {f.name: np.array(["never-seen"], object) for f in contract.categorical}

    expected, *others = served.packed(rows.numeric, rows.categorical)

    for found in (*others, served.by_name(strange)[0]):
        np.testing.assert_allclose(expected, found, atol=1e-6)


@pytest.mark.parametrize(("branch", "signatures"), [(QUOTE, {"packed"}), (PREMIUM, {"packed", "panel", "shortlist"})])
def test_the_warm_up_file_covers_every_batch_size(trained: Trained, branch: str, signatures: set[str]) -> None:
    """A record for each signature and size, one by field name, and every one of them can be answered."""
    records = list(tf.data.TFRecordDataset(str(trained.folders[branch] / WARM_UP)).as_numpy_iterator())
    requests = [prediction_log_pb2.PredictionLog.FromString(r).predict_log.request for r in records]
    model = tf.saved_model.load(str(trained.folders[branch])).signatures
    sizes = {
        (r.model_spec.signature_name, r.inputs["numeric"].tensor_shape.dim[0].size)
        for r in requests
        if "numeric" in r.inputs
    }

    assert {(s, n) for s in signatures for n in BATCH_SIZES} == sizes
    assert {"serving_default"} == {r.model_spec.signature_name for r in requests} - signatures
    assert {branch} == {r.model_spec.name for r in requests}
    for request in requests:
        call = model[request.model_spec.signature_name]
        answers = call(**{name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()})
        assert all(answer.shape[0] > 0 for answer in answers.values())


def test_the_warm_up_file_holds_nobodys_row(trained: Trained) -> None:
    """Every value is one of its column, and no row is one of those that were given."""
    record = list(tf.data.TFRecordDataset(str(trained.folders[QUOTE] / WARM_UP)).as_numpy_iterator())[-2]
    inputs = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request.inputs
    written = np.hstack([tf.make_ndarray(inputs[name]) for name in ("numeric", "categorical")])
    given = np.hstack([trained.rows.numeric, trained.rows.categorical])

    assert BATCH_SIZES[-1] == len(written)
    assert not {tuple(row) for row in written} & {tuple(row) for row in given}
    assert all(np.isin(written[:, i], given[:, i]).all() for i in range(given.shape[1]))


def test_tf_serving_can_load_it(trained: Trained, contract: Contract) -> None:
    """A version-1 session with the `serve` tag runs the signature by its tensor names, tables initialised."""
    folder, rows = trained.folders[PREMIUM], trained.rows.take(slice(2))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder))
        signature = meta.signature_def["serving_default"]
        values = raw_inputs(contract, rows.numeric, rows.categorical)
        found = session.run(
            signature.outputs["log_premium"].name, {signature.inputs[n].name: v for n, v in values.items()}
        )

    np.testing.assert_allclose(Served(folder).packed(rows.numeric, rows.categorical), found, atol=1e-5)
