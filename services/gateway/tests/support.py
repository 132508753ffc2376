"""Fakes at the ports, a bundle that needs no training, and an app of both, asked without a network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx2
import numpy as np
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope as AsgiScope, Send

from gateway.api.access import Access, hash_key
from gateway.api.edge import Limits
from gateway.api.health import Health
from gateway.app import Parts, create_app
from gateway.domain.errors import BranchRubbish, BranchUnavailable
from gateway.domain.keys import Key, Scope
from gateway.domain.serving import Model, Serving, Typical
from gateway.ports import Answer, Categorical, Known, Numeric
from gateway.pricing.pricer import Outside
from kit import contract as contracts
from kit.calibration import Bands, Counts, Intervals, Probabilities, Table
from kit.ranges import VERSION, Ranges, encode

MOTOR: Final = contracts.load()
K: Final = 8
INSURERS: Final = tuple(f"i-{n:04d}" for n in range(1, K + 1))
SECRET: Final = b"s" * 32
KEY: Final = "test-key"
ALL: Final = Key("all", (hash_key(KEY.encode(), SECRET),), frozenset(Scope))
HEADERS: Final = {"Authorization": f"Bearer {KEY}"}

QUOTE: Final = {"risk": {"driver": {"age": 34}}}
BY_IDS: Final = {
    "risk": {
        "driver": {"age": 34, "licence_years": 12},
        "vehicle": {"vehicle_id": "v-00123"},
        "area": {"sector": MOTOR.field("sector").values[5]},
    }
}


def ranges_file(**changes: Any) -> bytes:
    """A ranges.json that allows whatever the contract allows; `box` and `pairs` may say otherwise."""
    raw: dict[str, Any] = {
        "version": VERSION,
        "contract": MOTOR.fingerprint,
        "box": {f.name: [f.minimum, f.maximum] for f in MOTOR.numeric} | changes.get("box", {}),
        "lists": {},
        "bins": {f.name: [] for f in MOTOR.numeric} | changes.get("bins", {}),
        "expectations": [],
        "pairs": changes.get("pairs", {"limit": 254, "between": [], "tables": ""}),
    }
    return encode(raw)


def serving(**changes: Any) -> Serving:
    """A bundle of eight insurers whose calibration widens every interval by a tenth of a log pound and moves no probability."""
    even, nowhere = Intervals(Table.constant(-0.1, 0.1)), Bands.of(MOTOR, {})
    made = Serving(
        bundle="2026-01-01.1",
        contract=MOTOR.fingerprint,
        created="2026-01-01T00:00:00+00:00",
        level=0.8,
        likely=0.5,
        insurers=INSURERS,
        classifier=Model("quote-classifier", 3, "c" * 64, "2026-01-01T00:00:00+00:00", "# Card of the classifier"),
        regressor=Model("premium-regressor", 4, "d" * 64, "2026-01-01T00:00:00+00:00", "# Card of the regressor"),
        probabilities=Probabilities(Table.constant(1.0, 1.0, 0.0, effects=1)),
        intervals=even,
        cheapest=even,
        mean_of_five_cheapest=even,
        likely_insurers=Counts(Table.constant(-2.0, 2.0)),
        quote_bands=nowhere,
        price_bands=nowhere,
        ranges=Ranges.read(ranges_file(), MOTOR),
        typical={
            "licence_years": (Typical(2.0, 0.25), Typical(20.0, 0.75)),
            "ncd_years": (Typical(0, 0.5), Typical(9, 0.5)),
            "conviction": (Typical("none", 0.9), Typical("dr10", 0.1)),
            "vehicle_group": (Typical(10, 0.5), Typical(30, 0.5)),
        },
    )
    return replace(made, **changes)


PROBABILITY: Final = np.linspace(0.9, 0.2, K)  # the first five are likely
LOG_PREMIUM: Final = np.log(np.linspace(700.0, 400.0, K))[:, np.newaxis] + np.array([-0.2, 0.0, 0.2])
PANEL: Final = np.log([[400.0], [470.0]]) + np.array([-0.3, 0.0, 0.3])


class FakeModel:
    """Answers at once with `answers[signature]`, or behaves: `slow` never answers, `error` refuses, `rubbish` babbles."""

    def __init__(self, behaviour: str = "ok", **answers: Answer) -> None:
        self.behaviour, self.answers = behaviour, answers
        self.timeouts: list[float] = []
        self.rows: list[tuple[Numeric, Categorical]] = []

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """As the port says."""
        self.timeouts.append(timeout)
        self.rows.append((numeric, categorical))
        if self.behaviour == "slow":
            await asyncio.Event().wait()
        if self.behaviour == "error":
            raise BranchUnavailable("refused")
        if self.behaviour == "rubbish":
            raise BranchRubbish("babbled")
        if self.behaviour == "bug":
            raise ZeroDivisionError("a secret value")
        return np.repeat(self.answers[signature][np.newaxis], len(numeric), 0)


def classifier(behaviour: str = "ok") -> FakeModel:
    """A quote classifier."""
    return FakeModel(behaviour, packed=PROBABILITY)


def regressor(behaviour: str = "ok") -> FakeModel:
    """A premium regressor."""
    return FakeModel(behaviour, packed=LOG_PREMIUM, panel=PANEL)


@dataclass(frozen=True, slots=True, eq=False)
class FakeEntity:
    """A row of the feature store."""

    outcome: str
    numeric: Numeric
    categorical: Categorical

    @property
    def numbers(self) -> tuple[float, ...]:
        """As the port says."""
        return tuple(self.numeric.tolist())

    @property
    def codes(self) -> tuple[int, ...]:
        """As the port says."""
        return tuple(self.categorical.tolist())


def entity(name: str, outcome: str = "hit") -> FakeEntity:
    """Known values (the middle of each range, the first category), or "not known" for an outcome without values."""
    fields = MOTOR.fields_of(name)
    numeric = np.array([(f.minimum + f.maximum) / 2 for f in fields if f.is_numeric], np.float32)
    categorical = np.zeros(sum(not f.is_numeric for f in fields), np.int32)
    if outcome in ("hit", "cached", "stale"):
        return FakeEntity(outcome, numeric, categorical)
    return FakeEntity(outcome, np.full_like(numeric, np.nan), np.full_like(categorical, -1))


class FakeFeatures:
    """A feature store in which every entity has the same outcome; a `slow` one uses up its time."""

    def __init__(self, outcome: str = "hit", *, slow: bool = False) -> None:
        self.outcome, self.slow = outcome, slow
        self.timeouts: list[float] = []

    def cached(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Known] | None:
        """What was read before, which a test says by the outcome `cached`."""
        return {pair: entity(pair[0], "cached") for pair in wanted} if self.outcome == "cached" else None

    async def read(self, wanted: Sequence[tuple[str, str]], *, timeout: float) -> Mapping[tuple[str, str], Known]:
        """As the port says."""
        self.timeouts.append(timeout)
        if self.slow:
            await asyncio.sleep(timeout)
        return {pair: entity(pair[0], self.outcome) for pair in wanted}


class FakeRemembered:
    """Answers that were given before; with `is_down` nothing is known and nothing is kept."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.kept: dict[str, bytes] = {}
        self.is_down = is_down

    def recall(self, digest: str, *, timeout: float) -> asyncio.Future[bytes | None]:
        """As the port says."""
        recalled: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        recalled.set_result(None if self.is_down or timeout <= 0 else self.kept.get(digest))
        return recalled

    def remember(self, digest: str, body: bytes, *, seconds: int) -> bool:
        """As the port says."""
        if not self.is_down and seconds > 0:
            self.kept.setdefault(digest, body)
        return not self.is_down


@dataclass
class World:
    """Everything around an app; a test changes what it is about."""

    classifier: FakeModel = field(default_factory=classifier)
    regressor: FakeModel = field(default_factory=regressor)
    features: FakeFeatures = field(default_factory=FakeFeatures)
    serving: Serving = field(default_factory=serving)
    keys: tuple[Key, ...] = (ALL,)
    limits: Limits = field(default_factory=lambda: Limits(max_in_flight=16, budget_ms=150))
    docs: bool = True
    remembered: "FakeRemembered | None" = None
    health: Health = field(default_factory=Health)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Outside]:
        """The seam where the real app opens channels."""
        yield Outside(self.features, self.classifier, self.regressor, self.remembered)

    def parts(self) -> Parts:
        """What `create_app` takes."""
        return Parts(
            contract=MOTOR,
            serving=self.serving,
            access=Access(self.keys, SECRET),
            limits=self.limits,
            docs=self.docs,
            health=self.health,
            registry=self.registry,
            connect=self.connect,
            answers_s=60,
        )

    def count(self, name: str, **labels: str) -> float:
        """The value of a series, 0.0 when nothing was counted."""
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(world: World) -> AsyncIterator[ASGIApp]:
    """The app after its start, with its lifespan's state in every request as uvicorn does it.

    The models are well while it warms up, and that call is forgotten.
    """
    app = create_app(world.parts())
    models = world.classifier, world.regressor
    behaviours = [model.behaviour for model in models]
    for model in models:
        model.behaviour = "ok"
    async with app.router.lifespan_context(app) as state:
        for model, behaviour in zip(models, behaviours, strict=True):
            model.behaviour = behaviour
            model.timeouts.clear()
            model.rows.clear()
        world.features.timeouts.clear()

        async def started(scope: AsgiScope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        yield started


async def until(condition: Callable[[], Awaitable[bool]], *, within: float) -> None:
    """Wait for a condition. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 -- what happens in another process sets no event here
            await asyncio.sleep(0.01)


@asynccontextmanager
async def client(world: World | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a running app, with a key that may do everything."""
    async with running(world or World()) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=HEADERS) as asked:
            yield asked
