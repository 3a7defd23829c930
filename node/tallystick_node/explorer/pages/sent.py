"""What pages take from visitors: a parameter that stands before `Db`, so that nobody who sends slowly, or
waits for a turn, holds a connection to the database meanwhile."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import Depends, Request

from tallystick_node.explorer.guard import asking
from tallystick_node.explorer.pages.frame import PROBLEMS
from tallystick_node.explorer.site import site_of

PUBLISHED: Final = 1 << 20
"""Bytes of receipts that are published at a time."""


async def _sent(request: Request) -> AsyncIterator[bytes]:
    async with site_of(request).intake.body(request) as raw:
        yield raw


async def _published(request: Request) -> AsyncIterator[bytes]:
    async with site_of(request).intake.body(request, PUBLISHED) as raw:
        yield raw


async def _turn(request: Request) -> AsyncIterator[None]:
    async with site_of(request).intake.turn(asking(request.scope)):
        yield


Sent = Annotated[bytes, Depends(_sent, scope="function")]
ToPublish = Annotated[bytes, Depends(_published, scope="function")]
Turn = Annotated[None, Depends(_turn, scope="function")]
"""Of a page that takes as long as what is sent does. A turn ends, as a connection to the database does,
before the answer is sent: who reads slowly keeps neither from others."""

TAKES_JSON: Final[dict[str, Any]] = {
    "responses": {**PROBLEMS, 413: {"description": "Too much at a time"}},
    "openapi_extra": {"requestBody": {"content": {"application/json": {"schema": {}}}, "required": True}},
}
"""What a route says of itself in the OpenAPI document."""
