"""Writes the SavedModels that the tests serve: `python make_models.py FOLDER`. A process of its own, with all of TensorFlow."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

TYPES = ["float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool", "qint8", "quint8", "qint32", "bfloat16", "qint16", "quint16", "uint16", "complex128", "float16", "uint32", "uint64"]  # fmt: skip

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

    def texts(self, word: Any) -> dict[str, Any]:
        return {"plain": tf.identity(word), "raw_bytes": tf.identity(word), "size": tf.strings.length(word)}

    def rows(self, x: Any) -> dict[str, Any]:
        """As many rows as went in, whatever their length: so padding shows."""
        return {"sum": tf.reduce_sum(x, axis=1), "width": tf.fill([tf.shape(x)[0]], tf.shape(x)[1])}

    def mixed(self, x: Any) -> dict[str, Any]:
        """Outputs that do not share their first dimension."""
        return {"all": x * 2.0, "first": x[:1]}

    def stored(self, x: Any) -> dict[str, Any]:
        return {"y": tf.identity(x)}


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


def save_examples(folder: Path) -> None:
    """Signatures as estimators export them: serialised examples in, classes with scores or values out."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        texts = v1.placeholder(tf.string, [None], "examples")
        parsed = tf.io.parse_example(texts, {"x": tf.io.FixedLenFeature([1], tf.float32, [0.5])})["x"]
        classes = tf.tile(tf.constant([["no", "yes"]]), [tf.shape(parsed)[0], 1])
        scores = tf.concat([1.0 - parsed, parsed], axis=1)
        signatures = {
            "serving_default": classified(texts, classes=classes, scores=scores),
            "classes": classified(texts, classes=classes),
            "scores": classified(texts, scores=scores),
            "flat": classified(texts, scores=parsed[:, 0]),
            "shorter": classified(texts, scores=scores[:1]),
            "integers": classified(texts, scores=tf.cast(scores, tf.int32)),
            "uneven": classified(texts, classes=classes[:, :1], scores=scores),
            "regress": signature("regress", {"inputs": texts}, {"outputs": parsed * 2.0}),
            "row": signature("regress", {"inputs": texts}, {"outputs": parsed[:, 0] * 2.0}),
            "wide": signature("regress", {"inputs": texts}, {"outputs": scores}),
            "doubles": signature("regress", {"inputs": texts}, {"outputs": tf.cast(parsed, tf.float64)}),
            "two": signature("regress", {"inputs": texts}, {"outputs": parsed, "more": parsed}),
            "elsewhere": signature("regress", {"x": texts}, {"outputs": parsed}),
            "other_input": signature("regress", {"inputs": tf.identity(texts)}, {"outputs": parsed * 2.0}),
            "predict": signature("predict", {"inputs": texts}, {"outputs": parsed}),
        }
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


def signature(method: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    """A SignatureDef of TensorFlow Serving's methods."""
    info = tf.compat.v1.saved_model.build_tensor_info
    return tf.compat.v1.saved_model.build_signature_def(
        {alias: info(tensor) for alias, tensor in inputs.items()},
        {alias: info(tensor) for alias, tensor in outputs.items()},
        f"tensorflow/serving/{method}",
    )


def classified(texts: Any, **outputs: Any) -> Any:
    return signature("classify", {"inputs": texts}, outputs)


def main(root: Path) -> None:
    """All models below one folder."""
    half = (Module.half_plus, [FLOATS])
    save(root / "half" / "1", 2.0, serving_default=half)
    save(root / "half" / "00000003", 3.0, serving_default=half)
    save(root / "two" / "7", serving_default=(Module.two_inputs, [NUMERIC, CATEGORICAL]), other=half)
    save(root / "words" / "1", serving_default=(Module.shout, [WORDS]))
    save(root / "texts" / "1", serving_default=(Module.texts, [WORDS]))
    save(root / "rows" / "1", serving_default=(Module.rows, [tf.TensorSpec([None, None], tf.float32, name="x")]))
    save(root / "mixed" / "1", serving_default=(Module.mixed, [FLOATS]))
    types: dict[str, Any] = {
        name: (Module.stored, [tf.TensorSpec(None, getattr(tf, name), name="x")]) for name in TYPES
    }
    save(root / "types" / "1", **types)
    save_examples(root / "examples" / "1")
    save(root / "total" / "1", serving_default=(Module.total, [ANY]))
    save(root / "loop" / "1", serving_default=(Module.loop, [TURNS]))
    save(root / "filled" / "1", serving_default=(Module.two_inputs, [NUMERIC, CATEGORICAL]))
    give_default(root / "filled" / "1", "serving_default", "numeric", [[1.0, 2.0, 3.0, 4.0]])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
