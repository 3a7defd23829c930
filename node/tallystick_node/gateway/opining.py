"""The routes of a node that judges, or audits: what it says is bought as an answer is, and what it shows
afterwards is for those alone whom it concerns. Nothing is decided here."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from tallystick.protocol.case import read_body
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.wire import AUDIT_PATH, BALLOTS_PATH, DOSSIERS_PATH, JUDGE_PATH
from tallystick_node.engine.upstream import EngineGone
from tallystick_node.gateway.ask import Ask
from tallystick_node.gateway.auditing import Auditing, DossierAsk, Errand
from tallystick_node.gateway.bench import Bench, CaseAsk
from tallystick_node.gateway.direct import Endpoint
from tallystick_node.gateway.errors import EngineUnreachable
from tallystick_node.gateway.intake import Intake
from tallystick_node.gateway.relay import Answer, Relay, Running

CASE_LIMIT: Final = 4 << 20
"""Bytes of a case, or of a dossier, whatever other bodies may have: all of it is read, hashed, and held
against signatures before anything is paid."""
QUESTION_LIMIT: Final = 64 << 10
"""Bytes of a question for a ballot or a dossier."""
_JSON: Final = "application/json"
_A = TypeVar("_A", bound=Ask)
_Serve = Callable[[Running, str], Awaitable[Answer]]


class Sold(Protocol):
    """As `Routes.sold` is."""

    async def __call__(
        self, request: Request, reads: Callable[[bytes], Ask], serve: _Serve, *, apart: int
    ) -> Response: ...


class Opining:
    """Of one node. Errors are raised, for `Guarded` to answer."""

    def __init__(
        self,
        *,
        domain: Domain,
        relay: Relay,
        intake: Intake,
        sold: Sold,
        bench: Bench | None,
        auditing: Auditing | None,
        errand: Errand | None,
    ):
        self._domain, self._relay, self._intake, self._sells = domain, relay, intake, sold
        self._bench, self._auditing, self._errand = bench, auditing, errand

    def sold(self) -> Mapping[str, Endpoint]:
        """By path, of what this node does: what is paid for."""
        sold: dict[str, Endpoint] = {} if self._bench is None else {JUDGE_PATH: self.judge}
        return sold if self._auditing is None else sold | {AUDIT_PATH: self.audit}

    def free(self) -> Mapping[str, Endpoint]:
        """And what is not."""
        free: dict[str, Endpoint] = {} if self._bench is None else {BALLOTS_PATH: self.ballot}
        return free if self._errand is None else free | {DOSSIERS_PATH: self.dossier}

    async def judge(self, request: Request) -> Response:
        bench = self._bench
        assert bench is not None
        return await self._said(request, CaseAsk.of, lambda ask, name: bench.judge(ask.case, ask.model, name))

    async def audit(self, request: Request) -> Response:
        its = self._auditing
        assert its is not None
        return await self._said(
            request, DossierAsk.of, lambda ask, name: its.audit(ask.dossier, ask.signers, name)
        )

    async def _said(
        self,
        request: Request,
        reads: Callable[[bytes, Domain], _A],
        says: Callable[[_A, str], Awaitable[bytes]],
    ) -> Response:
        """What somebody on this node says, billed by what its engine counted."""

        async def serve(running: Running, engine_model: str) -> Answer:
            try:
                content = await says(cast(_A, running.ask), engine_model)
            except EngineGone as error:
                raise EngineUnreachable(str(error)) from error
            return await self._relay.billed(running, Answer(status=200, media_type=_JSON, content=content))

        return await self._sells(request, lambda body: reads(body, self._domain), serve, apart=CASE_LIMIT)

    async def ballot(self, request: Request) -> Response:
        assert self._bench is not None
        async with self._intake.body(request, QUESTION_LIMIT) as body:
            return _json(orjson.dumps(await self._bench.ballot(read_body(body))))

    async def dossier(self, request: Request) -> Response:
        assert self._errand is not None
        async with self._intake.body(request, QUESTION_LIMIT) as body:
            return _json(await self._errand.show(read_body(body)))


def _json(content: bytes) -> Response:
    return Response(content, media_type=_JSON, headers={"cache-control": "no-store"})
