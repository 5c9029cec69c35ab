"""The server: forecasts, observations, health and metrics of deployments over HTTP.

Requests are read on the event loop and answered on threads: previews on one of their own, so that
none waits for a journal. Whoever writes needs the token of the environment; where there is
none, only a program on the same machine may write. Every refusal is JSON with `error` and `kind`.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import pandas as pd
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from paretocast import __version__
from paretocast.deployment.bundle import issue_time
from paretocast.deployment.card import card_content
from paretocast.deployment.exposition import RequestCounts, journal_metrics
from paretocast.deployment.hosting import HostedDeployment, Hosting, JournalSnapshot
from paretocast.deployment.request_body import CSV, JSON, parse_body
from paretocast.deployment.run import issue_forecast, observe
from paretocast.errors import DataError, ParetocastError, SettingsError, StoreError
from paretocast.workspace import files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from paretocast.deployment.issued import LiveForecast
    from paretocast.deployment.request_body import RequestTables

T = TypeVar("T")
TOKEN_VARIABLE = "PARETOCAST_TOKEN"
MAX_BODY_BYTES = 8 * 2**20
# One thread computes at a time in Python: two previews would take turns, each twice as long.
PREVIEW_THREADS, JOURNAL_THREADS = 1, 4
MOST_WAITING = 64  # requests that wait for a thread; more are sent away
DISCARDED = 8  # times the limit of a body that is read before the connection is cut
LOOPBACK = frozenset({"127.0.0.1", "::1"})
LOCAL_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
PROMETHEUS_TEXT = "text/plain; version=1.0.0; charset=utf-8"
logger = logging.getLogger(__name__)


class Pages(Protocol):
    """Pages of the server."""

    def overview(self, deployments: Sequence[tuple[str, JournalSnapshot | None]]) -> str:
        """All deployments."""

    def deployment(self, name: str, snapshot: JournalSnapshot) -> str:
        """One deployment."""

    def operations(self, schema: Mapping[str, Any]) -> str:
        """The operations of an OpenAPI document."""


class RefusalError(Exception):
    """A request that is not answered as asked.

    Parameters
    ----------
    kind : str
        Stable name of the reason.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, headers


def create_app(folder: Path, *, pages: Pages, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """The application that serves the deployments of a folder.

    Parameters
    ----------
    folder : Path
        A deployment, or a folder with deployments; new ones are seen.
    max_body_bytes : int
        Larger bodies are refused.

    Raises
    ------
    SettingsError
        If nothing is deployed there, or the token is empty.
    """
    server = _Server(Hosting(folder), pages, read_token(os.environ), max_body_bytes)
    app = FastAPI(
        title="Paretocast",
        version=__version__,
        # The pages of FastAPI load their script from another site: `/docs` is one of our own.
        docs_url=None,
        redoc_url=None,
        lifespan=server.lifespan,
    )
    app.state.server = server
    _add_routes(app, server)
    _add_refusals(app)
    app.add_middleware(_Counting, counts=server.counts)
    return app


def read_token(environment: Mapping[str, str]) -> bytes | None:
    """The token that POST requests need, None if there is none.

    Raises
    ------
    SettingsError
        If it is empty, which would let everybody in.
    """
    token = environment.get(TOKEN_VARIABLE)
    if token is None:
        return None
    if not token.strip():
        raise SettingsError(f"{TOKEN_VARIABLE} is empty; unset it or give it a secret")
    return token.strip().encode()


@dataclass
class _Server:
    """Answers to requests."""

    hosting: Hosting
    pages: Pages
    token: bytes | None
    max_body_bytes: int
    counts: RequestCounts = field(default_factory=RequestCounts)
    _pages_kept: dict[str, tuple[JournalSnapshot, str]] = field(default_factory=dict)

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Read all bundles before the first request is taken."""
        self._previews = CapacityLimiter(PREVIEW_THREADS)
        self._journals = CapacityLimiter(JOURNAL_THREADS)
        await to_thread.run_sync(self._snapshots)
        yield

    # Answers to POST

    async def forecast(
        self,
        request: Request,
        name: str,
        *,
        at: Annotated[str | None, Query(description="First hour to forecast, with zone.")] = None,
        dry_run: Annotated[bool, Query(description="Write nothing and wait for nobody.")] = False,
    ) -> Response:
        """Issue a forecast from `history`, `weather` and `at`; with `dry_run` it is not kept."""
        hosted, content, kind = await self._posted(request, name)
        answer = _preview if dry_run else _issue
        limiter = self._previews if dry_run else self._journals
        body = await self._on_thread(partial(answer, hosted, content, kind, at), limiter)
        # A connection stays with the process that took it. Where other requests wait here, let go
        # of it: the client's next one is taken by a process that has time.
        crowded = limiter.statistics().tasks_waiting > 0
        headers = {"Connection": "close"} if crowded else None
        return Response(body, media_type=JSON, headers=headers)

    async def observe(self, request: Request, name: str) -> Response:
        """Add observations of the target from `history`; covariates may be missing."""
        hosted, content, kind = await self._posted(request, name)
        body = await self._on_thread(partial(_observe, hosted, content, kind), self._journals)
        return Response(body, media_type=JSON)

    async def _posted(self, request: Request, name: str) -> tuple[HostedDeployment, bytes, str]:
        """Deployment, body and its type of a request that may write."""
        authorise(request, self.token)
        hosted = self._hosted(name)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {JSON, CSV} or "content-encoding" in request.headers:
            raise RefusalError(
                415, "content_type", f"the body is {kind or 'of no type'}, expected {JSON} or {CSV}"
            )
        return hosted, await read_body(request, self.max_body_bytes), kind

    async def _on_thread(self, answer: Callable[[], T], limiter: CapacityLimiter) -> T:
        if limiter.statistics().tasks_waiting >= MOST_WAITING:
            raise RefusalError(
                503, "busy", "too many requests are waiting", headers={"Retry-After": "1"}
            )
        return await to_thread.run_sync(answer, limiter=limiter)

    # Answers to GET

    async def overview(self) -> HTMLResponse:
        """List the deployments as a page."""
        return HTMLResponse(await self._on_thread(self._overview, self._journals))

    async def page(self, name: str) -> HTMLResponse:
        """Show the latest fan chart of a deployment and its coverage so far."""
        hosted = self._hosted(name)
        return HTMLResponse(
            await self._on_thread(partial(self._deployment, name, hosted), self._journals)
        )

    async def operations(self, request: Request) -> HTMLResponse:
        """Show this list as a page."""
        return HTMLResponse(self.pages.operations(request.app.openapi()))

    async def card(self, name: str, *, markdown: bool = False) -> Response:
        """Return the model card of the bundle in use."""
        hosted = self._hosted(name)
        card = await self._on_thread(partial(_card, hosted, markdown=markdown), self._journals)
        return Response(card, media_type="text/markdown" if markdown else JSON)

    async def health(self, name: str) -> JSONResponse:
        """Return whether a deployment can be used, and its latest issue."""
        hosted = self._hosted(name)
        snapshot = await self._on_thread(hosted.snapshot, self._journals)
        return JSONResponse(health_of(snapshot))

    async def all_health(self) -> JSONResponse:
        """Return whether every deployment can be used; 503 if one cannot."""
        snapshots = await self._on_thread(self._snapshots, self._journals)
        content = {
            name: {"status": "unusable"} if snapshot is None else health_of(snapshot)
            for name, snapshot in snapshots
        }
        usable = all(snapshot is not None for _, snapshot in snapshots)
        status = "ok" if usable else "unusable"
        return JSONResponse(
            {"status": status, "version": __version__, "deployments": content},
            status_code=200 if usable else 503,
        )

    async def metrics(self) -> Response:
        """Return counts for Prometheus."""
        text = await self._on_thread(self._metrics, self._journals)
        return Response(text, media_type=PROMETHEUS_TEXT)

    def _hosted(self, name: str) -> HostedDeployment:
        hosted = self.hosting.get(name)
        if hosted is None:
            there = ", ".join(self.hosting.names()) or "none"
            raise RefusalError(
                404, "unknown_deployment", f"no deployment is called {name!r}; there are {there}"
            )
        return hosted

    def _snapshots(self) -> list[tuple[str, JournalSnapshot | None]]:
        """Snapshot of every deployment, None where it cannot be read; the log says why."""
        snapshots: list[tuple[str, JournalSnapshot | None]] = []
        for name in self.hosting.names():
            hosted = self.hosting.get(name)
            try:
                snapshots.append((name, hosted.snapshot() if hosted else None))
            except ParetocastError as error:
                logger.error("%s cannot be used: %s", name, error)
                snapshots.append((name, None))
        return snapshots

    def _overview(self) -> str:
        return self.pages.overview(self._snapshots())

    def _deployment(self, name: str, hosted: HostedDeployment) -> str:
        snapshot = hosted.snapshot()
        kept = self._pages_kept.get(name)
        if kept is None or kept[0] is not snapshot:
            kept = snapshot, self.pages.deployment(name, snapshot)
            self._pages_kept[name] = kept
        return kept[1]

    def _metrics(self) -> bytes:
        return journal_metrics(self._snapshots()) + self.counts.text()


def authorise(request: Request, token: bytes | None) -> None:
    """Refuse a request that may not write.

    With a token it has to be the request's bearer token. Without one the request has to come from
    this machine: not through a proxy, whose own address says nothing, and under a local name, so
    that no page of another site can send it by a name that leads here.

    Raises
    ------
    RefusalError
        With status 401 or 403.
    """
    if token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        matches = hmac.compare_digest(given.strip().encode("latin-1"), token)
        if scheme.lower() != "bearer" or not matches:
            raise RefusalError(
                401,
                "token",
                f"expected the header Authorization: Bearer TOKEN with the server's "
                f"{TOKEN_VARIABLE}",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return
    client = "" if request.client is None else request.client.host
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    passed_on = any(header in request.headers for header in FORWARDED)
    if client not in LOOPBACK or name.lower() not in LOCAL_NAMES or passed_on:
        raise RefusalError(
            403,
            "token",
            f"the server has no {TOKEN_VARIABLE}, so POST is for programs on its own machine; set "
            "one there",
        )


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises
    ------
    RefusalError
        With status 413 if it is larger than the limit. It is not kept, but read on for a while:
        most clients look for an answer only after they have sent all.
    """
    content, n_bytes = bytearray(), 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes <= limit:
            content += chunk
            continue
        content.clear()
        if n_bytes > DISCARDED * limit:
            break
    if n_bytes > limit:
        raise RefusalError(
            413,
            "too_large",
            f"the body has more than {limit} bytes; send the rows that the model reads",
            headers={"Connection": "close"},
        )
    return bytes(content)


def health_of(snapshot: JournalSnapshot) -> dict[str, Any]:
    """State of a deployment as JSON values."""
    latest = snapshot.forecasts[-1] if snapshot.forecasts else None
    coverage = snapshot.coverage()
    return {
        "status": "ok",
        "bundle": snapshot.bundle.name,
        "method": snapshot.bundle.manifest["method"],
        "issues": len(snapshot.forecasts),
        "latest_issue": None if latest is None else latest.issue_time.isoformat(),
        "latest_method": None if latest is None else latest.rung,
        "latest_flags": [] if latest is None else list(latest.flags),
        "observed_hours": coverage.n_hours,
        "coverage": coverage.percent,
        "target_coverage": snapshot.bundle.coverage,
    }


def forecast_content(forecast: LiveForecast) -> bytes:
    """A forecast with its rows, as JSON."""
    return to_json({**forecast.as_json(), "rows": forecast.rows()})


def _preview(hosted: HostedDeployment, content: bytes, kind: str, at: str | None) -> bytes:
    snapshot = hosted.snapshot()
    tables = parse_body(content, kind)
    inputs = tables.inputs(snapshot.bundle.contract)
    return forecast_content(snapshot.preview(inputs, issue_time(_one_at(tables, at), inputs)))


def _issue(hosted: HostedDeployment, content: bytes, kind: str, at: str | None) -> bytes:
    deployment = hosted.deployment()
    tables = parse_body(content, kind)
    inputs = tables.inputs(deployment.bundle.contract)
    return forecast_content(issue_forecast(deployment, inputs, _one_at(tables, at)))


def _observe(hosted: HostedDeployment, content: bytes, kind: str) -> bytes:
    deployment = hosted.deployment()
    tables = parse_body(content, kind)
    observed = observe(deployment, deployment.bundle.contract.read_target(tables.history))
    return to_json({"new": observed.n_new, "corrected": observed.n_corrected})


def _one_at(tables: RequestTables, at: str | None) -> str | None:
    if at is not None and tables.at is not None and at != tables.at:
        raise DataError(f'the query has at={at} and the body "at": "{tables.at}"; give one of them')
    return at or tables.at


def _card(hosted: HostedDeployment, *, markdown: bool) -> bytes:
    bundle = hosted.deployment().bundle
    if markdown:
        return files.load_bytes(bundle.folder / "card.md")
    return json.dumps(card_content(bundle.manifest), ensure_ascii=False).encode()


_TABLE: dict[str, Any] = {
    "description": "Rows, or an object with a list for each column.",
    "oneOf": [
        {"type": "array", "items": {"type": "object"}},
        {"type": "object", "additionalProperties": {"type": "array"}},
    ],
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["history"],
                    "additionalProperties": False,
                    "properties": {
                        "history": _TABLE,
                        "weather": _TABLE,
                        "at": {"type": "string", "format": "date-time"},
                    },
                }
            },
            CSV: {"schema": {"type": "string"}},
        },
    }
}


def _add_routes(app: FastAPI, server: _Server) -> None:
    """Paths in the order in which they are looked at: the server's own before names."""
    get: list[tuple[str, Callable[..., Any], type[Response]]] = [
        ("/", server.overview, HTMLResponse),
        ("/docs", server.operations, HTMLResponse),
        ("/health", server.all_health, JSONResponse),
        ("/metrics", server.metrics, Response),
        ("/{name}", server.page, HTMLResponse),
        ("/{name}/card", server.card, JSONResponse),
        ("/{name}/health", server.health, JSONResponse),
    ]
    for path, answer, response in get:
        app.get(path, response_class=response, response_model=None)(answer)
    for path, answer in (
        ("/{name}/forecast", server.forecast),
        ("/{name}/observe", server.observe),
    ):
        app.post(path, response_class=JSONResponse, response_model=None, openapi_extra=_BODY)(
            answer
        )


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RefusalError)
    async def _(_: Request, error: RefusalError) -> JSONResponse:
        return _refused(error.status, error.kind, str(error), error.headers)

    @app.exception_handler(ParetocastError)
    async def _(request: Request, error: ParetocastError) -> JSONResponse:
        kind = type(error).__name__.removesuffix("Error").lower()
        if isinstance(error, StoreError):
            logger.error("%s: %s", request.url.path, error)
            message = "the deployment cannot be read or written; the server's log says why"
            return _refused(503, kind, message, {"Retry-After": "1"})
        return _refused(422, kind, str(error))

    @app.exception_handler(pd.errors.OutOfBoundsDatetime)
    async def _(_: Request, error: pd.errors.OutOfBoundsDatetime) -> JSONResponse:
        return _refused(422, "data", f"a time is out of all bounds: {error}")

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        return _refused(422, "query", f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def _(_: Request, error: HTTPException) -> JSONResponse:
        return _refused(error.status_code, "http", error.detail, error.headers)

    @app.exception_handler(Exception)
    async def _(_: Request, __: Exception) -> JSONResponse:
        return _refused(500, "defect", "an error of the server; its log says which")


def _refused(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"error": message, "kind": kind}, status_code=status, headers=headers)


class _Counting:
    """Middleware that counts requests and their time."""

    def __init__(self, app: ASGIApp, counts: RequestCounts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # no answer, as the client went away

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, note)
        except ClientDisconnect:
            pass
        finally:
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.perf_counter() - started
            self._counts.add(method=scope["method"], route=route, status=status, seconds=seconds)
