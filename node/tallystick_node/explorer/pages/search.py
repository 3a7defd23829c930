"""`/search`: one hit leads to its page, several are listed; suggestions as one types."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import RedirectResponse, Response

from tallystick_node.explorer.pages.frame import Db, Pages, render
from tallystick_node.explorer.queries import search as queries
from tallystick_node.explorer.queries.search import LONGEST, Hit
from tallystick_node.explorer.values import shown

pages = Pages()

_SUGGESTED = 8
Word = Annotated[
    str,
    Query(
        max_length=LONGEST,
        description="A block's number or hash, the hash of a transaction, channel, offer or receipt, an "
        "address, a model's name, or an endpoint's host",
    ),
]


@shown
class Hits:
    """What is called so."""

    query: str
    hits: Sequence[Hit]


@pages.router.get("/search", include_in_schema=False)
async def search(request: Request, db: Db, q: Word = "") -> Response:
    hits = await queries.search(db, q)
    if len(hits) == 1:
        return RedirectResponse(hits[0].path, 303)
    return render(request, "search.html", {"page": Hits(query=q, hits=hits)})


@pages.data("/api/search")
async def find(db: Db, q: Word = "") -> Hits:
    """Everything that is called so."""
    return Hits(query=q, hits=await queries.search(db, q))


@pages.router.get("/search/suggestions", include_in_schema=False)
async def suggestions(request: Request, db: Db, q: Word = "") -> Response:
    """A part of a page, for the search box."""
    hits = await queries.search(db, q) if len(q.strip()) > 1 else ()
    return render(request, "suggestions.html", {"hits": hits[:_SUGGESTED], "asked": len(q.strip()) > 1})
