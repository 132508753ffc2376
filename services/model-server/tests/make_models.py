"""Writes the SavedModels that the tests serve: `python make_models.py FOLDER`. A process of its own, with all of TensorFlow."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

FLOATS = tf.TensorSpec([None], tf.float32, name="x")
WORDS = tf.TensorSpec([None], tf.string, name="word")
NUMERIC = tf.TensorSpec([None, 4], tf.float32, name="numeric")
CATEGORICAL = tf.TensorSpec([None, 2], tf.int32, name="categorical")
ANY = tf.TensorSpec(None, tf.float32, name="x")
TURNS = tf.TensorSpec([None], tf.int32, name="turns")


class Module(tf.Module):  # type: ignore[misc]  # tensorflow has no types
    """The graphs, as functions of one module, with a variable so that restoring is tested, too."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = tf.Variable(shift)
        self.weights = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])

    def half_plus(self, x: Any) -> dict[str, Any]:
        return {"y": x * 0.5 + self.shift, "z": x}

    def shout(self, word: Any) -> dict[str, Any]:
        return {"loud": tf.strings.upper(word)}

    def two_inputs(self, numeric: Any, categorical: Any) -> dict[str, Any]:
        codes = tf.cast(categorical, tf.int64)
        return {"product": tf.matmul(numeric, self.weights), "codes": codes * 1000, "known": categorical >= 0}

    def total(self, x: Any) -> dict[str, Any]:
        return {"total": tf.reduce_sum(x) + self.shift}

    def loop(self, turns: Any) -> dict[str, Any]:
        """Busy for as many turns as asked; ends early when its run is cancelled."""
        value = tf.while_loop(lambda i, _: i < turns[0], lambda i, v: (i + 1, v + 1.0), (0, self.shift * 0.0))[1]
        return {"value": tf.fill(tf.shape(turns), value)}


def save(folder: Path, shift: float = 2.0, **signatures: tuple[Callable[..., Any], list[Any]]) -> None:
    """One version folder with these signatures."""
    module = Module(shift)
    concrete = {
        name: tf.function(make.__get__(module), input_signature=specs).get_concrete_function()
        for name, (make, specs) in signatures.items()
    }
    tf.saved_model.save(module, str(folder), signatures=concrete)


def give_default(folder: Path, signature: str, alias: str, value: list[list[float]]) -> None:
    """Let an input of a signature be left out."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    definition = model.meta_graphs[0].signature_def[signature]
    definition.defaults[alias].CopyFrom(tf.make_tensor_proto(value, tf.float32))
    path.write_bytes(model.SerializeToString())


def main(root: Path) -> None:
    """All models below one folder."""
    half = (Module.half_plus, [FLOATS])
    save(root / "half" / "1", 2.0, serving_default=half)
    save(root / "half" / "00000003", 3.0, serving_default=half)
    save(root / "two" / "7", serving_default=(Module.two_inputs, [NUMERIC, CATEGORICAL]), other=half)
    save(root / "words" / "1", serving_default=(Module.shout, [WORDS]))
    save(root / "total" / "1", serving_default=(Module.total, [ANY]))
    save(root / "loop" / "1", serving_default=(Module.loop, [TURNS]))
    save(root / "filled" / "1", serving_default=(Module.two_inputs, [NUMERIC, CATEGORICAL]))
    give_default(root / "filled" / "1", "serving_default", "numeric", [[1.0, 2.0, 3.0, 4.0]])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
