"""What is not a call: the documentation, and the refusal of everything that does not exist."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from gateway.api import docs as docs_page, openapi
from gateway.api.exchange import JSON, NO_CONTENT_BUT_DATA, Exchange
from gateway.api.problems import MEDIA_TYPE, Code, Refusal
from gateway.domain.serving import Serving
from kit.contract import Contract


def add(app: FastAPI, contract: Contract, serving: Serving, *, docs: bool) -> None:
    """Add the pages to an app whose edge is `gateway.api.edge.Edge`."""
    app.add_exception_handler(HTTPException, _refuse)
    if not docs:
        return
    document = openapi.encoded(contract, serving)
    page = docs_page.page(openapi.document(contract, serving))
    policy = {"content-security-policy": docs_page.policy().decode()}

    @app.get("/openapi.json")
    async def openapi_json() -> Response:
        return Response(document, media_type=JSON.decode(), headers=_locked())

    @app.get("/docs")
    async def readable() -> Response:
        return Response(page, media_type="text/html", headers=policy)


async def _refuse(request: Request, error: Exception) -> Response:
    exchange: Exchange = request.state.exchange
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: Code.NO_ROUTE, 405: Code.BAD_METHOD}.get(status, Code.INTERNAL)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    body = Refusal(code, f"{code.title}.").encode(exchange.request_id)
    return Response(body, code.status, headers | _locked(), media_type=MEDIA_TYPE.decode())


def _locked() -> dict[str, str]:
    name, value = NO_CONTENT_BUT_DATA
    return {name.decode(): value.decode()}
