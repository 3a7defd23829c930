"""How one query's answer becomes three routes: HTML at the path, JSON and CSV under `/api`.

A page is a function that takes what FastAPI gives it and returns a `@shown` dataclass:

    pages = Pages()

    @pages.table("/settlements", "settlements.html")
    async def settlements(db: Db, cut: Cutting) -> Listing[Settlement]: ...

Its template knows the answer as `page`, and as `frame` where it stands (see `base.html`).
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from jinja2 import Environment
from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer.errors import IndexEmpty, Unavailable
from tallystick_node.explorer.live import Head
from tallystick_node.explorer.paging import CSV
from tallystick_node.explorer.schema import VERSION, progress
from tallystick_node.explorer.site import Site, site_of
from tallystick_node.explorer.values import Listing, shown

Query = TypeVar("Query", bound=Callable[..., Any])

_ACTIVE: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


@dataclass(frozen=True, slots=True)
class Read:
    """How far the index was when the page was made."""

    block: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around a page's content."""

    path: str
    asked: dict[str, str]
    """The query."""
    twin: str | None
    """Where the same is as JSON."""
    csv: str | None
    site: Site
    read: Read | None
    """None where the database was not asked."""
    now: int
    """Unix seconds of this server's clock, or the chain's where that is ahead: notices end by the chain's."""

    @property
    def at(self) -> "Read | Head | None":
        """The block that the page was made at; where it asked no database, the newest one that was read."""
        return self.read or self.site.live.head

    @property
    def behind(self) -> int:
        """Blocks that the node has and this page does not know."""
        head = self.site.live.head
        return max(0, head.chain_head - self.at.block) if head and self.at else 0

    @property
    def trouble(self) -> str | None:
        """Why the index does not go on, while there is something to be shown all the same."""
        head = self.site.live.head
        return head.trouble if head and self.at else None

    @property
    def age(self) -> int:
        """Seconds since that block."""
        return max(0, self.now - self.at.timestamp) if self.at else 0

    def older(self, listing: Listing[Any]) -> str | None:
        """Where the list goes on, of what else was asked for."""
        return self.asking(before=listing.older) if listing.older else None

    def asking(self, **changed: str | None) -> str:
        """This page, asked something else; None: not asked at all."""
        asked = {key: value for key, value in {**self.asked, **changed}.items() if value}
        return f"{self.path}?{urlencode(asked)}" if asked else self.path


@shown
class Problem:
    """Why there is no answer, in the JSON twin."""

    code: str
    message: str


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Problem, "description": "What was asked for is no number, hash or address"},
    404: {"model": Problem, "description": "There is no such thing"},
    429: {"model": Problem, "description": "Too many requests from one address"},
    503: {"model": Problem, "description": "Nothing of the chain was read yet"},
}
"""What any route may answer instead, for the OpenAPI document."""


async def _connection(request: Request) -> AsyncIterator[AsyncConnection]:
    site = site_of(request)
    try:
        connection = await site.database.connect()
    except DBAPIError as error:
        raise IndexEmpty("The index is not there yet.") from error
    except TimeoutError as error:
        raise Unavailable("Others ask for too much at the moment.") from error
    try:
        request.state.read = await _read(connection)
        yield connection
    finally:
        await connection.close()


async def _read(connection: AsyncConnection) -> Read:
    columns = (progress.c.version, progress.c.block, progress.c.hash, progress.c.timestamp)
    try:
        found = (await connection.execute(select(*columns))).first()
    except DBAPIError as error:
        raise IndexEmpty("The index has no tables yet.") from error
    if found is None or found.version != VERSION:
        raise IndexEmpty("Nothing of the chain was read yet.")
    return Read(found.block, found.hash, found.timestamp)


connected = asynccontextmanager(_connection)
"""The same for a page that may do without."""
Db = Annotated[AsyncConnection, Depends(_connection, scope="function")]
"""A page's parameter: one connection, and on it one state of the index. It ends before the answer is sent."""


class Pages:
    """The routes of one file."""

    def __init__(self) -> None:
        self.router = APIRouter()

    def page(self, path: str, template: str) -> Callable[[Query], Query]:
        """HTML and JSON."""
        return lambda query: self._add(path, template, query, table=False)

    def table(self, path: str, template: str) -> Callable[[Query], Query]:
        """HTML, JSON, and CSV of the answer's `rows`."""
        return lambda query: self._add(path, template, query, table=True)

    def data(self, path: str) -> Callable[[Query], Query]:
        """JSON alone, at exactly this path."""
        return lambda query: self._twin(path, query)

    def _add(self, path: str, template: str, query: Query, *, table: bool) -> Query:
        async def html(request: Request, page: Annotated[Any, Depends(query)]) -> Response:
            return render(request, template, {"page": page}, csv=table)

        name = query.__name__
        self.router.add_api_route(path, html, include_in_schema=False, response_class=HTMLResponse, name=name)
        api = f"/api{path}" if path != "/" else "/api/overview"
        if table:
            self._sheet(f"{api}.csv", query)
        return self._twin(api, query)

    def _sheet(self, path: str, query: Query) -> None:
        row = row_type(_answer(query))

        async def sheet(request: Request, page: Annotated[Any, Depends(query)]) -> Response:
            headers = {}
            if page.older is not None:
                following = urlencode({**request.query_params, "before": page.older})
                headers["Link"] = f'<{request.url.path}?{following}>; rel="next"'
            lines = csv_lines(row, page.rows)
            return StreamingResponse(lines, headers=headers, media_type="text/csv; charset=utf-8")

        rows: dict[int | str, Any] = {
            200: {
                "content": {"text/csv": {}},
                "description": f"The rows as CSV, {CSV:,} at most; a `Link` of `next` where there are more",
            }
        }
        self.router.add_api_route(
            path,
            sheet,
            operation_id=f"{query.__name__}_csv",
            response_class=Response,
            summary=f"{_summary(query)} (CSV)",
            responses={**PROBLEMS, **rows},
        )

    def _twin(self, path: str, query: Query) -> Query:
        answer = _answer(query)
        adapter = TypeAdapter(answer)

        async def twin(page: Annotated[Any, Depends(query)]) -> Response:
            return Response(adapter.dump_json(page, by_alias=True), media_type="application/json")

        self.router.add_api_route(
            path,
            twin,
            operation_id=query.__name__,
            response_model=answer,
            summary=_summary(query),
            responses=PROBLEMS,
        )
        return query


def _answer(query: Callable[..., Any]) -> Any:
    return get_type_hints(query, include_extras=True)["return"]


def _summary(query: Callable[..., Any]) -> str:
    return (query.__doc__ or query.__name__).strip().splitlines()[0]


def render(
    request: Request,
    template: str,
    values: dict[str, Any],
    *,
    csv: bool = False,
    twin: bool = True,
    status: int = 200,
) -> HTMLResponse:
    """A template, with its frame."""
    environment: Environment = request.app.state.templates
    frame = frame_of(request, csv=csv, twin=twin)
    text = environment.get_template(template).render(**values, frame=frame, request=request)
    return HTMLResponse(text, status)


def frame_of(request: Request, *, csv: bool, twin: bool) -> Frame:
    site = site_of(request)
    path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
    query = f"?{request.url.query}" if request.url.query else ""
    api = f"/api{path}" if path != "/" else "/api/overview"
    read: Read | None = getattr(request.state, "read", None)
    return Frame(
        path=path,
        asked=dict(request.query_params),
        twin=f"{api}{query}" if twin else None,
        csv=f"{api}.csv{query}" if csv else None,
        site=site,
        read=read,
        now=max(int(site.now()), read.timestamp if read else 0),
    )


def row_type(answer: Any) -> Any:
    """Of what a table's rows are."""
    if args := get_args(answer):
        return args[0]
    return get_args(get_type_hints(answer, include_extras=True)["rows"])[0]


def csv_lines(row: Any, rows: tuple[Any, ...]) -> Iterator[str]:
    """A header and the rows, written as in JSON; nothing that a spreadsheet would run."""
    adapter = TypeAdapter(row)
    names = [to_camel(field.name) for field in fields(row)]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names)
    for number, value in enumerate(rows):
        cells = adapter.dump_python(value, mode="json", by_alias=True)
        writer.writerow([_cell(cells[name]) for name in names])
        if number % 100 == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return f"'{value}" if isinstance(value, str) and value.startswith(_ACTIVE) else value
