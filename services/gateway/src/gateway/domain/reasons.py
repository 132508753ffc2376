"""Why is an answer less than it could be? Closed lists, and the tables from what happened to what is said."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Branch(StrEnum):
    """The two models."""

    CLASSIFIER = "classifier"
    REGRESSOR = "regressor"


class CallOutcome(StrEnum):
    """How a call of a model ended."""

    OK = "ok"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    RUBBISH = "rubbish"
    SKIPPED = "skipped_no_budget"


class Reason(StrEnum):
    """The closed list of `degraded`."""

    CLASSIFIER_TIMEOUT = "classifier_timeout"
    CLASSIFIER_UNAVAILABLE = "classifier_unavailable"
    REGRESSOR_TIMEOUT = "regressor_timeout"
    REGRESSOR_UNAVAILABLE = "regressor_unavailable"
    FEATURES_MISSING = "features_missing"
    FEATURES_STALE = "features_stale"
    FEATURES_UNAVAILABLE = "features_unavailable"
    FEATURES_UNKNOWN_ENTITY = "features_unknown_entity"
    # Not given today, for a bundle without its tables stops the start. Once a table may be missing for one track, its answers say so.
    CALIBRATION_MISSING = "calibration_missing"


class Alarm(StrEnum):
    """Why something is listed in `out_of_range`."""

    BOX = "box"  # a number that is outside the range of the training data by itself
    JOINT = "joint"  # answers that do not go together
    CODE = "code"  # a code that no training data had; it counts as not known


OUT_OF_TIME: Final = frozenset({CallOutcome.TIMEOUT, CallOutcome.SKIPPED})

OF_CALLS: Final[Mapping[tuple[Branch, CallOutcome], Reason]] = {
    (Branch.CLASSIFIER, CallOutcome.TIMEOUT): Reason.CLASSIFIER_TIMEOUT,
    (Branch.CLASSIFIER, CallOutcome.SKIPPED): Reason.CLASSIFIER_TIMEOUT,
    (Branch.CLASSIFIER, CallOutcome.UNAVAILABLE): Reason.CLASSIFIER_UNAVAILABLE,
    (Branch.CLASSIFIER, CallOutcome.RUBBISH): Reason.CLASSIFIER_UNAVAILABLE,
    (Branch.REGRESSOR, CallOutcome.TIMEOUT): Reason.REGRESSOR_TIMEOUT,
    (Branch.REGRESSOR, CallOutcome.SKIPPED): Reason.REGRESSOR_TIMEOUT,
    (Branch.REGRESSOR, CallOutcome.UNAVAILABLE): Reason.REGRESSOR_UNAVAILABLE,
    (Branch.REGRESSOR, CallOutcome.RUBBISH): Reason.REGRESSOR_UNAVAILABLE,
}

# By the outcome of a read. A row past its hard limit is not used, so it is missing as well as stale.
OF_READS: Final[Mapping[str, tuple[Reason, ...]]] = {
    "hit": (),
    "cached": (),
    "stale": (Reason.FEATURES_STALE,),
    "expired": (Reason.FEATURES_MISSING, Reason.FEATURES_STALE),
    "miss": (Reason.FEATURES_UNKNOWN_ENTITY,),
    "unavailable": (Reason.FEATURES_UNAVAILABLE,),
}
