"""What does TF Serving get? A SavedModel whose signatures all share one graph from the packed row on, and its warm-up file.

serving_default  every field of the contract by name: numbers float32[B] (bools 0 or 1) with NaN, strings [B] with "" for "not known"
packed           numeric float32[B, N], categorical int32[B, M]
panel            as packed (only where the net has a panel head): the panel's best prices, and how many insurers are likely to quote
shortlist        as packed (likewise): who will be the cheapest
insurers         nothing; string[K]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from kit.contract import Contract
from kit.rows import Categorical, Numeric
from kit.training.data.slices import mixed
from kit.training.nets.net import LIKELY, PANEL, PREMIUM, QUOTE, SHORTLIST

PROBABILITY: Final = "probability"
LOG_PREMIUM: Final = "log_premium"
LIKELY_INSURERS: Final = "likely_insurers"
CHEAPEST_PROBABILITY: Final = "cheapest_probability"
DEFAULT, PACKED, PANEL_SIGNATURE, INSURERS = "serving_default", "packed", "panel", "insurers"
SHORTLIST_SIGNATURE: Final = "shortlist"
WARM_UP: Final = Path("assets.extra", "tf_serving_warmup_requests")
SEED: Final = 4  # of the shuffling
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128)


def export(net: keras.Model, branch: str, contract: Contract, insurers: Sequence[str], folder: Path) -> None:
    """Write one branch of the net (`QUOTE` or `PREMIUM`) as a SavedModel."""
    module = tf.Module()
    module.weights = [v.value for v in net.variables]
    module.tables = [_lookup(f.values) for f in contract.categorical]
    row = {
        "numeric": tf.TensorSpec((None, len(contract.numeric)), tf.float32, name="numeric"),
        "categorical": tf.TensorSpec((None, len(contract.categorical)), tf.int32, name="categorical"),
    }
    fields = {
        f.name: tf.TensorSpec((None,), tf.float32 if f.is_numeric else tf.string, name=f.name) for f in contract.fields
    }
    own, output = _part(net, branch), PROBABILITY if branch == QUOTE else LOG_PREMIUM

    def packed(numeric: Any, categorical: Any) -> dict[str, Any]:
        found = own({"numeric": numeric, "categorical": categorical}, training=False)
        return {output: tf.sigmoid(found) if branch == QUOTE else found}

    def by_name(**values: Any) -> dict[str, Any]:
        numeric = tf.stack([values[f.name] for f in contract.numeric], axis=1)
        codes = [table.lookup(values[f.name]) for table, f in zip(module.tables, contract.categorical, strict=True)]
        return packed(numeric, tf.stack(codes, axis=1))

    def names() -> dict[str, Any]:
        return {INSURERS: tf.constant(list(insurers))}

    signatures = {
        DEFAULT: tf.function(by_name).get_concrete_function(**fields),
        PACKED: tf.function(packed).get_concrete_function(**row),
        INSURERS: tf.function(names).get_concrete_function(),
    }
    if branch == PREMIUM and PANEL in net.output:
        best, cheapest = _part(net, PANEL, LIKELY), _part(net, SHORTLIST)

        def panel(numeric: Any, categorical: Any) -> dict[str, Any]:
            prices, share = best({"numeric": numeric, "categorical": categorical}, training=False)
            return {LOG_PREMIUM: prices, LIKELY_INSURERS: len(insurers) * tf.clip_by_value(share, 0.0, 1.0)}

        def shortlist(numeric: Any, categorical: Any) -> dict[str, Any]:
            odds = cheapest({"numeric": numeric, "categorical": categorical}, training=False)
            return {CHEAPEST_PROBABILITY: tf.nn.softmax(odds)}

        signatures[PANEL_SIGNATURE] = tf.function(panel).get_concrete_function(**row)
        signatures[SHORTLIST_SIGNATURE] = tf.function(shortlist).get_concrete_function(**row)
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _part(net: keras.Model, *outputs: str) -> keras.Model:
    """The net cut down to what some outputs need; one output is not in a list."""
    found = [net.output[output] for output in outputs]
    return keras.Model(net.input, found if len(found) > 1 else found[0])


def _lookup(values: Sequence[str]) -> Any:
    content = tf.lookup.KeyValueTensorInitializer(tf.constant(list(values)), tf.range(len(values), dtype=tf.int32))
    return tf.lookup.StaticHashTable(content, default_value=-1)


def raw_inputs(contract: Contract, numeric: Numeric, categorical: Categorical) -> dict[str, NDArray[Any]]:
    """Packed rows as `serving_default` wants them: float32[B] by name with NaN, and arrays of str [B] with "" for "not known"."""
    values: dict[str, NDArray[Any]] = {f.name: numeric[:, i] for i, f in enumerate(contract.numeric)}
    for i, field in enumerate(contract.categorical):
        spelt = np.array([*field.values, ""], object)  # -1 takes the last
        values[field.name] = spelt[categorical[:, i]]
    return values


def write_warm_up(folder: Path, project: str, contract: Contract, numeric: Numeric, categorical: Categorical) -> int:
    """Write a request per signature and batch size beside the SavedModel in `folder`; how many there are.

    The rows are made of the given ones with each column shuffled by itself: the file travels with the model, and must hold nobody's row.

    TF Serving replays them before it calls a version available, so that no customer waits for a first execution. `insurers` is left
    out: it has no inputs, and a server that batches refuses such a request, and with it the whole version.
    """
    reader = tf.saved_model.load(str(folder))
    numeric, categorical = mixed(numeric, categorical, SEED)
    requests = []
    for size in BATCH_SIZES:
        take = np.arange(size) % len(numeric)
        row = {"numeric": numeric[take], "categorical": categorical[take]}
        requests += [
            _request(project, name, row)
            for name in (PACKED, PANEL_SIGNATURE, SHORTLIST_SIGNATURE)
            if name in reader.signatures
        ]
    requests.append(_request(project, DEFAULT, raw_inputs(contract, numeric[:1], categorical[:1])))
    path = folder / WARM_UP
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
    return len(requests)


def _request(project: str, signature: str, inputs: Mapping[str, NDArray[Any]]) -> Any:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = project
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request
