"""The messages of TensorFlow and TensorFlow Serving, without TensorFlow's Python: 0.3 s instead of 5 s.

Their modules import the package `tensorflow`, which would import Keras and all the rest. So a bare namespace is registered
under that name first, unless the whole library is there already (as in tests that make models). Nothing else of TensorFlow's
Python is used: models run through the C interface, see `capi`.
"""

import importlib.util
import sys
import types
from pathlib import Path


def package() -> Path:
    """The folder of the installed TensorFlow. Raises ImportError."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("tensorflow-cpu is not installed")
    return Path(spec.submodule_search_locations[0])


def _register_namespace() -> None:
    if "tensorflow" in sys.modules:
        return
    folder = package()
    namespace = types.ModuleType("tensorflow")
    namespace.__path__ = [str(folder)]
    namespace.__spec__ = importlib.util.spec_from_loader("tensorflow", None, is_package=True)
    assert namespace.__spec__ is not None  # noqa: S101 -- for the type checker: a name without a loader always has one
    namespace.__spec__.submodule_search_locations = [str(folder)]
    sys.modules["tensorflow"] = namespace


_register_namespace()

from tensorflow.core.example import example_pb2  # noqa: E402 -- only after the namespace is there
from tensorflow.core.framework import types_pb2  # noqa: E402
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    prediction_log_pb2,
    regression_pb2,
)

__all__ = [
    "classification_pb2",
    "config_pb2",
    "example_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "prediction_log_pb2",
    "regression_pb2",
    "types_pb2",
]
