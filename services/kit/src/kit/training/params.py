"""What may be turned when a model is trained? Every parameter, typed and frozen, read from a project's params.toml."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
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
    additive: bool = True  # whether every insurer has a tariff that is additive in the encoding, beside the trunk
    market: bool = False  # whether all insurers share one more tariff, from which a new one starts
    nested: bool = False  # whether premiums start from additive tariffs that were found by regression (`kit.training.nets.tariffs`)
    number_penalty: float = 0.3  # of those: how little is believed of a step of a curve
    code_penalty: float = 0.5  # and of a value of a vocabulary
    fine_width: int = 96  # of the layer that learns what they leave of whole rows
    rank: int = 0  # of the insurers' tariffs: combinations of so many common ones; 0: each its own


@dataclass(frozen=True, slots=True)
class FitParams:
    """How long and how boldly to descend."""

    seed: int
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    average: float  # of the weights, per step: what is exported is their exponential moving average
    most_steps: int = 0  # fewer epochs where there are more rows: at most so many steps; 0: no limit


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each task counts. A branch with weight 0 is not computed."""

    quote: float
    premium: float
    panel: float  # of the heads that follow from both branches
    shortlist: float = 0.2  # of the panel's weight: who is the cheapest


@dataclass(frozen=True, slots=True)
class MaskParams:
    """Which answers are hidden in training, so that one model answers from any of them: shares of the rows, the rest is left whole."""

    profile: float
    groups: float
    single: float
    profiles: Mapping[str, tuple[str, ...]]  # name -> the fields that are known, beside those that are always assumed


@dataclass(frozen=True, slots=True)
class CalibrationParams:
    """The level of the intervals, and what the tables of `kit.calibration` are made of."""

    level: float = 0.8
    spare: float = (
        0.01  # how much more than the level the tables hold of their own slice: later enquiries are not quite like it
    )
    least_rows: int = 500  # enquiries that a key needs to get a row of the table
    effect_rows: int = 5000  # enquiries that a row needs to get effects of bands and insurers of its own
    rows: int = 100_000  # enquiries of the slice, at most, that are asked with each profile
    subset_rows: int = 20_000  # enquiries, at most, that are asked with each of `kit.training.nets.masking.subsets`
    subsets: int = 4  # times that these are drawn
    missing: float = 0.2  # share of hidden fields in the report's profile `some_missing`
    bands: Mapping[str, tuple[float, ...]] = field(
        default_factory=dict
    )  # field -> where bands begin; [] for a field of codes


@dataclass(frozen=True, slots=True)
class FairnessParams:
    """How far the mean error in a group may lie from that of all before a release is refused (see `kit.training.judging.fairness`)."""

    gap_at_most: float = 0.05  # of the log premium, or of the share of quotes
    by: tuple[str, ...] = ("age", "region", "urbanity", "deprivation")
    least_rows: int = 200  # enquiries: a smaller group is shown and not judged
    false_alarm: float = 0.01  # the chance that a release is refused whose groups are all within the limit


@dataclass(frozen=True, slots=True)
class DataParams:
    """What the input data may look like before anything is trained on them (see `kit.training.data.checks` and `gates`)."""

    least_enquiries: int = 100
    null_share: float = 0.5  # of a field's rows; what the contract requires is never null
    nulls: Mapping[str, float] = field(default_factory=dict)  # field -> the share for it alone
    unknown_share: float = 0.05  # of a field's rows with a code that the contract does not know
    future_hours: float = 24.0  # clocks differ
    least_span_hours: float = 24.0  # from the first enquiry to the last
    unanswered: float = 0.1  # share of the enquiries that nobody quoted or declined
    least_premium: float = 10.0  # pounds
    most_premium: float = 100_000.0
    odd_premiums: float = 0.001  # share of the answers with a premium outside these two
    price_ratio: float = 20.0  # of an insurer's median premium to the panel's, either way: beyond it is in pence
    silent_insurers: int = 0  # that answer nothing in a slice, or never quote
    leakage: float = 0.98  # correlation of a field with what the insurers answered
    drift: float = 0.2  # population stability index against the last release; few rows widen it
    drift_confidence: float = 0.999  # a field that has not drifted stays below the widened limit this often
    quote_share_change: float = 0.25  # of an insurer, against the last release
    premium_change: float = 1.5  # ratio of an insurer's median premium to the last release's, either way
    insurers_gone: int = 0  # that answered in the last release's data


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
    fairness: FairnessParams = FairnessParams()
    data: DataParams = field(default_factory=DataParams)


def read(text: str, where: str = "params.toml") -> Params:
    """Make the parameters of TOML text. Raises `BadInput`, which names the parameter and the nearest right spelling."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where}: {error}") from error
    return make(raw, where)


def make(raw: Mapping[str, Any], where: str) -> Params:
    """Make the parameters of TOML that was read. Raises `BadInput`."""
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
    if missing := [f.name for f in fields(cls) if f.name not in raw and f.default is f.default_factory]:  # type: ignore[arg-type]  # T is a dataclass; both are MISSING
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
    if not isinstance(raw, kinds) or (isinstance(raw, bool) and bool not in kinds):
        raise BadInput(f"{where}: must be {' or '.join(k.__name__ for k in kinds)}, not {raw!r}")
    return raw
