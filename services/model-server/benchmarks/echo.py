"""A gRPC server that answers every call with the same bytes: what remains when nothing is done. `python echo.py PORT`."""

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """One answer for every method."""

    def service(self, _: Any) -> Any:
        """The same handler each time."""
        return grpc.unary_unary_rpc_method_handler(answer)


async def answer(_: bytes, __: Any) -> bytes:
    """As many bytes as a row of 120 insurers has."""
    return bytes(1500)


async def main(port: str) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
