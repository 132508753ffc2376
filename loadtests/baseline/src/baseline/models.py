"""How are the models run? In this process, through the callable of a session: half the time of a signature's function."""

import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.rows import Categorical, Numeric

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

SIGNATURE: Final = "packed"

Run = Callable[[Numeric, Categorical], NDArray[Any]]


def load(folder: str, *, by_session: bool = True) -> Run:
    """A SavedModel's one output for packed rows, on one thread; `by_session=False` goes through the signature's function."""
    return _callable(folder) if by_session else _function(folder)


def _callable(folder: str) -> Run:
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        threads = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
        session = v1.Session(config=threads)
        signature = v1.saved_model.loader.load(session, ["serve"], folder).signature_def[SIGNATURE]
        (output,) = signature.outputs.values()
        run = session.make_callable(output.name, [signature.inputs[name].name for name in ("numeric", "categorical")])

    def predict(numeric: Numeric, categorical: Categorical) -> NDArray[Any]:
        found: NDArray[Any] = run(numeric, categorical)
        return found

    return predict


def _function(folder: str) -> Run:
    if not tf.executing_eagerly():
        raise RuntimeError("TensorFlow must run eagerly")
    loaded = tf.saved_model.load(folder)
    function = loaded.signatures[SIGNATURE]
    (name,) = function.structured_outputs

    def predict(numeric: Numeric, categorical: Categorical) -> NDArray[Any]:
        _ = loaded  # which owns the variables
        found = function(numeric=tf.constant(numeric), categorical=tf.constant(categorical))
        return np.asarray(found[name])

    return predict
