"""Writes a SavedModel of the premium regressor's size: `python make_model.py FOLDER`. 120 insurers, 3 quantiles, signature `packed`.

The weights are random: what is measured is the time that a net of this shape takes, not what it says.
"""

import itertools
import sys
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

INSURERS: Final = 120
QUANTILES: Final = 3
NUMERIC: Final = 20
CATEGORICAL: Final = 13
VOCABULARY: Final = 64
ROWS: Final = 32


class Regressor(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """Embeddings and numbers into a shared trunk, and one head of insurers times quantiles."""

    def __init__(self, width: int = 128, layers: int = 3) -> None:
        super().__init__()
        random = tf.random.Generator.from_seed(7)
        self.tables = [tf.Variable(random.normal([VOCABULARY, 8])) for _ in range(CATEGORICAL)]
        self.mean, self.scale = tf.Variable(random.normal([NUMERIC])), tf.Variable(tf.ones([NUMERIC]) * 2.0)
        sizes = [2 * NUMERIC + 8 + 8 * CATEGORICAL] + [width] * layers
        self.trunk = [
            (tf.Variable(random.normal([before, after]) * before**-0.5), tf.Variable(tf.zeros([after])))
            for before, after in itertools.pairwise(sizes)
        ]
        self.head = tf.Variable(random.normal([width, INSURERS * QUANTILES]) * width**-0.5)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, NUMERIC], tf.float32, "numeric"),
            tf.TensorSpec([None, CATEGORICAL], tf.int32, "categorical"),
        ]
    )  # type: ignore[untyped-decorator]
    def packed(self, numeric: Any, categorical: Any) -> dict[str, Any]:
        """Quantiles that ascend, for every row and insurer."""
        missing = tf.math.is_nan(numeric)
        numeric = (tf.where(missing, 0.0, numeric) - self.mean) / self.scale
        flags = tf.cast(missing, tf.float32)
        derived = tf.concat([tf.math.log1p(tf.abs(numeric[:, :4])), tf.square(numeric[:, 4:8])], axis=1)
        codes = tf.clip_by_value(categorical + 1, 0, VOCABULARY - 1)
        parts = [numeric, flags, derived]
        for place, table in enumerate(self.tables):
            known = tf.cast(tf.expand_dims(codes[:, place] > 0, 1), tf.float32)
            parts.append(tf.gather(table, codes[:, place]) * known)
        x = tf.concat(parts, axis=1)
        for weights, bias in self.trunk:
            x = tf.nn.gelu(tf.matmul(x, weights) + bias)
            x = (x - tf.reduce_mean(x, axis=1, keepdims=True)) * tf.math.rsqrt(
                tf.math.reduce_variance(x, 1, keepdims=True) + 1e-3
            )
        steps = tf.reshape(tf.matmul(x, self.head), [-1, INSURERS, QUANTILES])
        low, rest = steps[:, :, :1], tf.nn.softplus(steps[:, :, 1:])
        return {"log_premium": tf.concat([low, low + tf.cumsum(rest, axis=2)], axis=2)}


def warm_up(folder: Path) -> None:
    """Requests of one row and of 32, to be replayed while the version loads."""
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for rows in (1, ROWS):
            log = prediction_log_pb2.PredictionLog()
            asked = log.predict_log.request
            asked.model_spec.name, asked.model_spec.signature_name = "regressor", "packed"
            asked.inputs["numeric"].CopyFrom(tf.make_tensor_proto(tf.zeros([rows, NUMERIC]).numpy()))
            asked.inputs["categorical"].CopyFrom(tf.make_tensor_proto(tf.zeros([rows, CATEGORICAL], tf.int32).numpy()))
            writer.write(log.SerializeToString())


def main(folder: Path) -> None:
    """One version, with its warm-up file."""
    model = Regressor()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.packed, "packed": model.packed})
    warm_up(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
