"""What would a gateway have been asked, and what did the insurers answer? A market told in the order of time, to files or to a gateway.

An enquiry becomes a quote request, and its answers become outcomes of that quote. Files hold one week each, a line of JSON per enquiry. A gateway
is asked for the quote (`POST /v1/quotes`) and told the outcomes under the same `quote_id` (`POST /v1/outcomes`).
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import numpy as np

from kit.contract import Contract
from kit.files import write_atomic
from kit.stage import BadInput, Task
from market import enquiries
from market.drift import Timeline
from market.enquiries import Enquiries, Plan
from market.outcomes import ABSENT, OUTCOMES, QUOTE

TIMEOUT_S: Final = 10.0
Message = Mapping[str, Any]
"""`quote_id`, `asked_at`, `risk` as a request has it, and `outcomes`: insurer, outcome and, of a quote, premium."""


class Sink(Protocol):
    """Where a replay goes."""

    def week(self, number: int, messages: Sequence[Message]) -> None:
        """Take a week of enquiries, in the order of time. Raises BadInput when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Files:
    """`week-000.jsonl` and so on in a folder, each there only when it is whole."""

    folder: Path

    def week(self, number: int, messages: Sequence[Message]) -> None:
        """Write the week's file."""
        lines = "".join(json.dumps(m, separators=(",", ":")) + "\n" for m in messages)
        write_atomic(self.folder / f"week-{number:03d}.jsonl", lines.encode())


class Gateway:
    """A running gateway, spoken to over one connection."""

    def __init__(self, url: str, key: str) -> None:
        """Raises BadInput when the address is none of HTTP."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInput(f"--to {url}: a gateway's address is like http://127.0.0.1:8080")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def week(self, number: int, messages: Sequence[Message]) -> None:  # noqa: ARG002 - time is in the messages
        """Ask for each quote, then tell its outcomes."""
        for message in messages:
            self._post("/v1/quotes", {"quote_id": message["quote_id"], "risk": message["risk"]})
            self._post("/v1/outcomes", {name: message[name] for name in ("quote_id", "asked_at", "outcomes")})

    def _post(self, path: str, body: Message) -> None:
        try:
            self._connection.request("POST", self._prefix + path, json.dumps(body), self._headers)
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BadInput(f"{path} of {self._connection.host}:{self._connection.port}: {error}") from error
        if answer.status >= 300:
            raise BadInput(f"{path} answered {answer.status}: {said[:300].decode(errors='replace')}")


def replay(
    contract: Contract, of: Timeline, plan: Plan, span: tuple[int, int], to: Sink, task: Task, pause: Callable[[], None]
) -> None:
    """Tell the enquiries first <= id < last of `span` week by week, and pause after each week."""
    held: list[Message] = []
    current = -1
    for block in enquiries.between(contract, of, plan, *span):
        weeks = enquiries.weeks_of(plan, block.asked_at_us)
        for week, message in zip(weeks.tolist(), messages(contract, of, plan, block), strict=True):
            if week != current and held:
                to.week(current, held)
                task.advance(len(held))
                pause()
                held = []
            current = week
            held.append(message)
    if held:
        to.week(current, held)
        task.advance(len(held))


def paced(week_s: float) -> Callable[[], None]:
    """A pause that lets a week begin every so many seconds, however long the week before took to tell."""
    due = time.monotonic()

    def pause() -> None:
        nonlocal due
        due = max(due + week_s, time.monotonic() - week_s)
        time.sleep(max(0.0, due - time.monotonic()))

    return pause


def messages(contract: Contract, of: Timeline, plan: Plan, block: Enquiries) -> Iterator[Message]:
    """A block's enquiries as they would come in."""
    ids = np.array(of.ids)
    asked = [f for f in contract.fields if f.entity is None]
    columns = {f.name: _values(f.values, f.is_numeric, block.columns[f.name]) for f in asked}
    for row, (number, moment) in enumerate(zip(block.ids.tolist(), block.asked_at_us.tolist(), strict=True)):
        risk: dict[str, dict[str, Any]] = {group.name: {} for group in contract.groups}
        for field in asked:
            risk[field.group][field.name] = columns[field.name][row]
        risk["vehicle"]["vehicle_id"] = f"v-{block.vehicle[row]:05d}"
        there = np.flatnonzero(block.outcome[row] != ABSENT)
        yield {
            "quote_id": f"market-{plan.seed}-{number}",
            "asked_at": datetime.fromtimestamp(moment / 1e6, UTC).isoformat(),
            "risk": risk,
            "outcomes": [
                _outcome(name, code, premium)
                for name, code, premium in zip(
                    ids[there].tolist(),
                    block.outcome[row, there].tolist(),
                    block.premium[row, there].tolist(),
                    strict=True,
                )
            ],
        }


def _values(names: Sequence[str], numeric: bool, column: Any) -> list[Any]:
    if not numeric:
        return [names[code] for code in column.tolist()]
    # A float32's shortest decimal, so that 4.3 years are not 4.300000190734863.
    return [float(str(v)) for v in column] if column.dtype == np.float32 else list(column.tolist())


def _outcome(insurer: str, code: int, premium: float) -> dict[str, Any]:
    said: dict[str, Any] = {"insurer": insurer, "outcome": OUTCOMES[code]}
    return said | {"premium": premium} if code == QUOTE else said
