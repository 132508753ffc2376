"""What can go wrong between a request that was understood and its answer.

GatewayError
    BranchFailed            one model gave no usable answer: a partial answer follows
        BranchTimeout       it did not answer in the time it was given
        BranchUnavailable   it refused, or is not there
        BranchRubbish       it answered with something that is not an answer
    NoAnswer                no model gave one: there is nothing to say
        BudgetEnded         because the time was over
        NobodyAnswered      because none of them can
"""


class GatewayError(Exception):
    """The root of this service's errors."""


class BranchFailed(GatewayError):
    """One model gave no usable answer."""


class BranchTimeout(BranchFailed):
    """It did not answer in the time it was given."""


class BranchUnavailable(BranchFailed):
    """It refused, or is not there."""


class BranchRubbish(BranchFailed):
    """Its answer has the wrong form, or numbers that cannot be; or it cannot do anything with a row."""


class NoAnswer(GatewayError):
    """No model gave an answer."""


class BudgetEnded(NoAnswer):
    """The time was over before any model answered."""


class NobodyAnswered(NoAnswer):
    """None of the models can answer."""
