"""Writes a SavedModel of the premium regressor's size: `python make_model.py FOLDER`. 120 insurers, 3 quantiles, signature `packed`.

The weights are random: what is measured is the time that a net of this shape takes, not what it says.
"""

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
        sizes = [NUMERIC + 8 * CATEGORICAL] + [width] * layers
        self.trunk = [
            (tf.Variable(random.normal([before, after]) * before**-0.5), tf.Variable(tf.zeros([after])))
            for before, after in zip(sizes, sizes[1:], strict=False)
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
        numeric = tf.where(tf.math.is_nan(numeric), 0.0, numeric)
        codes = tf.clip_by_value(categorical + 1, 0, VOCABULARY - 1)
        parts = [numeric, *(tf.gather(table, codes[:, place]) for place, table in enumerate(self.tables))]
        x = tf.concat(parts, axis=1)
        for weights, bias in self.trunk:
            x = tf.nn.relu(tf.matmul(x, weights) + bias)
        steps = tf.reshape(tf.matmul(x, self.head), [-1, INSURERS, QUANTILES])
        return {"log_premium": tf.cumsum(tf.nn.softplus(steps), axis=2)}


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
