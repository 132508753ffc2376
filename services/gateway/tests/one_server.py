"""A model server that is a process of its own, to be killed and stopped: `python one_server.py PORT`."""

import asyncio
import sys

from wire import fixed, model_server


async def serve(port: int) -> None:
    """Until the end of the process; says when it listens."""
    async with model_server(fixed(3), port) as bound:
        print(bound, flush=True)  # noqa: T201 -- whoever started us reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
