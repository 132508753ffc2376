"""What may be turned when a model is trained? Every parameter, typed and frozen, read from a project's params.toml."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from kit.stage import BadInput

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SplitParams:
    """Shares of the enquiries, in the order of time: first train, then calibration; what is left is for the test."""

    train: float = 0.8
    calibration: float = 0.1


@dataclass(frozen=True, slots=True)
class NetParams:
    """The shape of the two-branch net."""

    bins: int  # of the piecewise-linear encoding, at most, per number
    width: int  # of each layer of the trunk
    depth: int
    code_width: int  # of the embedding of a long vocabulary
    long_vocabulary: int  # from so many values on a vocabulary is embedded, below that it is one-hot
    block_sizes: tuple[int, ...]  # neighbours in a long vocabulary also share an embedding, by blocks of these sizes


@dataclass(frozen=True, slots=True)
class FitParams:
    """How long and how boldly to descend."""

    seed: int
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    average: float  # of the weights, per step: what is exported is their exponential moving average


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each task counts. A branch with weight 0 is not computed."""

    quote: float
    premium: float
    panel: float


@dataclass(frozen=True, slots=True)
class MaskParams:
    """Which answers are hidden in training, so that one model answers from any of them: shares of the rows, the rest is left whole."""

    profile: float
    groups: float
    single: float
    profiles: Mapping[str, tuple[str, ...]]  # name -> the fields that are known, beside those that are always assumed


@dataclass(frozen=True, slots=True)
class CalibrationParams:
    """The level of the intervals, and how many enquiries a key needs before it gets its own row of the table."""

    level: float = 0.8
    least_rows: int = 500
    subsets: int = 4  # times that each calibration enquiry is repeated with `kit.training.masking.subsets`
    missing: float = 0.2  # share of hidden fields in the report's profile `some_missing`


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure of the report (`full.premium_mape`) and what it has to be for the model to be published."""

    figure: str
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Params:
    """All of params.toml."""

    split: SplitParams
    net: NetParams
    fit: FitParams
    loss: LossWeights
    mask: MaskParams
    calibration: CalibrationParams
    gate: tuple[Limit, ...]


def read(text: str, where: str = "params.toml") -> Params:
    """Make the parameters of TOML text. Raises `BadInput`, which names the parameter and the nearest right spelling."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where}: {error}") from error
    return _make(Params, raw, where)


def _make(cls: type[T], raw: Any, where: str) -> T:
    if not isinstance(raw, Mapping):
        raise BadInput(f"{where}: must be a table, not {raw!r}")
    hints = get_type_hints(cls)
    for name in raw:
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1)
            raise BadInput(
                f"{where}: no parameter `{name}`"
                + (f"; did you mean `{near[0]}`?" if near else f"; there are {sorted(hints)}")
            )
    if missing := [f.name for f in fields(cls) if f.name not in raw and f.default is MISSING]:  # type: ignore[arg-type]  # T is a dataclass
        raise BadInput(f"{where}: `{missing[0]}` is missing")
    return cls(**{name: _value(hints[name], value, f"{where}: {name}") for name, value in raw.items()})


def _value(hint: Any, raw: Any, where: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _make(hint, raw, where)
    if get_origin(hint) is tuple:
        if not isinstance(raw, list):
            raise BadInput(f"{where}: must be a list, not {raw!r}")
        return tuple(_value(get_args(hint)[0], item, where) for item in raw)
    if get_origin(hint) is Mapping:
        return {name: _value(get_args(hint)[1], item, f"{where}.{name}") for name, item in raw.items()}
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if float in kinds and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, kinds) or isinstance(raw, bool):
        raise BadInput(f"{where}: must be {' or '.join(k.__name__ for k in kinds)}, not {raw!r}")
    return raw
