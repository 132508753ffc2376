"""The JSON Schemas of what comes out. Every object has a name, so that a client can be generated with types that people can read."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.api.shape import INSURER
from gateway.domain.reasons import Reason

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"


def ref(name: str) -> Schema:
    """A reference to a named schema."""
    return {"$ref": REF + name}


def described(about: str) -> Schema:
    """A description, where there is something to say."""
    return {"description": about} if about else {}


def _object(about: str = "", **properties: Schema) -> Schema:
    shape = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return shape | described(about)


def _list(items: Schema, about: str = "") -> Schema:
    return {"type": "array", "items": items} | described(about)


def _or_null(schema: Schema, about: str = "") -> Schema:
    return {"anyOf": [schema, {"type": "null"}]} | described(about)


def _one_of(*texts: str) -> Schema:
    return {"type": "string", "enum": list(texts)}


_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_NUMBER: Final[Schema] = {"type": "number"}
_PRICE: Final[Schema] = {"type": "number", "minimum": 0}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
_INSURER: Final[Schema] = {"type": "string", "pattern": INSURER}
_DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_STATUS: Final = _one_of("likely", "unlikely", "unknown")
_PROBABILITY: Final = _or_null(_SHARE, "That it quotes; null without the classifier.")
_MAYBE_PRICE: Final = _or_null(_PRICE, "Pounds a year, gross; null without the regressor.")
_END: Final = _or_null(
    _PRICE,
    "An end of the calibrated interval; null without the regressor, or when the risk is out of range: see `out_of_range`.",
)
_COUNT_END: Final = _or_null(
    _COUNT,
    "The lowest or highest whole number in the calibrated band, which `expected`, being none, may miss by less than one; null when "
    "the risk is out of range: see `out_of_range`.",
)
_LEVEL: Final[Schema] = _SHARE | described("The share of intervals `low`..`high` that hold the true price.")
_BUNDLE: Final[Schema] = _TEXT | described("The models that answered: see /v1/models.")

_CAVEATS: Final[Mapping[str, Schema]] = {
    "complete": _FLAG | described("Whether both models answered."),
    "degraded": _list(
        _one_of(*(reason.value for reason in Reason)),
        "Why the answer is less than it could be. The half of a model that is missing is null, everywhere in the answer.",
    ),
    "assumed": {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "description": "What was assumed because nothing was sent, by path. Show it with the price.",
    },
    "out_of_range": _list(
        _TEXT,
        "Paths of what the training data did not have. A code that nobody has seen is treated as not known. A number outside its usual "
        "range, or answers that hardly ever go together (a slip of a unit, two fields in each other's place), void the calibration: "
        "then every `low` and `high` is null, and this list says why. An unseen code alone leaves every interval in place.",
    ),
}


def _quotes(insurers: Schema) -> Schema:
    return _object(
        "An estimate, not an offer.",
        quote_id=_TEXT | described("The same id has the same prices as long as the bundle is in force."),
        bundle=_BUNDLE,
        currency={"type": "string", "const": "GBP"},
        level=_LEVEL,
        **_CAVEATS,
        panel=ref("Panel"),
        insurers=insurers,
    )


_OF_QUOTES: Final[dict[str, Schema]] = {
    "CheapestQuote": _object(
        "The lowest price among the insurers that will likely quote.",
        insurer=_INSURER,
        premium=_PRICE,
        low=_END,
        high=_END,
    ),
    "Panel": _object(
        "Figures over the insurers that will likely quote; null where they cannot be said.",
        likely=_or_null(_COUNT, "How many they are; null without the classifier."),
        cheapest=_or_null(ref("CheapestQuote"), "Null without either model, and where no insurer is likely to quote."),
        mean_of_five_cheapest=_or_null(_PRICE, "Null as `cheapest` is; the mean of all where they are fewer."),
    ),
    "InsurerRow": _object(
        "What one insurer will do.",
        insurer=_INSURER,
        status=_STATUS,
        probability=_PROBABILITY,
        premium=_MAYBE_PRICE,
        low=_END,
        high=_END,
    ),
    "InsurerColumns": _object(
        "The same values as the rows, one list for each.",
        insurer=_list(_INSURER),
        status=_list(_STATUS),
        probability=_list(_PROBABILITY),
        premium=_list(_MAYBE_PRICE),
        low=_list(_END),
        high=_list(_END),
    ),
    "QuotesAnswer": _quotes(_list(ref("InsurerRow"))),
    "QuotesColumnsAnswer": _quotes(ref("InsurerColumns")),
}

_OF_BALLPARK: Final[dict[str, Schema]] = {
    "Band": _object(
        "A yearly gross price in pounds, and its calibrated interval.", premium=_PRICE, low=_END, high=_END
    ),
    "Count": _object("How many insurers will quote.", expected=_PRICE, low=_COUNT_END, high=_COUNT_END),
    "Question": _object(
        "A field worth asking for.",
        field=_TEXT | described("Its path, as it is sent."),
        narrows_band_by={"type": "number", "exclusiveMinimum": 0, "maximum": 1}
        | described("The share by which an answer narrows the band of the cheapest price, on average."),
    ),
    "BallparkAnswer": _object(
        "An estimate, not an offer.",
        bundle=_BUNDLE,
        level=_LEVEL,
        **_CAVEATS,
        cheapest=_or_null(ref("Band"), "Null without the regressor."),
        mean_of_five_cheapest=_or_null(ref("Band"), "Null without the regressor."),
        likely_insurers=_or_null(ref("Count"), "Null without the classifier."),
        answered=_list(_TEXT, "What was sent, by path."),
        next_questions=_or_null(
            _list(ref("Question")),
            "What to ask next, best first; empty when nothing narrows the band, null when it was not computed: without the regressor, "
            "without time, or when the risk is out of range, since then there is no band to narrow.",
        ),
    ),
}

_OF_CONTRACT: Final[dict[str, Schema]] = {
    "ContractGroup": _object(
        "Fields that are sent together.",
        name=_TEXT,
        title=_TEXT,
        entity=_or_null(_TEXT, "The id that may be sent instead of what the feature store knows."),
        consent=_FLAG | described("Whether the group needs the person's consent."),
    ),
    "ContractEntity": _object(
        "What the feature store knows by an id, and how old that may be.",
        name=_TEXT,
        id=_TEXT,
        pattern=_TEXT,
        soft_limit_s=_NUMBER | described("Older values are used, and the answer says `features_stale`."),
        hard_limit_s=_NUMBER | described("Older values are not used."),
    ),
    "ContractField": _object(
        "A field that may be sent.",
        path=_TEXT,
        kind=_one_of("int", "float", "bool", "enum", "code"),
        title=_TEXT,
        purpose=_TEXT | described("Why it is needed."),
        unit=_or_null(_TEXT),
        minimum=_or_null(_NUMBER),
        maximum=_or_null(_NUMBER),
        values=_or_null(_list(_TEXT), "What an `enum` may be."),
        pattern=_or_null(_TEXT, "What a `code` looks like."),
        source=_TEXT | described("`request`, or `store:` and the entity that knows it, too."),
        assumed={"type": ["string", "number", "boolean", "null"]} | described("What is assumed when it is not sent."),
        required=_FLAG,
    ),
    "ContractOrder": _object(
        "Two fields that contradict each other unless `least` + `gap` is at most `most`.",
        least=_TEXT,
        gap=_NUMBER,
        most=_TEXT,
        message=_TEXT,
    ),
    "Contract": _object(
        "Groups, fields with their purposes, and what cannot be together.",
        line=_TEXT | described("The line of business."),
        version=_COUNT,
        fingerprint=_DIGEST,
        groups=_list(ref("ContractGroup")),
        entities=_list(ref("ContractEntity")),
        fields=_list(ref("ContractField")),
        orders=_list(ref("ContractOrder")),
    ),
}

_OF_MODELS: Final[dict[str, Schema]] = {
    "Model": _object(
        "One model of a bundle.",
        project=_TEXT,
        version=_COUNT,
        sha256=_DIGEST,
        created=_TEXT,
        card=_TEXT | described("What it is for, how it was made and how good it is, in Markdown."),
    ),
    "ModelPair": _object("Both models.", classifier=ref("Model"), regressor=ref("Model")),
    "Models": _object(
        "The bundle in force, with the cards of its models.",
        bundle=_TEXT,
        contract=_DIGEST | described("The fingerprint of the contract that the models were trained with."),
        created=_TEXT,
        level=_LEVEL,
        insurers=_list(_INSURER, "The panel."),
        models=ref("ModelPair"),
    ),
}

_OF_PROBLEMS: Final[dict[str, Schema]] = {
    "Wrong": _object(
        "One thing that is wrong.",
        loc=_TEXT | described("Where: `risk.driver.age`, `insurers[2]`, `query.layout`."),
        message=_TEXT | described("What would be right."),
    ),
    "Problem": _object(
        "RFC 9457. Never holds a value that was sent.",
        type={"type": "string", "pattern": "^urn:ballpark:error:[a-z_]+$"},
        title=_TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail=_TEXT,
        request_id=_TEXT,
        errors=_list(ref("Wrong")),
    ),
}

ANSWERS: Final[Mapping[str, Schema]] = _OF_QUOTES | _OF_BALLPARK | _OF_CONTRACT | _OF_MODELS | _OF_PROBLEMS
