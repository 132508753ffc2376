"""How are Ballpark's models made? What both model projects share, as kit's optional extra `training`.

wrangle (Ibis) -> train (the two-branch Keras net, exported as a SavedModel) -> test (calibrates, measures and publishes what was
exported) -> score. The rest of kit does not import this package, so the services on the request path never see TensorFlow.
"""

import os

# TensorFlow reads these when it is first imported. Without the first every command opens with a page about TensorFlow's build; without
# the second sums are taken in an order that depends on the processor (and at these sizes nothing is slower). The model server leaves
# oneDNN on. With it on, golden rows were answered up to 2e-6 (log premium) and 7e-7 (probability) away from what is written down, which
# is rounding: whoever compares them with a server's answers has to allow 1e-5.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
