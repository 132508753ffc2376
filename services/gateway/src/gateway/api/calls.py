"""The calls of the API: each reads its request, has it answered, and writes the answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from gateway.api.edge import Call
from gateway.api.encode import COLUMNS, ROWS, encode_ballpark, encode_quotes
from gateway.api.exchange import Exchange
from gateway.api.memory import Memory
from gateway.api.request import ballpark_reader, quotes_reader
from gateway.api.views import contract_view, models_view
from gateway.domain.errors import NoAnswer
from gateway.domain.keys import Scope
from gateway.domain.serving import Serving
from gateway.pricing.pricer import Asked, Pricer
from gateway.pricing.together import Together
from kit.contract import Contract

Clock = Callable[[], float]

QUOTES: Final = "/v1/quotes"
BALLPARK: Final = "/v1/ballpark"
CONTRACT: Final = "/v1/contract"
MODELS: Final = "/v1/models"

LAYOUTS: Final = {"layout": (ROWS, COLUMNS)}


def calls(
    contract: Contract,
    serving: Serving,
    pricer: Pricer,
    memory: Memory,
    *,
    clock: Clock,
    new_id: Callable[[], str],
) -> Mapping[str, Call]:
    """Every call by its path."""
    read_quotes = quotes_reader(contract, serving.position, new_id)
    read_ballpark = ballpark_reader(contract)
    finish = Together(partial(_finish, pricer, clock))

    async def quotes(exchange: Exchange) -> bytes:
        layout = exchange.query(LAYOUTS).get("layout", ROWS)
        request = read_quotes.read(await _body(exchange, clock))
        _stage(exchange, "read", clock)
        deadline = exchange.deadline
        remembrance = memory.of(request, layout, timeout=deadline.for_features(now=clock()))
        try:
            asked = await pricer.quotes(request, deadline, exchange.trace)
        except NoAnswer:
            before = await remembrance.before() if remembrance else None
            if before is None:
                raise
            return before
        body = await finish.do((asked, layout))
        if remembrance is None:
            return body
        before = await remembrance.before()
        if before is None and asked.is_whole:
            remembrance.keep(body)
        return before or body

    async def ballpark(exchange: Exchange) -> bytes:
        exchange.query({})
        request = read_ballpark.read(await _body(exchange, clock))
        _stage(exchange, "read", clock)
        answer = await pricer.ballpark(request, exchange.deadline, exchange.trace)
        started = clock()
        body = encode_ballpark(answer)
        exchange.trace.stages["write"] = clock() - started
        return body

    return {
        QUOTES: Call("POST", Scope.QUOTES, quotes),
        BALLPARK: Call("POST", Scope.BALLPARK, ballpark),
        CONTRACT: Call("GET", None, _fixed(contract_view(contract))),
        MODELS: Call("GET", None, _fixed(models_view(serving))),
    }


def _finish(pricer: Pricer, clock: Clock, ready: Sequence[tuple[Asked, str]]) -> list[bytes]:
    """The bodies of all quotes that are ready: those of one kind are merged and written together."""
    began, bodies = clock(), [b""] * len(ready)
    kinds: dict[tuple[str, bool, bool, tuple[int, ...] | None], list[int]] = {}
    for place, (asked, layout) in enumerate(ready):
        kinds.setdefault((layout, *asked.kind), []).append(place)
    for (layout, *_), places in kinds.items():
        started = clock()
        answers = pricer.answers([ready[place][0] for place in places])
        merged = clock()
        written = encode_quotes(answers, layout)
        ended = clock()
        for place, body in zip(places, written, strict=True):
            bodies[place] = body
            stages = ready[place][0].trace.stages
            stages["merge"], stages["write"] = merged - started, ended - merged
    pricer.finished(clock() - began)
    return bodies


async def _body(exchange: Exchange, clock: Clock) -> bytes:
    return await exchange.body(now=clock())


def _stage(exchange: Exchange, stage: str, clock: Clock) -> None:
    """The time since the stages before it ended."""
    exchange.trace.stages[stage] = clock() - exchange.started - sum(exchange.trace.stages.values())


def _fixed(body: bytes) -> Callable[[Exchange], Awaitable[bytes]]:
    async def answer(exchange: Exchange) -> bytes:
        exchange.query({})
        return body

    return answer
