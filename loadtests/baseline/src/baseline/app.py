"""How does FastAPI answer with both models in its process? One call for each request, or requests that share one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from socket import socket
from typing import Final
from uuid import uuid4

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from baseline.answers import Merger, Tables
from baseline.batcher import MicroBatcher
from baseline.models import Run
from baseline.questions import of_contract
from baseline.rows import Packer
from kit.rows import Categorical, Numeric

MOST_IN_BATCH: Final = 64
BACKLOG: Final = 2048


@dataclass(frozen=True)
class Parts:
    """What an app is made of."""

    tables: Tables
    packer: Packer
    classifier: Run
    regressor: Run


@dataclass(frozen=True, eq=False)
class Asked:
    """One packed row, and what else its answer needs."""

    numeric: Numeric
    categorical: Categorical
    quote_id: str
    ipt_rate: float


Answer = Callable[[Asked], Awaitable[bytes]]


def create_app(parts: Parts, answer: Answer) -> FastAPI:
    """`POST /v1/quotes`, answered by `one_by_one` or `in_batches`."""
    question = of_contract(parts.tables.contract)
    app = FastAPI(title="baseline")

    @app.post("/v1/quotes")
    async def quotes(request: Request) -> Response:
        try:
            asked = question.model_validate_json(await request.body())
        except ValidationError as error:
            text = error.json(include_url=False, include_input=False)
            return Response(text, status_code=422, media_type="application/json")
        numeric, categorical = parts.packer.pack(asked.values())
        body = await answer(Asked(numeric, categorical, asked.quote_id or uuid4().hex, asked.ipt_rate))
        return Response(body, media_type="application/json")

    return app


def one_by_one(parts: Parts) -> Answer:
    """Both models, one after the other, in the event loop: the shortest way there is for one request."""
    merger = Merger(parts.tables)

    async def answer(asked: Asked) -> bytes:
        numeric, categorical = asked.numeric[np.newaxis], asked.categorical[np.newaxis]
        probability, log_premium = parts.classifier(numeric, categorical), parts.regressor(numeric, categorical)
        return merger.body(
            merger.merge(numeric, categorical, probability, log_premium, [asked.ipt_rate]), 0, asked.quote_id
        )

    return answer


def in_batches(parts: Parts, threads: ThreadPoolExecutor) -> Answer:
    """Both models at once on two threads, for all requests that came while the batch before was out; the merge on whole arrays."""
    merger = Merger(parts.tables)

    async def run(batch: Sequence[Asked]) -> list[bytes]:
        numeric = np.stack([asked.numeric for asked in batch])
        categorical = np.stack([asked.categorical for asked in batch])
        loop = asyncio.get_running_loop()
        probability, log_premium = await asyncio.gather(
            *(
                loop.run_in_executor(threads, model, numeric, categorical)
                for model in (parts.classifier, parts.regressor)
            )
        )
        merged = merger.merge(numeric, categorical, probability, log_premium, [asked.ipt_rate for asked in batch])
        return [merger.body(merged, row, asked.quote_id) for row, asked in enumerate(batch)]

    return MicroBatcher(run, most=MOST_IN_BATCH).ask


def warm_up(parts: Parts) -> None:
    """Both models once for each size of a batch."""
    numeric, categorical = parts.packer.pack({"age": 40})
    for rows in range(1, MOST_IN_BATCH + 1):
        batch = np.tile(numeric, (rows, 1)), np.tile(categorical, (rows, 1))
        parts.classifier(*batch)
        parts.regressor(*batch)


def serve(app: FastAPI, listening: socket) -> None:
    """Until SIGTERM, with uvicorn's fast parser and loop."""
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", ws="none", lifespan="off", access_log=False, log_level="warning",
        backlog=BACKLOG, server_header=False,
    )  # fmt: skip
    uvicorn.Server(config).run([listening])
