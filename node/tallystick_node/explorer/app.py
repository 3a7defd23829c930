"""The web application: wiring, security headers, rate limit and error pages. It reads a database and listens
to `site.live`; who fills the one and publishes to the other is not its business.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tallystick_node.explorer.errors import IndexEmpty, Malformed, NotFound, PageError
from tallystick_node.explorer.guard import SAFE, Buckets, Headers, Limit, RateLimit
from tallystick_node.explorer.live import BEHIND
from tallystick_node.explorer.pages import ROUTERS
from tallystick_node.explorer.pages.frame import render
from tallystick_node.explorer.site import Site
from tallystick_node.explorer.words import filters

_STATIC: Final = Path(str(files("tallystick_node.explorer") / "static"))
_TITLES: Final = {
    400: "That is no number, hash or address",
    404: "Nothing here",
    429: "Too many requests",
    503: "Not now",
}

_DEFECT: Final = "A defect of the explorer. What it knows is unharmed; other pages may work."


class Explorer(FastAPI):
    """Its OpenAPI document says 400 of what is malformed, as its answers do."""

    def openapi(self) -> dict[str, Any]:
        made = self.openapi_schema is None
        document = super().openapi()
        if made:
            for methods in document["paths"].values():
                for told in methods.values():
                    told["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
        return document


def make_app(site: Site, *, limit: Limit | None = Limit(), proxies: Sequence[str] = ()) -> FastAPI:
    """The explorer of one market. Without a limit an address may ask as much as it likes: for tests.

    `proxies`: addresses or networks of those who are believed when they say whom they ask for.
    """
    app = Explorer(
        title="Tallystick explorer",
        summary="The market as its events tell it. Amounts are decimal strings of atoms.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.site = site
    app.state.templates = _templates(site)
    if limit is not None:
        app.add_middleware(RateLimit, buckets=Buckets(limit), refuse=_page_error)
    app.add_middleware(Headers)
    if proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(proxies))
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_exception_handler(PageError, _page_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _defect)
    return app


def _templates(site: Site) -> Environment:
    environment = Environment(
        loader=PackageLoader("tallystick_node.explorer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(filters(site.asset))
    environment.globals.update(static=_static, tolerated=BEHIND, asset=site.asset, deployment=site.deployment)
    return environment


@cache
def _static(name: str) -> str:
    """The address of a static file, which changes with what it holds."""
    return f"/static/{name}?v={hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]}"


async def _page_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PageError)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    return _answer(request, error.status, error.code, str(error), headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == NotFound.status:
        return _answer(request, NotFound.status, NotFound.code, "There is no page at this address.", {})
    return _answer(request, error.status_code, "refused", str(error.detail), dict(error.headers or {}))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    message = f"{first['loc'][-1]}: {first['msg']}."
    return _answer(request, Malformed.status, Malformed.code, message, {})


async def _defect(request: Request, error: Exception) -> Response:
    """What no page meant to raise. The server logs it; it comes past our headers, and needs no template."""
    if request.url.path.startswith("/api/"):
        body = orjson.dumps({"code": "defect", "message": _DEFECT})
        return Response(body, 500, SAFE, media_type="application/json")
    return Response(_DEFECT, 500, SAFE, media_type="text/plain; charset=utf-8")


def _answer(request: Request, status: int, code: str, message: str, headers: dict[str, str]) -> Response:
    if request.url.path.startswith("/api/"):
        body = orjson.dumps({"code": code, "message": message})
        return Response(body, status, headers, media_type="application/json")
    values: dict[str, Any] = {
        "title": _TITLES.get(status, f"Refused ({status})"),
        "message": message,
        "passing": code == IndexEmpty.code,
    }
    response = render(request, "error.html", values, status=status, twin=False)
    response.headers.update(headers)
    return response
