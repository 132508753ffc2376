"""When is each process of a fleet ready, as its users would see it?"""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from local_fleet.ports import HOST

PROBE_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the body is None when it is not JSON."""

    status: int
    body: Any


def ask(
    port: int, path: str, *, timeout: float, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer | None:
    """GET, or POST when there is a body; None when nobody answers in time."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    try:
        return Answer(response.status, json.loads(content))
    except ValueError:
        return Answer(response.status, None)


def redis_ready(port: int) -> bool:
    """It answers PING, which it refuses while it loads its snapshot."""
    return redis_says(port, b"PING") == b"+PONG"


def redis_says(port: int, command: bytes, *, timeout: float = PROBE_TIMEOUT_S) -> bytes:
    """The first line of the answer to one inline command; empty when nobody answers."""
    try:
        with socket.create_connection((HOST, port), timeout) as connection:
            connection.sendall(command + b"\r\n")
            with connection.makefile("rb") as answer:
                return answer.readline().strip()
    except OSError:
        return b""


def model_ready(port: int, model: str, version: int) -> bool:
    """TF Serving's status route says AVAILABLE for that very version."""
    answer = ask(port, f"/v1/models/{model}/versions/{version}", timeout=PROBE_TIMEOUT_S)
    try:
        return answer is not None and [s["state"] for s in answer.body["model_version_status"]] == ["AVAILABLE"]
    except (TypeError, KeyError):
        return False


def gateway_ready(admin_port: int) -> bool:
    """Its admin port says that it takes requests."""
    answer = ask(admin_port, "/readyz", timeout=PROBE_TIMEOUT_S)
    return answer is not None and answer.status == http.HTTPStatus.OK


def why_incomplete(answer: Answer | None, insurers: int) -> str | None:
    """What a quote lacks to be a whole one of so many insurers, or None."""
    if answer is None:
        return "no answer to POST /v1/quotes"
    if answer.status != http.HTTPStatus.OK or not isinstance(answer.body, dict):
        return f"POST /v1/quotes answers {answer.status}: {json.dumps(answer.body)[:500]}"
    if not answer.body.get("complete") or answer.body.get("degraded"):
        return f"the quote is incomplete: {', '.join(answer.body.get('degraded', [])) or 'no reason given'}"
    if (count := len(answer.body.get("insurers", []))) != insurers:
        return f"the quote has {count} insurers, the models have {insurers}"
    return None
