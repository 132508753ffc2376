"""The yardstick: bare uvicorn that reads a request and gives a ready answer of so many bytes. `python static.py PORT BYTES`."""

import asyncio
import sys
from typing import Any

import uvicorn

_, port, size = sys.argv
BODY = b"x" * int(size)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", size.encode())]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """ASGI, with nothing between."""
    if scope["type"] != "http":
        raise RuntimeError("only HTTP is served")
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def main() -> None:
    """Serve until killed."""
    config = uvicorn.Config(
        app, port=int(port), http="httptools", loop="uvloop", lifespan="off", log_level="error", access_log=False
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
