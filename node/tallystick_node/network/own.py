"""A request of an own user: answered by the node's engine, or bought elsewhere, as its policy says. The user
sees one OpenAI endpoint.

Only what is here reaches another provider: a paid request never comes here, and so is never passed on.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import orjson
import structlog

from tallystick.ports import Clock
from tallystick.protocol.errors import ContextTooLong
from tallystick.protocol.length import TYPICAL_ANSWER, Length
from tallystick.protocol.speed import Pace
from tallystick.protocol.transcript import Counts
from tallystick.protocol.units import Atoms, Milliseconds, Tokens
from tallystick_node.engine.upstream import DONE, EngineGone, Reply, Upstream
from tallystick_node.network.asked import Asked, Estimate, ReadWishes, Wishes
from tallystick_node.network.blocks import with_first
from tallystick_node.network.errors import Crowded, ModelUnknown, OriginError, Unserved
from tallystick_node.network.lobby import Lobby
from tallystick_node.network.participation import Participation
from tallystick_node.network.policies import AGAIN_S, Request

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_OK: Final = 200
_REFUSALS: Final = (400, 413, 422)
"""Of an engine that does not take the request itself: for its length, it may be."""

log = structlog.get_logger("tallystick.own")


@dataclass(slots=True, kw_only=True, eq=False)
class Answer:
    """To an own user: whole, or a stream, which is closed whatever becomes of its reader."""

    status: int
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    """None: it is streamed."""
    blocks: AsyncIterator[bytes] | None = None
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What ends with it."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert self.blocks is not None
        return self.blocks

    async def aclose(self) -> None:
        await self.held.aclose()


@dataclass(slots=True, kw_only=True, eq=False)
class AtEngine:
    """One that the node's engine works at, as far as the engine's time depends on it."""

    asked: Asked
    since: Milliseconds
    company: int
    """Requests that the engine worked at when it came, whoever's, itself included."""
    counts: Counts = field(default_factory=Counts)
    """Of what came so far."""
    first_at: Milliseconds = Milliseconds(0)
    """When its first token came; zero: none has."""

    def add(self, payload: bytes, now: Milliseconds) -> bool:
        """Counts a piece of its stream; whether it is anything that its user asked for."""
        if payload == DONE:
            return True
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return True
        self.counts.add(chunk)
        if self.counts.output_tokens and not self.first_at:
            self.first_at = now
        is_usage = isinstance(chunk, dict) and chunk.get("choices") == [] and "usage" in chunk
        return self.asked.wants_usage or not is_usage


class Engine(Protocol):
    """What a node knows of its engine, and learns from whatever it answers."""

    def context(self, model: str) -> Tokens:
        """That it has for one answer of the model and its prompt; zero: not known."""

    def company(self) -> int:
        """Requests that it works at, whoever's."""

    def note(self, running: AtEngine, now: Milliseconds) -> None:
        """It was answered, to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What the market would do for a request."""

    providers: int
    """Providers that it could be bought from."""
    pace: Pace | None = None
    """Of the one that would be bought from; None: not known."""
    context: Tokens = Tokens(0)
    """The most that one of them has; zero: not known."""
    balance: Atoms = Atoms(0)
    seed: int | None = None
    """Of that choice; None: there was none."""


class Buying(Protocol):
    """The market, in the hands of a node that buys."""

    def prospect(self, request: Request, wishes: Wishes) -> Prospect:
        """For the models of `wishes`."""

    async def buy(
        self, path: str, body: bytes, headers: Mapping[str, str], seed: int | None = None
    ) -> Answer | None:
        """`seed`: of the prospect by which it is bought, so that it is bought there; None: of none.
        None: nobody sold it, nothing was told and nothing is owed for it."""

    def typical_output(self, model: str) -> Tokens:
        """Output tokens of an answer, as they were before, wherever it came from."""

    def ended(self, model: str, output_tokens: int) -> None:
        """An own user's answer had so many that was not bought."""


class Own:
    """Serves the node's own users."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        serves: Callable[[str], str | None],
        read_wishes: ReadWishes,
        estimate: Estimate,
        participation: Participation,
        engine: Engine,
        lobby: Lobby,
        clock: Clock,
        buying: Buying | None = None,
    ):
        """`serves`: the engine's name of a model, None where it has no such model. `read_wishes`: as whoever
        buys reads them, so that a body is right or wrong wherever it is answered."""
        self.running: set[AtEngine] = set()
        self._upstream = upstream
        self._serves = serves
        self._read_wishes = read_wishes
        self._estimate = estimate
        self._participation = participation
        self._engine = engine
        self._lobby = lobby
        self._clock = clock
        self._buying = buying

    async def answer(self, user: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """To be closed by the caller.

        Raises
        ------
        MalformedMessage :
            It is no request.
        ContextTooLong :
            Neither the node's engine holds it, nor anybody who is known.
        OriginError :
            Nobody answers it, or not now.
        """
        asked = Asked.read(user, path, body, headers, read_wishes=self._read_wishes, estimate=self._estimate)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._lobby.entered(user))
            answer = await self._answered(asked)
            answer.held.push_async_exit(stack.pop_all())
            return answer

    async def _answered(self, asked: Asked) -> Answer:
        models = asked.wishes.models
        place, here = self._found(asked)
        sold = bool(place) and self._is_sold(asked, models[:place], here)  # One that is liked better.
        mine = asked if here is None else asked.of(models[place], self._typical_output(models[place]))
        bought, prospect = None, None if sold or here is None else await self._offloads(mine)
        asks = sold or prospect is not None
        if asks:
            bought = await self._bought(asked, None if prospect is None else prospect.seed)
            if bought is not None and (here is None or not self._may_hold(bought, mine)):
                return bought
        if here is None:
            if sold:
                raise Unserved("Nobody sold an answer. Try again later.")
            raise ModelUnknown(
                "Neither this node nor anybody it knows serves the model as wished.", actual=models[0]
            )
        self._require_room(mine)
        try:
            answer = await self._served(mine, here)
        except Crowded:
            if bought is not None:
                return bought  # Refused for good, as it seems: to wait for the engine may be in vain.
            raise
        except EngineGone as error:
            log.warning("engine.gone", error=str(error))
            if bought := bought or await self._bought(asked):
                return bought
            raise Unserved("The engine does not answer, and nobody sold an answer.") from error
        if not asks and self._may_be_held_elsewhere(answer, mine):
            bought = await self._bought(asked)
            return bought if bought is not None and bought.status == _OK else answer
        return answer

    def _found(self, asked: Asked) -> tuple[int, str | None]:
        """The place of the first of the models for which the engine holds the request, or else of the one
        with the most context, and its name there; else the end, and None."""
        models = asked.wishes.models
        having = {
            place: name for place, model in enumerate(models) if (name := self._serves(model)) is not None
        }
        holding = (place for place in having if self._holds(asked.length, models[place]))
        most = max(having, key=lambda place: self._engine.context(models[place]), default=len(models))
        place = next(holding, most)
        return place, having.get(place)

    # ------------------------------------------------------------------------------------- what has room

    def _holds(self, length: Length, model: str) -> bool:
        return length.fits(self._engine.context(model))

    def _may_hold(self, refusal: Answer, asked: Asked) -> bool:
        """What an engine elsewhere has refused, maybe for its length."""
        context = self._engine.context(asked.request.model)
        return refusal.status in _REFUSALS and not asked.length.never_fits(context)

    def _may_be_held_elsewhere(self, refusal: Answer, asked: Asked) -> bool:
        """What the node's own has refused, maybe for its length."""
        context = self._engine.context(asked.request.model)
        if refusal.status not in _REFUSALS or self._buying is None or not asked.length.may_exceed(context):
            return False
        prospect = self._buying.prospect(asked.request, asked.wishes)
        return prospect.providers > 0 and not 0 < prospect.context <= context

    def _require_room(self, asked: Asked) -> None:
        """For what nobody sold. Where the engine can only refuse it, its user is told so; where it may hold
        it, it is asked: it counts. Raises ContextTooLong or Unserved."""
        length, context = asked.length, self._engine.context(asked.request.model)
        if not length.never_fits(context):
            return
        prospect = Prospect(providers=0)
        if self._buying is not None:
            prospect = self._buying.prospect(asked.request, asked.wishes)
        if prospect.providers and length.fits(prospect.context):
            raise Unserved("The engine does not hold the request, and nobody sold an answer.")
        raise ContextTooLong(
            "The model's context does not hold such a request, here or elsewhere.",
            required=max(context, prospect.context),
            actual=length.likely + length.limit,
        )

    # ------------------------------------------------------------------------------------- here or elsewhere

    def _typical_output(self, model: str) -> Tokens:
        return TYPICAL_ANSWER if self._buying is None else self._buying.typical_output(model)

    def _is_sold(self, asked: Asked, models: tuple[str, ...], here: str | None) -> bool:
        """One of these; with context enough, as far as it can be told, where the request can be answered
        `here`, too."""
        if self._buying is None:
            return False
        prospect = self._buying.prospect(asked.request, replace(asked.wishes, models=models))
        return prospect.providers > 0 and (here is None or asked.length.fits(prospect.context))

    async def _offloads(self, asked: Asked) -> Prospect | None:
        """By which the policy has it bought, of what the engine has; None: it does not. While it is
        undecided, the request waits."""
        if self._buying is None:
            return None
        decision, prospect = self._decided(asked, self._buying)
        if decision is None:
            async with self._lobby.wait():
                while decision is None:
                    await asyncio.sleep(AGAIN_S)
                    decision, prospect = self._decided(asked, self._buying)
        return prospect if decision else None

    def _decided(self, asked: Asked, buying: Buying) -> tuple[bool | None, Prospect]:
        prospect = buying.prospect(asked.request, asked.wishes)
        decision = self._participation.offloads(
            asked.request,
            elsewhere=prospect.pace,
            providers=prospect.providers if asked.length.fits(prospect.context) else 0,
            balance=prospect.balance,
            holds=self._holds(asked.length, asked.request.model),
        )
        return decision, prospect

    async def _bought(self, asked: Asked, seed: int | None = None) -> Answer | None:
        if self._buying is None:
            return None
        return await self._buying.buy(asked.path, asked.body, asked.headers, seed)

    async def _served(self, asked: Asked, model: str) -> Answer:
        """By the node's engine; raises EngineGone or Crowded."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._lobby.engine())
            running = AtEngine(
                asked=asked, since=self._clock.milliseconds(), company=1 + self._engine.company()
            )
            self.running.add(running)
            stack.callback(self.running.discard, running)
            reply = await self._upstream.post(asked.path, asked.for_engine(model))
            stack.callback(reply.abort)
            if reply.status == _OK and asked.streamed:
                blocks = self._blocks(reply, running)
                first = await anext(blocks)  # An engine that dies before it says anything has not answered.
                stack.push_async_callback(blocks.aclose)
                return Answer(
                    status=_OK,
                    media_type=EVENT_STREAM,
                    blocks=with_first(first, blocks),
                    held=stack.pop_all(),
                )
            content = await reply.read()
            stack.callback(reply.release)
            if reply.status == _OK:
                running.add(content, self._clock.milliseconds())
                self._note(running, self._clock.milliseconds())
            retry = reply.headers.get("Retry-After")
            return Answer(
                status=reply.status,
                media_type=reply.media_type,
                headers={} if retry is None else {"Retry-After": retry},
                content=content,
            )

    async def _blocks(self, reply: Reply, running: AtEngine) -> AsyncGenerator[bytes]:
        said = False
        try:
            async for payloads in reply.payloads():
                now = self._clock.milliseconds()
                wanted = [payload for payload in payloads if running.add(payload, now)]
                if wanted:
                    said = True
                    yield b"".join(b"data: %b\n\n" % payload for payload in wanted)
                if DONE in payloads:
                    self._note(running, now)
                    await reply.drain()
                    return
            raise EngineGone("The engine broke off.")
        except EngineGone as error:
            if not said:
                raise
            log.warning("engine.gone", error=str(error))
            yield b"data: " + orjson.dumps(told(Unserved("The engine broke off."))) + b"\n\n"

    def _note(self, running: AtEngine, now: Milliseconds) -> None:
        """It was answered here, to its end."""
        self._engine.note(running, now)
        if self._buying is not None and running.counts.output_tokens:
            self._buying.ended(running.asked.request.model, running.counts.output_tokens)


def told(error: OriginError) -> dict[str, Any]:
    """In OpenAI's shape, for the end of a stream."""
    shape = {"message": error.message, "type": "tallystick_error", "code": error.code, "param": None}
    return {"error": shape}
