"""The admin port: metrics and probes, and nothing else."""

from fastapi import FastAPI, Response, status
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.api.health import Health


def create_admin(health: Health, registry: CollectorRegistry) -> FastAPI:
    """An app that answers from memory only: it is asked every few seconds, also when everything else is down."""
    app = FastAPI(title="gateway admin", openapi_url=None)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/livez")
    async def live() -> Response:
        return _probe(True)  # the loop turns: it answered

    @app.get("/readyz")
    async def ready() -> Response:
        return _probe(health.ready)

    @app.get("/startupz")
    async def started() -> Response:
        return _probe(health.started)

    return app


def _probe(fine: bool) -> Response:
    code = status.HTTP_200_OK if fine else status.HTTP_503_SERVICE_UNAVAILABLE
    return Response("ok\n" if fine else "no\n", code, media_type="text/plain")
