"""How is a part of a market written? One file of each table, finished one by one, so that a run that was cut off goes on where it was.

A part is 65,536 enquiries. Parts know nothing of each other: any number of processes write any of them, and the bytes are the same.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from kit.contract import Contract, load
from kit.stage import Task
from market import enquiries, renewals, schema
from market.drift import Timeline
from market.enquiries import Enquiries, Plan
from market.randomness import BLOCK

UNFINISHED: Final = ".unfinished"
LOOK_EVERY_S: Final = 1.0
LAST: Final = "risks"
"""The market's table that is put in place last: where it stands, its part is whole."""


@dataclass(frozen=True, slots=True)
class Job:
    """The enquiries first <= id < last of a plan, and the two folders to write them to."""

    plan: Plan
    first: int
    last: int
    out: Path
    truth: Path
    chunk: int

    @property
    def parts(self) -> list["Job"]:
        """One job per file, of those that are not written yet."""
        size = schema.PART
        jobs = [
            Job(self.plan, max(self.first, n * size), min(self.last, (n + 1) * size), self.out, self.truth, self.chunk)
            for n in range(self.first // size, -(-self.last // size))
        ]
        return [job for job in jobs if not (self.out / LAST / job.name).exists()]

    @property
    def name(self) -> str:
        """The name of its files; of a job that is one part."""
        return f"part-{self.first // schema.PART:05d}.parquet"

    @property
    def enquiries(self) -> int:
        """How many."""
        return self.last - self.first


def fill(contract: Contract, of: Timeline, job: Job, workers: int, task: Task) -> None:
    """Write every part that is missing, and say after each how many enquiries are done."""
    jobs = job.parts
    task.advance(job.enquiries - sum(j.enquiries for j in jobs))
    if workers == 1 or len(jobs) < 2:
        for one in jobs:
            for done in write_part(contract, of, one):
                task.advance(done)
        return
    # Started afresh rather than forked: this process may have threads by now.
    afresh = get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), afresh, _begin, (os.getpid(),)) as pool:
        waiting = [pool.submit(_whole_part, of, one) for one in jobs]
        try:
            for future in as_completed(waiting):
                task.advance(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what is being written is finished, and kept
            raise


def _begin(parent: int) -> None:
    """A worker leaves Ctrl-C to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)


def _whole_part(of: Timeline, job: Job) -> int:
    """In a process of its own, which reads the contract that is shipped: it cannot be sent."""
    pa.set_cpu_count(1)  # the processes share the cores already
    return sum(write_part(load(), of, job))


def write_part(contract: Contract, of: Timeline, job: Job) -> Iterator[int]:
    """Write one part's files under other names, a block at a time, and put them in place at the end; how many enquiries each block had."""
    ids = of.ids
    with ExitStack() as stack:
        files = {path: stack.enter_context(_Table(path)) for path in _paths(job)}
        for asked in _blocks(contract, of, job):
            offers = renewals.of_block(of, job.plan, asked)
            tables = (
                schema.true_risks(contract, asked),
                schema.true_answers(ids, asked),
                schema.renewals(ids, asked, offers),
                schema.answers(ids, asked),
                schema.risks(contract, asked),
            )
            for file, table in zip(files.values(), tables, strict=True):
                file.write(table)
            yield len(asked.ids)
    for path in files:
        _beside(path).rename(path)


def _paths(job: Job) -> list[Path]:
    folders = (job.truth / "risks", job.truth / "answers", job.out / "renewals", job.out / "answers", job.out / LAST)
    return [folder / job.name for folder in folders]


def _blocks(contract: Contract, of: Timeline, job: Job) -> Iterator[Enquiries]:
    """In order, `chunk` enquiries (rounded up to whole blocks) computed at a time."""
    step = -(-job.chunk // BLOCK) * BLOCK
    for first in range(job.first // BLOCK * BLOCK, job.last, step):
        span = (max(first, job.first), min(first + step, job.last))
        yield from list(enquiries.between(contract, of, job.plan, *span))


def _beside(path: Path) -> Path:
    """Under the name of this process: one that was left over from a run that was killed is in nobody's way."""
    return path.with_suffix(f".{os.getpid()}{UNFINISHED}")


class _Table:
    """A Parquet file with a row group per block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, table: pa.Table) -> None:
        """Append a block's rows."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(_beside(self._path), table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            with _beside(self._path).open("rb") as file:
                os.fsync(file.fileno())
