"""What nodes say to one another, and tell payers, over HTTP: routes that read, call `Gossiper`, and write."""

from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.gossip import BODY_LIMIT, Frame
from tallystick.protocol.status import Rating
from tallystick.protocol.told import read_said
from tallystick.protocol.wire import GOSSIP
from tallystick_node.gateway.intake import Intake, IntakePolicy
from tallystick_node.network.gossip import Gossiper

_BODIES: Final = 64 * BODY_LIMIT
"""Bytes that come in at a time."""
_BODY_S: Final = 2
_NO_STORE: Final = {"Cache-Control": "no-store"}


class NetworkRoutes:
    def __init__(self, gossiper: Gossiper):
        self._gossiper = gossiper
        self._intake = Intake(IntakePolicy(body=BODY_LIMIT, total=_BODIES, seconds=_BODY_S))

    async def gossip(self, request: Request) -> Response:
        header = request.headers.get(GOSSIP)
        async with self._intake.body(request) as body:
            envelope, answer = await self._gossiper.answer(header, body)
        headers = _NO_STORE | {GOSSIP: envelope}
        return Response(answer, headers=headers, media_type="application/octet-stream")

    async def network(self, request: Request) -> Response:
        model = request.query_params.get("model")
        ratings = request.query_params.get("ratings") == "1"
        return _json(self._gossiper.telling.answer(model, ratings=ratings))

    async def rating(self, request: Request) -> Response:
        async with self._intake.body(request) as body:
            sender = request.client.host if request.client else ""
            news = self._gossiper.take_rating(_rating(body), sender)
        return _json(orjson.dumps({"news": news}))


def _rating(body: bytes) -> Frame:
    """Raises MalformedMessage."""
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage("The body is not JSON.") from error
    return read_said(Rating, data)


def _json(content: bytes) -> Response:
    return Response(content, headers=_NO_STORE, media_type="application/json")
