"""What makes a batch, as pure values: the queue that gathers calls, and the arrays that are merged and cut apart.

The queue follows TensorFlow's `SharedBatchScheduler`. It is a row of batches of which the last is open. A call joins the
open batch if it fits, else that one closes and a new one opens, up to `max_enqueued_batches` in the row. The first batch
may run when it is closed, full, or its first call has waited `batch_timeout_micros`. The queue is told the time, holds
no thread and no clock.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_server.config import BatchingParameters
from model_server.errors import Code, ServingError, invalid

Array = NDArray[Any]
Feeds = Mapping[str, Array]

_MICRO: Final = 1e-6
_PADDED_RANK: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One call in a queue: tensors by feed name, with the same number of rows, and when its time is up (clock seconds)."""

    feeds: Feeds
    rows: int
    expires: float = float("inf")


@dataclass(slots=True)
class _Batch:
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0
    opened: float = 0.0


class Queue:
    """Calls for one servable and one set of tensors, waiting to be merged."""

    def __init__(self, parameters: BatchingParameters) -> None:
        self._parameters = parameters
        self._batches: deque[_Batch] = deque([_Batch()])

    @property
    def rows(self) -> int:
        """How many rows wait."""
        return sum(batch.rows for batch in self._batches)

    def pieces(self, rows: int) -> list[int]:
        """The sizes in which a call would join: one, unless large calls are split, and then the open batch is filled first.

        Raises INVALID_ARGUMENT if it never fits, UNAVAILABLE if the row of batches is full.
        """
        limit, largest = self._parameters.max_batch_size, self._parameters.largest
        if rows > limit:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {limit}")
        room = largest - self._batches[-1].rows
        if rows <= room:
            return [rows]
        first = [room] if room and self._parameters.enable_large_batch_splitting else []
        rest = rows - sum(first)
        sizes = first + [min(largest, rest - begun) for begun in range(0, rest, largest)]
        self._check_depth(len(sizes) - len(first))
        return sizes

    def _check_depth(self, more: int) -> None:
        depth = self._parameters.max_enqueued_batches
        if len(self._batches) + more > depth:
            raise ServingError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{len(self._batches)} batches enqueued and max_enqueued_batches is {depth}",
            )

    def add(self, task: Task, *, now: float) -> None:
        """Let a call, or a piece of one, wait. Raises as `pieces` does."""
        if self._batches[-1].rows + task.rows > self._parameters.largest:
            self.pieces(task.rows)
            self._batches.append(_Batch())
        batch = self._batches[-1]
        if not batch.tasks:
            batch.opened = now
        batch.tasks.append(task)
        batch.rows += task.rows

    def ready_at(self) -> float:
        """When the first batch may run: in the past if at once, infinity if nobody waits."""
        first = self._batches[0]
        if len(self._batches) > 1 or first.rows >= self._parameters.largest:
            return float("-inf")
        if not first.tasks:
            return float("inf")
        return first.opened + self._parameters.batch_timeout_micros * _MICRO

    def take(self) -> list[Task]:
        """The calls of the first batch, which leaves the row."""
        tasks = self._batches.popleft().tasks
        if not self._batches:
            self._batches.append(_Batch())
        return tasks


def rows_of(feeds: Feeds) -> int:
    """The number of rows that all inputs of a call share. Raises INVALID_ARGUMENT if they do not."""
    if not feeds:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes: set[int] = {array.shape[0] for array in feeds.values()}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def split(task: Task, sizes: Sequence[int]) -> list[Task]:
    """A call as pieces of these sizes."""
    if len(sizes) == 1:
        return [task]
    ends = list(accumulate(sizes))
    return [
        Task({name: array[end - size : end] for name, array in task.feeds.items()}, size, task.expires)
        for size, end in zip(sizes, ends, strict=True)
    ]


def padded_size(rows: int, allowed: Sequence[int]) -> int:
    """The next allowed size; a batch above the largest, or without any rule, keeps its own."""
    return next((size for size in allowed if size >= rows), rows)


def merge(tasks: Sequence[Task], parameters: BatchingParameters) -> Feeds:
    """One set of tensors for all calls, filled up to an allowed size with the last call's first row.

    Raises FAILED_PRECONDITION if shapes differ beyond the rows (and are not to be padded), INTERNAL if types differ.
    """
    rows = sum(task.rows for task in tasks)
    missing = padded_size(rows, parameters.allowed_batch_sizes) - rows
    if len(tasks) == 1 and not missing:
        return tasks[0].feeds
    merged: dict[str, Array] = {}
    for name in tasks[0].feeds:
        pieces = [task.feeds[name] for task in tasks]
        if len({piece.dtype for piece in pieces}) > 1:
            raise ServingError(
                Code.INTERNAL, f"Tensor concat operation failed: Input tensors must have the same data type: {name}"
            )
        if len({piece.shape[1:] for piece in pieces}) > 1:
            if not parameters.pad_variable_length_inputs:
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                    "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                    "dimensions starting with the first dim.",
                )
            pieces = _level(name, pieces)
        if missing and len(pieces[-1]):
            pieces.append(np.repeat(pieces[-1][:1], missing, axis=0))
        merged[name] = np.concatenate(pieces)
    return merged


def cut(outputs: Sequence[Array], sizes: Sequence[int], ran: int) -> list[list[Array]]:
    """Each call's own rows of every output; `ran` rows were run, of which the last may be padding.

    Raises FAILED_PRECONDITION for an output that does not have a row for each row that went in.
    """
    for output in outputs:
        if output.ndim == 0:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if output.shape[0] != ran:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    ends = list(accumulate(sizes))
    starts = [0, *ends[:-1]]
    return [[output[start:end] for output in outputs] for start, end in zip(starts, ends, strict=True)]


def _level(name: str, pieces: list[Array]) -> list[Array]:
    """Pad every tensor to the largest in each dimension but the first, with its own first value."""
    if any(piece.ndim > _PADDED_RANK for piece in pieces):
        raise invalid(f"Only tensors with rank from 1 to {_PADDED_RANK} can be padded.")
    if len({piece.ndim for piece in pieces}) > 1:
        raise invalid(f"Tensors with name '{name}' from different tasks should have the same rank")
    largest = tuple(max(sizes) for sizes in zip(*(piece.shape[1:] for piece in pieces), strict=True))
    levelled: list[Array] = []
    for piece in pieces:
        filler = piece.reshape(-1)[0] if piece.size else np.zeros(1, piece.dtype)[0]
        target = np.full((piece.shape[0], *largest), filler, piece.dtype)
        target[tuple(slice(size) for size in piece.shape)] = piece
        levelled.append(target)
    return levelled
