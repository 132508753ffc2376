"""Which parts of TensorFlow does serving need? A session, the SavedModel loader, TFRecord files and the error types.

`import tensorflow` also imports Keras, datasets, distribution and three API versions: over 5 s and 508 MB, against 1.5 s
and 379 MB for these modules. So a bare namespace is registered under the name `tensorflow` first, unless the whole library
is there already (as in tests that make models). The price is that these paths are not public: the dependency is held to
one minor version, and a test starts the server on real models.

TensorFlow Serving's messages import `tensorflow` as well, so they, too, are imported here and nowhere else.
"""

import importlib.util
import os
import sys
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # warnings and errors; read once, when the library loads


def _register_namespace() -> None:
    if "tensorflow" in sys.modules:
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("tensorflow-cpu is not installed")
    namespace = types.ModuleType("tensorflow")
    namespace.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = namespace


_register_namespace()

from tensorflow.core.protobuf import config_pb2  # noqa: E402 -- only after the namespace is there
from tensorflow.python.client import pywrap_tf_session  # noqa: E402
from tensorflow.python.client.session import Session  # noqa: E402
from tensorflow.python.framework.errors_impl import OpError  # noqa: E402
from tensorflow.python.framework.ops import Graph  # noqa: E402
from tensorflow.python.lib.io.tf_record import tf_record_iterator  # noqa: E402
from tensorflow.python.saved_model.loader_impl import SavedModelLoader  # noqa: E402
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, prediction_log_pb2  # noqa: E402

__all__ = [
    "Graph",
    "OpError",
    "SavedModelLoader",
    "Session",
    "config_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "prediction_log_pb2",
    "pywrap_tf_session",
    "tf_record_iterator",
]
