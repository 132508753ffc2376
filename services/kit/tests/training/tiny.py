"""Parameters of a net that is small enough for a test."""

from kit.training import params
from kit.training.params import Params

TEXT = """
[split]
train = 0.7
calibration = 0.15
[net]
bins = 8
width = 16
depth = 1
code_width = 4
long_vocabulary = 100
block_sizes = [8]
[fit]
seed = 7
epochs = 6
batch = 32
learning_rate = 0.01
weight_decay = 0.0
average = 0.9
[loss]
quote = 1.0
premium = 1.0
panel = 1.0
[mask]
profile = 0.2
groups = 0.2
single = 0.2
[mask.profiles]
few = ["age", "region"]
[calibration]
level = 0.8
least_rows = 100
subsets = 2
"""


def tiny(gate: str = "gate = []") -> Params:
    """The parameters, with this gate."""
    return params.read(gate + TEXT)
