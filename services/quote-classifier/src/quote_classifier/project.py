"""What is this project's own: its name, its branch, its parameters with the gate's limits, what a sweep compares, and the text of its card."""

from importlib import resources
from typing import Final

from kit.bundles import CLASSIFIER
from kit.training.project import Project


def _text(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


PROJECT: Final = Project(
    name=CLASSIFIER, branch="quote", params=_text("params.toml"), card=_text("card.md"), grid=_text("sweep.toml")
)
