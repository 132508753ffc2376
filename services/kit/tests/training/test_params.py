"""Is every parameter typed, and a wrong one named?"""

import pytest
from tiny import TEXT, tiny

from kit.stage import BadInput
from kit.training import params
from kit.training.params import Limit


def test_parameters_are_typed_values() -> None:
    """Tables become dataclasses, lists tuples, and a whole number may stand where a number is wanted."""
    found = tiny('gate = [{figure = "full.premium_mape", at_most = 1}]')

    assert (Limit("full.premium_mape", at_most=1.0),) == found.gate
    assert (8,) == found.net.block_sizes
    assert {"few": ("age", "region")} == found.mask.profiles


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 6", "epoch = 6", "fit: no parameter `epoch`; did you mean `epochs`?"),
        ("epochs = 6", "", "fit: `epochs` is missing"),
        ("epochs = 6", "epochs = 6.5", "fit: epochs: must be int, not 6.5"),
        ("epochs = 6", "epochs = true", "fit: epochs: must be int, not True"),
        ("block_sizes = [8]", "block_sizes = 8", "net: block_sizes: must be a list, not 8"),
        ("[split]", "split = 3\n[other]", "no parameter `other`"),
        ("[split]", "[split", "Expected"),
    ],
)
def test_a_wrong_parameter_is_named(old: str, new: str, message: str) -> None:
    """With the nearest right spelling."""
    with pytest.raises(BadInput) as refused:
        params.read("gate = []" + TEXT.replace(old, new))

    assert message in str(refused.value)
