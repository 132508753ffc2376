"""A replay: the market's own enquiries and answers, in the order of time, to files and to a gateway."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.contract import Contract
from market.__main__ import main
from market.drift import still
from market.enquiries import Plan, between
from market.insurers import Market
from market.replay import messages

ARGUMENTS = ("replay", "--enquiries", "40", "--insurers", "30", "--seed", "1", "--weeks", "2", "--quiet", "--into")


def test_a_file_holds_a_week(tmp_path: Path) -> None:
    """Two weeks are two files, and their enquiries are in the order of time."""
    assert 0 == main([*ARGUMENTS, str(tmp_path / "told")])

    files = sorted((tmp_path / "told").iterdir())
    told = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert ["week-000.jsonl", "week-001.jsonl"] == [f.name for f in files]
    assert [f"market-1-{n}" for n in range(40)] == [m["quote_id"] for m in told]
    assert sorted(m["asked_at"] for m in told) == [m["asked_at"] for m in told]
    assert all(30 == len(m["outcomes"]) for m in told)


def test_a_message_says_what_was_asked_and_answered(contract: Contract, market: Market) -> None:
    """Its risk has every field that a driver answers, and ids for car and sector; a premium stands with a quote alone."""
    plan = Plan(1, 20, 8)
    of = still(market, 8)
    (block,) = between(contract, of, plan, 0, 20)

    for row, message in enumerate(messages(contract, of, plan, block)):
        risk = message["risk"]
        answered = {name for group in risk.values() for name in group}
        assert {f.name for f in contract.fields if f.entity is None} | {"vehicle_id"} == answered
        assert block.columns["age"][row] == risk["driver"]["age"]
        assert np.float32(risk["driver"]["licence_years"]) == block.columns["licence_years"][row]
        premiums = [o.get("premium") for o in message["outcomes"]]
        assert [None if np.isnan(p) else p for p in block.premium[row].tolist()] == premiums
        assert json.loads(json.dumps(message)) == message


class _Gateway(BaseHTTPRequestHandler):
    """Keeps what it is told, and answers with the server's status."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.told.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined] # _serving's
        self.send_response(self.server.status)  # type: ignore[attr-defined] # _serving's
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _serving(status: int) -> Iterator[tuple[str, list[Any]]]:
    server: Any = HTTPServer(("127.0.0.1", 0), _Gateway)
    server.told, server.status = [], status
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_gateway_is_asked_and_then_told() -> None:
    """Each quote is asked for, and its outcomes come under the same id, with the key."""
    with _serving(200) as (url, told):
        assert 0 == main([*ARGUMENTS, url, "--to", "3"])

    assert ["/v1/quotes", "/v1/outcomes"] * 3 == [path for path, _, _ in told]
    assert {"Bearer ballpark-dev"} == {key for _, key, _ in told}
    for (_, _, asked), (_, _, outcome) in zip(told[::2], told[1::2], strict=True):
        assert asked["quote_id"] == outcome["quote_id"]
        assert {"quote_id", "asked_at", "outcomes"} == set(outcome)


def test_a_gateway_that_refuses_ends_the_replay(capsys: pytest.CaptureFixture[str]) -> None:
    """The route and the status are named."""
    with _serving(404) as (url, _):
        assert 2 == main([*ARGUMENTS, url])

    assert "/v1/quotes answered 404" in capsys.readouterr().err


@pytest.mark.parametrize("into", ["ftp://somewhere", "http://", "http://127.0.0.1:9"])
def test_an_address_where_no_gateway_is(into: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a wrong scheme nor a closed port is waited for."""
    assert 2 == main([*ARGUMENTS, into])
    assert "market replay:" in capsys.readouterr().err


def test_a_folder_that_is_there_is_not_told_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What lies in it is left alone."""
    (tmp_path / "notes.txt").write_text("mine")

    assert 2 == main([*ARGUMENTS, str(tmp_path)])
    assert "name a new folder" in capsys.readouterr().err
    assert ["notes.txt"] == [p.name for p in tmp_path.iterdir()]
