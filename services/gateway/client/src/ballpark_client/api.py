"""Ballpark, version 1: its types and its calls.

Which insurers will quote, and at what price: private-motor, contract ed86519efd5d. Requests are taken
exactly as described, whole numbers without a decimal point. An answer may get more fields and more words in
its lists: pass over those that you do not know.

Made from the OpenAPI document by generate.py; a test compares them. Do not edit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Required, TypedDict, TypeVar

from msgspec import Struct

from ballpark_client.operation import Operation

A = TypeVar("A")


class Driver(TypedDict, total=False):
    """The driver"""

    age: Required[int]
    """Age (years). Claim frequency falls and rises again with age; insurers accept by age."""
    licence_years: float
    """Years since the full licence (years). Experience lowers claim frequency, most in the first years."""
    licence_type: Literal["full_uk", "eu", "international", "provisional"]
    """Licence. Some insurers accept only some licences, and price others apart."""
    uk_resident_years: int
    """Years living in the UK (since birth: the age) (years). Insurers load the first three years."""
    employment: Literal["employed", "self_employed", "student", "retired", "house_person", "unemployed"]
    """Employment. Tariffs differ by employment."""
    occupation: str
    """Occupation. Tariffs differ by occupation."""
    home_owner: bool
    """Owns the home. A small price factor in most tariffs."""
    ncd_years: int
    """No-claims bonus (years). The largest discount there is."""
    adds_spouse: bool
    """Spouse or partner also drives. A second experienced driver lowers the price."""
    adds_young_driver: bool
    """A young driver also drives. A young second driver raises the price."""
    adds_parent: bool
    """A parent also drives. A parent on a young driver's policy lowers the price."""


class Vehicle(TypedDict, total=False):
    """The car"""

    vehicle_id: str
    """An id that the feature store knows, instead of the vehicle's fields."""
    make: str
    """Make. Repair cost and theft differ by make."""
    model: str
    """Model. Repair cost and theft differ by model."""
    fuel: Literal["petrol", "diesel", "hybrid", "electric"]
    """Fuel. Electric cars cost more to repair; some insurers specialise."""
    vehicle_group: int
    """Insurance group (insurance group). Repair cost, performance and security in one rating."""
    vehicle_age: int
    """Age of the car (years). Value and repair depend on it."""
    vehicle_value: float
    """Value of the car (GBP). The sum at risk; insurers accept up to a limit."""
    modified: Literal["none", "cosmetic", "performance"]
    """Modifications. Many insurers decline modified cars."""


class Area(TypedDict, total=False):
    """Where it is kept"""

    sector: str
    """Sector (about 7,000 homes). Theft and accident frequency are local; insurers exclude sectors."""
    region: Literal[
        "R01", "R02", "R03", "R04", "R05", "R06", "R07", "R08", "R09", "R10", "R11", "R12", "R13", "R14", "R15",
        "R16", "R17", "R18", "R19",
    ]
    """Region. Price levels differ by region."""
    urbanity: float
    """Urbanity (share). Traffic density drives claim frequency."""
    deprivation: float
    """Deprivation index (share). Correlates with theft and uninsured driving; watched for fairness."""
    theft_index: float
    """Theft index (share). Theft frequency."""


class Use(TypedDict, total=False):
    """How it is used"""

    annual_mileage: int
    """Miles a year (miles). Exposure; some insurers accept only low mileage."""
    class_of_use: Literal["social", "commuting", "business"]
    """Class of use. Commuting and business use raise exposure."""
    overnight: Literal["drive", "garage", "street", "other"]
    """Kept overnight. Theft and damage depend on where the car stands."""


class Cover(TypedDict, total=False):
    """The cover wanted"""

    cover: Literal["comprehensive", "tpft", "tpo"]
    """Level of cover. What is being bought."""
    voluntary_excess: int
    """Voluntary excess (GBP). What is being bought."""
    days_to_start: int
    """Days until the cover starts (days). Late buyers are charged more."""


class History(TypedDict, total=False):
    """Claims and convictions"""

    fault_claims: int
    """Fault claims in five years (claims in 5 years). Past claims predict claims; insurers accept up to a limit."""
    non_fault_claims: int
    """Non-fault claims in five years (claims in 5 years). Priced, a little."""
    conviction: Literal["none", "sp30", "sp50", "sp_x2", "cu80", "ts10", "dr10", "in10", "cd10"]
    """Gravest motoring conviction in five years. Convictions predict claims; criminal-offence data, with consent
    only."""
    points: int
    """Penalty points (points). Insurers accept up to a limit."""
    cancelled_before: bool
    """A policy was cancelled or refused before. Most insurers decline it."""
    unspent_criminal: bool
    """Unspent criminal conviction. Most insurers decline it; criminal-offence data, with consent only."""
    consent: Required[Literal[True]]
    """The person's consent to the use of this group."""


class Risk(TypedDict, total=False):
    """What is known of the customer; what is left out is not known."""

    driver: Required[Driver]
    vehicle: Vehicle
    area: Area
    use: Use
    cover: Cover
    history: History


class CheapestQuote(Struct, frozen=True):
    """The lowest price among the insurers that will likely quote."""

    insurer: str
    premium: float
    low: float | None
    """An end of the calibrated interval; null without the regressor, or when the risk is out of range: see
    `out_of_range`."""
    high: float | None
    """An end of the calibrated interval; null without the regressor, or when the risk is out of range: see
    `out_of_range`."""


class Panel(Struct, frozen=True):
    """Figures over the insurers that will likely quote; null where they cannot be said."""

    likely: int | None
    """How many they are; null without the classifier."""
    cheapest: CheapestQuote | None
    """Null without either model, and where no insurer is likely to quote."""
    mean_of_five_cheapest: float | None
    """Null as `cheapest` is; the mean of all where they are fewer."""


class InsurerRow(Struct, frozen=True):
    """What one insurer will do."""

    insurer: str
    status: str
    """One of `likely`, `unlikely`, `unknown`."""
    probability: float | None
    """That it quotes; null without the classifier."""
    premium: float | None
    """Pounds a year, gross; null without the regressor."""
    low: float | None
    """An end of the calibrated interval; null without the regressor, or when the risk is out of range: see
    `out_of_range`."""
    high: float | None
    """An end of the calibrated interval; null without the regressor, or when the risk is out of range: see
    `out_of_range`."""


class QuotesAnswer(Struct, frozen=True):
    """An estimate, not an offer."""

    quote_id: str
    """The same id has the same prices as long as the bundle is in force."""
    bundle: str
    """The models that answered: see /v1/models."""
    currency: str
    level: float
    """The share of intervals `low`..`high` that hold the true price."""
    complete: bool
    """Whether both models answered."""
    degraded: tuple[str, ...]
    """Why the answer is less than it could be. The half of a model that is missing is null, everywhere in the
    answer. One of `classifier_timeout`, `classifier_unavailable`, `regressor_timeout`, `regressor_unavailable`,
    `features_missing`, `features_stale`, `features_unavailable`, `features_unknown_entity`,
    `calibration_missing`."""
    assumed: Mapping[str, str | float | bool]
    """What was assumed because nothing was sent, by path. Show it with the price."""
    out_of_range: tuple[str, ...]
    """Paths of what the training data did not have. A code that nobody has seen is treated as not known. A number
    outside its usual range, or answers that hardly ever go together (a slip of a unit, two fields in each
    other's place), void the calibration: then every `low` and `high` is null, and this list says why. An unseen
    code alone leaves every interval in place."""
    panel: Panel
    insurers: tuple[InsurerRow, ...]


class InsurerColumns(Struct, frozen=True):
    """The same values as the rows, one list for each."""

    insurer: tuple[str, ...]
    status: tuple[str, ...]
    """One of `likely`, `unlikely`, `unknown`."""
    probability: tuple[float | None, ...]
    premium: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


class QuotesColumnsAnswer(Struct, frozen=True):
    """An estimate, not an offer."""

    quote_id: str
    """The same id has the same prices as long as the bundle is in force."""
    bundle: str
    """The models that answered: see /v1/models."""
    currency: str
    level: float
    """The share of intervals `low`..`high` that hold the true price."""
    complete: bool
    """Whether both models answered."""
    degraded: tuple[str, ...]
    """Why the answer is less than it could be. The half of a model that is missing is null, everywhere in the
    answer. One of `classifier_timeout`, `classifier_unavailable`, `regressor_timeout`, `regressor_unavailable`,
    `features_missing`, `features_stale`, `features_unavailable`, `features_unknown_entity`,
    `calibration_missing`."""
    assumed: Mapping[str, str | float | bool]
    """What was assumed because nothing was sent, by path. Show it with the price."""
    out_of_range: tuple[str, ...]
    """Paths of what the training data did not have. A code that nobody has seen is treated as not known. A number
    outside its usual range, or answers that hardly ever go together (a slip of a unit, two fields in each
    other's place), void the calibration: then every `low` and `high` is null, and this list says why. An unseen
    code alone leaves every interval in place."""
    panel: Panel
    insurers: InsurerColumns


class Wrong(Struct, frozen=True):
    """One thing that is wrong."""

    loc: str
    """Where: `risk.driver.age`, `insurers[2]`, `query.layout`."""
    message: str
    """What would be right."""


class Problem(Struct, frozen=True):
    """RFC 9457. Never holds a value that was sent."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: tuple[Wrong, ...]


class Band(Struct, frozen=True):
    """A yearly gross price in pounds, and its calibrated interval."""

    premium: float
    low: float | None
    """An end of the calibrated interval; null without the regressor, or when the risk is out of range: see
    `out_of_range`."""
    high: float | None
    """An end of the calibrated interval; null without the regressor, or when the risk is out of range: see
    `out_of_range`."""


class Count(Struct, frozen=True):
    """How many insurers will quote."""

    expected: float
    low: int | None
    """The lowest or highest whole number in the calibrated band, which `expected`, being none, may miss by less
    than one; null when the risk is out of range: see `out_of_range`."""
    high: int | None
    """The lowest or highest whole number in the calibrated band, which `expected`, being none, may miss by less
    than one; null when the risk is out of range: see `out_of_range`."""


class Question(Struct, frozen=True):
    """A field worth asking for."""

    field: str
    """Its path, as it is sent."""
    narrows_band_by: float
    """The share by which an answer narrows the band of the cheapest price, on average."""


class BallparkAnswer(Struct, frozen=True):
    """An estimate, not an offer."""

    bundle: str
    """The models that answered: see /v1/models."""
    level: float
    """The share of intervals `low`..`high` that hold the true price."""
    complete: bool
    """Whether both models answered."""
    degraded: tuple[str, ...]
    """Why the answer is less than it could be. The half of a model that is missing is null, everywhere in the
    answer. One of `classifier_timeout`, `classifier_unavailable`, `regressor_timeout`, `regressor_unavailable`,
    `features_missing`, `features_stale`, `features_unavailable`, `features_unknown_entity`,
    `calibration_missing`."""
    assumed: Mapping[str, str | float | bool]
    """What was assumed because nothing was sent, by path. Show it with the price."""
    out_of_range: tuple[str, ...]
    """Paths of what the training data did not have. A code that nobody has seen is treated as not known. A number
    outside its usual range, or answers that hardly ever go together (a slip of a unit, two fields in each
    other's place), void the calibration: then every `low` and `high` is null, and this list says why. An unseen
    code alone leaves every interval in place."""
    cheapest: Band | None
    """Null without the regressor."""
    mean_of_five_cheapest: Band | None
    """Null without the regressor."""
    likely_insurers: Count | None
    """Null without the classifier."""
    answered: tuple[str, ...]
    """What was sent, by path."""
    next_questions: tuple[Question, ...] | None
    """What to ask next, best first; empty when nothing narrows the band, null when it was not computed: without
    the regressor, without time, or when the risk is out of range, since then there is no band to narrow."""


class ContractGroup(Struct, frozen=True):
    """Fields that are sent together."""

    name: str
    title: str
    entity: str | None
    """The id that may be sent instead of what the feature store knows."""
    consent: bool
    """Whether the group needs the person's consent."""


class ContractEntity(Struct, frozen=True):
    """What the feature store knows by an id, and how old that may be."""

    name: str
    id: str
    pattern: str
    soft_limit_s: float
    """Older values are used, and the answer says `features_stale`."""
    hard_limit_s: float
    """Older values are not used."""


class ContractField(Struct, frozen=True):
    """A field that may be sent."""

    path: str
    kind: str
    """One of `int`, `float`, `bool`, `enum`, `code`."""
    title: str
    purpose: str
    """Why it is needed."""
    unit: str | None
    minimum: float | None
    maximum: float | None
    values: tuple[str, ...] | None
    """What an `enum` may be."""
    pattern: str | None
    """What a `code` looks like."""
    source: str
    """`request`, or `store:` and the entity that knows it, too."""
    assumed: str | float | bool | None
    """What is assumed when it is not sent."""
    required: bool


class ContractOrder(Struct, frozen=True):
    """Two fields that contradict each other unless `least` + `gap` is at most `most`."""

    least: str
    gap: float
    most: str
    message: str


class Contract(Struct, frozen=True):
    """Groups, fields with their purposes, and what cannot be together."""

    line: str
    """The line of business."""
    version: int
    fingerprint: str
    groups: tuple[ContractGroup, ...]
    entities: tuple[ContractEntity, ...]
    fields: tuple[ContractField, ...]
    orders: tuple[ContractOrder, ...]


class Model(Struct, frozen=True):
    """One model of a bundle."""

    project: str
    version: int
    sha256: str
    created: str
    card: str
    """What it is for, how it was made and how good it is, in Markdown."""


class ModelPair(Struct, frozen=True):
    """Both models."""

    classifier: Model
    regressor: Model


class Models(Struct, frozen=True):
    """The bundle in force, with the cards of its models."""

    bundle: str
    contract: str
    """The fingerprint of the contract that the models were trained with."""
    created: str
    level: float
    """The share of intervals `low`..`high` that hold the true price."""
    insurers: tuple[str, ...]
    """The panel."""
    models: ModelPair


QUOTES: Final = Operation("POST", "/v1/quotes", QuotesAnswer, has_body=True, has_quote_id=True)
QUOTES_COLUMNS: Final = Operation("POST", "/v1/quotes?layout=columns", QuotesColumnsAnswer, has_body=True, has_quote_id=True)
BALLPARK: Final = Operation("POST", "/v1/ballpark", BallparkAnswer, has_body=True)
CONTRACT: Final = Operation("GET", "/v1/contract", Contract)
MODELS: Final = Operation("GET", "/v1/models", Models)


class Calls:
    """A method for every call of the API; a client brings the way to make one."""

    def _call(self, operation: Operation[A], given: Mapping[str, Mapping[str, Any]], budget_s: float | None) -> A:
        raise NotImplementedError

    def quotes(
        self,
        risk: Risk,
        *,
        quote_id: str | None = None,
        subject: str | None = None,
        insurers: Sequence[str] | None = None,
        ipt_rate: float | None = None,
        budget_s: float | None = None,
    ) -> QuotesAnswer:
        """Per insurer: will it quote, and at what price?

        `quote_id`: The caller's own id of this quote; made up when it is left out.

        `subject`: The caller's own pseudonym for a person, for erasure.

        `insurers`: Only these insurers, in this order; the whole panel when left out.

        `ipt_rate`: Insurance premium tax in the prices of the answer; 0.12 when left out.

        Raises `ballpark_client.BallparkError`.
        """
        given = {
            "body": {"risk": risk, "quote_id": quote_id, "subject": subject, "insurers": insurers, "ipt_rate": ipt_rate},
        }
        return self._call(QUOTES, given, budget_s)

    def quotes_columns(
        self,
        risk: Risk,
        *,
        quote_id: str | None = None,
        subject: str | None = None,
        insurers: Sequence[str] | None = None,
        ipt_rate: float | None = None,
        budget_s: float | None = None,
    ) -> QuotesColumnsAnswer:
        """Per insurer: will it quote, and at what price?

        `quote_id`: The caller's own id of this quote; made up when it is left out.

        `subject`: The caller's own pseudonym for a person, for erasure.

        `insurers`: Only these insurers, in this order; the whole panel when left out.

        `ipt_rate`: Insurance premium tax in the prices of the answer; 0.12 when left out.

        Raises `ballpark_client.BallparkError`.
        """
        given = {
            "body": {"risk": risk, "quote_id": quote_id, "subject": subject, "insurers": insurers, "ipt_rate": ipt_rate},
        }
        return self._call(QUOTES_COLUMNS, given, budget_s)

    def ballpark(
        self,
        risk: Risk,
        *,
        subject: str | None = None,
        ipt_rate: float | None = None,
        budget_s: float | None = None,
    ) -> BallparkAnswer:
        """The panel's best price from few answers, with a band, and which question to ask next.

        `subject`: The caller's own pseudonym for a person, for erasure.

        `ipt_rate`: Insurance premium tax in the prices of the answer; 0.12 when left out.

        Raises `ballpark_client.BallparkError`.
        """
        given = {
            "body": {"risk": risk, "subject": subject, "ipt_rate": ipt_rate},
        }
        return self._call(BALLPARK, given, budget_s)

    def contract(
        self,
        *,
        budget_s: float | None = None,
    ) -> Contract:
        """The fields and why each is needed.

        Raises `ballpark_client.BallparkError`.
        """
        return self._call(CONTRACT, {}, budget_s)

    def models(
        self,
        *,
        budget_s: float | None = None,
    ) -> Models:
        """The bundle in force, with its cards.

        Raises `ballpark_client.BallparkError`.
        """
        return self._call(MODELS, {}, budget_s)


class AsyncCalls:
    """A method for every call of the API; a client brings the way to make one."""

    async def _call(self, operation: Operation[A], given: Mapping[str, Mapping[str, Any]], budget_s: float | None) -> A:
        raise NotImplementedError

    async def quotes(
        self,
        risk: Risk,
        *,
        quote_id: str | None = None,
        subject: str | None = None,
        insurers: Sequence[str] | None = None,
        ipt_rate: float | None = None,
        budget_s: float | None = None,
    ) -> QuotesAnswer:
        """Per insurer: will it quote, and at what price?

        `quote_id`: The caller's own id of this quote; made up when it is left out.

        `subject`: The caller's own pseudonym for a person, for erasure.

        `insurers`: Only these insurers, in this order; the whole panel when left out.

        `ipt_rate`: Insurance premium tax in the prices of the answer; 0.12 when left out.

        Raises `ballpark_client.BallparkError`.
        """
        given = {
            "body": {"risk": risk, "quote_id": quote_id, "subject": subject, "insurers": insurers, "ipt_rate": ipt_rate},
        }
        return await self._call(QUOTES, given, budget_s)

    async def quotes_columns(
        self,
        risk: Risk,
        *,
        quote_id: str | None = None,
        subject: str | None = None,
        insurers: Sequence[str] | None = None,
        ipt_rate: float | None = None,
        budget_s: float | None = None,
    ) -> QuotesColumnsAnswer:
        """Per insurer: will it quote, and at what price?

        `quote_id`: The caller's own id of this quote; made up when it is left out.

        `subject`: The caller's own pseudonym for a person, for erasure.

        `insurers`: Only these insurers, in this order; the whole panel when left out.

        `ipt_rate`: Insurance premium tax in the prices of the answer; 0.12 when left out.

        Raises `ballpark_client.BallparkError`.
        """
        given = {
            "body": {"risk": risk, "quote_id": quote_id, "subject": subject, "insurers": insurers, "ipt_rate": ipt_rate},
        }
        return await self._call(QUOTES_COLUMNS, given, budget_s)

    async def ballpark(
        self,
        risk: Risk,
        *,
        subject: str | None = None,
        ipt_rate: float | None = None,
        budget_s: float | None = None,
    ) -> BallparkAnswer:
        """The panel's best price from few answers, with a band, and which question to ask next.

        `subject`: The caller's own pseudonym for a person, for erasure.

        `ipt_rate`: Insurance premium tax in the prices of the answer; 0.12 when left out.

        Raises `ballpark_client.BallparkError`.
        """
        given = {
            "body": {"risk": risk, "subject": subject, "ipt_rate": ipt_rate},
        }
        return await self._call(BALLPARK, given, budget_s)

    async def contract(
        self,
        *,
        budget_s: float | None = None,
    ) -> Contract:
        """The fields and why each is needed.

        Raises `ballpark_client.BallparkError`.
        """
        return await self._call(CONTRACT, {}, budget_s)

    async def models(
        self,
        *,
        budget_s: float | None = None,
    ) -> Models:
        """The bundle in force, with its cards.

        Raises `ballpark_client.BallparkError`.
        """
        return await self._call(MODELS, {}, budget_s)
