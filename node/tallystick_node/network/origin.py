"""A node that buys: what its own users ask for, from other providers, with the SDK that every payer has and
from one account, so that what it earns by serving it spends by passing on.

The one place on a node's side that knows how payers pay. It is reached from own users' requests alone, and
never buys from the provider that it is.
"""

import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import anyio.to_thread
import httpx2
import orjson
import structlog

from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Market
from tallystick.client.ask import read_manner
from tallystick.client.audits import Audits
from tallystick.client.budget import Budget
from tallystick.client.choose import Wanted
from tallystick.client.duel import Duel
from tallystick.client.errors import MalformedRequest
from tallystick.client.rules import RULES
from tallystick.client.session import Session, open_session
from tallystick.client.sight import Sighted
from tallystick.client.steering import Steering, read_models, read_steering
from tallystick.client.transport import BASE_URL, SEED, Transport, ending_in_words
from tallystick.ports import Signer
from tallystick.protocol.errors import MalformedMessage, MarketError
from tallystick.protocol.hearsay import Hearsay
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.units import Address, Atoms, Tokens
from tallystick_node.network.asked import Wishes
from tallystick_node.network.blocks import with_first
from tallystick_node.network.own import EVENT_STREAM, Answer, Prospect
from tallystick_node.network.policies import COUNTED, Request

TIMES: Final = {"connect": 5.0, "read": 600.0, "write": 60.0, "pool": 60.0}
_MARKET: Final = "tallystick_error"
_BROKEN: Final = b'data: {"error"'

log = structlog.get_logger("tallystick.origin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a node buys with."""

    wallet: Signer
    """Whose account pays."""
    provider: Address
    """The node's own, of which nothing is bought."""
    rpc: str
    deployment: Deployment
    home: Path
    """Where the purse is."""
    total: Atoms
    """That may be spent over the life of the purse."""
    per_request: Atoms
    rule: str = "quoted"
    """One of `RULES`."""
    duel_share: float = 0
    """Of what is bought, unless a user says otherwise."""
    duel_budget: Atoms = Atoms(0)
    audit_budget: Atoms = Atoms(0)
    """Over the life of the purse; zero: there are none."""
    hands: Market | None = None
    """The contract in the wallet's hands, for duels and audits; None: what they find is kept."""

    @property
    def duel(self) -> Duel | None:
        return Duel(share=self.duel_share, budget=self.duel_budget) if self.duel_budget else None

    @property
    def audits(self) -> Audits | None:
        return Audits(budget=self.audit_budget) if self.audit_budget else None


def read_wishes(fields: Mapping[str, Any]) -> Wishes:
    """As every payer reads them; raises MalformedMessage."""
    try:
        read_manner(fields)
        return Wishes(models=read_models(fields), steering=read_steering(fields))
    except MalformedRequest as error:
        raise MalformedMessage(str(error), required=error.required) from error


class Origin:
    """Use it in one event loop, and close it."""

    def __init__(self, session: Session, *, provider: Address):
        self.bought = 0
        """Answers."""
        self._session = session
        self._transport = Transport(session)
        self._provider = provider
        self._balance = Atoms(0)

    @classmethod
    def open(cls, means: Means, hearsay: Hearsay | None = None) -> Self:
        """`hearsay`: the node's own, where it gossips; else gateways are asked. Raises what `open_session`
        does."""
        session = open_session(
            means.wallet,
            rpc=means.rpc,
            deployment=means.deployment,
            budget=Budget(total=means.total, per_request=min(means.per_request, means.total)),
            home=means.home,
            rule=RULES[means.rule],
            avoids=frozenset({means.provider}),  # Who bought from itself would pay gas to stand still.
            outlook=None if hearsay is None else Sighted(hearsay),
            duel=means.duel,
            audits=means.audits,
            hands=means.hands,
            continues=True,  # A user asked this node, and need not know that another broke off.
        )
        return cls(session, provider=means.provider)

    async def look(self) -> None:
        """Who sells what, and what is left to spend; raises ChainError."""
        await anyio.to_thread.run_sync(self._session.payer.listing.refresh)
        spent, reserved = self._session.purse.spending()
        self._balance = Atoms(max(0, self._session.purse.budget.total - spent - reserved))

    def models(self) -> list[str]:
        """That others sell, as last seen."""
        known = (posted.offer for posted in self._session.payer.listing.known)
        return sorted({offer.model for offer in known if offer.provider != self._provider})

    def prospect(self, request: Request, wishes: Wishes) -> Prospect:
        """Of what is known: nobody is asked."""
        model, *fallbacks = wishes.models
        assert isinstance(wishes.steering, Steering)
        wanted = Wanted(
            model=model,
            input_tokens=request.input_tokens,
            output_tokens=request.output_tokens,
            seed=secrets.randbits(64),
            typical_output=self.typical_output(model),
            fallbacks=tuple(fallbacks),
            steering=wishes.steering,
            answers=request.answers,
        )
        try:
            choices = self._session.payer.prospects.foreseen(wanted)
        except MalformedRequest:  # It cannot be bought so: the node's own engine answers.
            choices = ()
        counted = choices[:COUNTED]  # Those first whose context is thought to hold it.
        return Prospect(
            providers=len(counted),
            pace=counted[0].expected if counted else None,
            context=max((item.posted.offer.context_length for item in counted), default=Tokens(0)),
            balance=self._balance,
            seed=wanted.seed,
        )

    async def buy(
        self, path: str, body: bytes, headers: Mapping[str, str], seed: int | None = None
    ) -> Answer | None:
        """None: nobody sold it, and the user was told nothing."""
        request = httpx2.Request(
            "POST",
            BASE_URL + path.removeprefix("/v1"),
            headers=headers,
            content=body,
            extensions={"timeout": TIMES, SEED: seed},
        )
        try:
            response = await self._transport.handle_async_request(request)
            answer = await self._begun(response)
        except (httpx2.TransportError, MarketError) as error:
            log.info("offload.failed", error=type(error).__name__)
            return None
        self.bought += answer is not None and answer.status == httpx2.codes.OK
        return answer

    def typical_output(self, model: str) -> Tokens:
        """As the purse's own record has it: what was bought and what the node's engine answered are in it."""
        return self._session.payer.record.typical_output(model, TYPICAL_ANSWER)

    def ended(self, model: str, output_tokens: int) -> None:
        self._session.payer.record.ended(model, output_tokens)

    async def aclose(self) -> None:
        """What is received and not yet acknowledged is."""
        await self._transport.aclose()

    async def _begun(self, response: httpx2.Response) -> Answer | None:
        """An answer of which something came; raises httpx2.TransportError."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(response.aclose)
            if "content-length" in response.headers:
                content = await response.aread()
                if response.status_code != httpx2.codes.OK and not _is_final(response.status_code, content):
                    log.info("offload.failed", status=response.status_code, code=_code(content))
                    return None
                return Answer(
                    status=response.status_code,
                    media_type="application/json",
                    headers=_sold_by(response),
                    content=content,
                )
            raw = response.aiter_raw()
            first = await anext(raw)
            if first.startswith(_BROKEN):
                log.info("offload.failed", code=_code(first.removeprefix(b"data: ")))
                return None
            blocks = ending_in_words(raw)
            stack.push_async_callback(blocks.aclose)
            return Answer(
                status=response.status_code,
                media_type=EVENT_STREAM,
                headers=_sold_by(response),
                blocks=with_first(first, blocks),
                held=stack.pop_all(),
            )


def _sold_by(response: httpx2.Response) -> Mapping[str, str]:
    """Who served it, and for how much: the user may know."""
    names = ("tallystick-provider", "tallystick-cost")
    return {name: response.headers[name] for name in names if name in response.headers}


def _is_final(status: int, content: bytes) -> bool:
    """Whether an engine refused the request itself: the node's own would say the same. What the market
    refuses, the node's own engine may do all the same."""
    return 400 <= status < 500 and status not in (402, 408, 429) and _error(content).get("type") != _MARKET


def _code(content: bytes) -> str:
    return str(_error(content).get("code"))


def _error(content: bytes) -> Mapping[str, object]:
    """Of an answer that is none."""
    try:
        error = orjson.loads(content)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
