"""What a node does of its own accord, put together: its policy, its own users, what it buys for them, and the
prices and the stake that follow from it. Nothing is decided here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from tallystick.chain.errors import ChainError
from tallystick.ports import Clock
from tallystick.protocol.hearsay import Hearsay
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import Atoms, AtomsPerMTok, Milliseconds, Tokens
from tallystick_node.config import Config, OfferConfig, OffloadConfig, PolicyConfig, UsersConfig
from tallystick_node.engine.upstream import Upstream
from tallystick_node.gateway.calibrating import Ended
from tallystick_node.gateway.errors import Busy, Declined
from tallystick_node.gateway.gateway import Gateway
from tallystick_node.gateway.intake import Intake, IntakePolicy
from tallystick_node.gateway.load import Unseen, Work
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.own_users import OwnRoutes
from tallystick_node.gateway.start import Provider
from tallystick_node.network.loading import load_policy
from tallystick_node.network.lobby import Lobby, LobbyLimits
from tallystick_node.network.own import AtEngine, Own
from tallystick_node.network.participation import Mean, Participation, context_of
from tallystick_node.network.policies import Prices, Request
from tallystick_node.network.treasury import refill, restake
from tallystick_node.network.users import Users

if TYPE_CHECKING:
    from tallystick_node.network.origin import Means, Origin

_LOOK_S: Final = 1.0
_MARKET_S: Final = 10.0
"""Between looks at who sells what, where the chain says nothing new of it: offers expire, and what is left to
spend changes."""
_REFILL_S: Final = 30.0

log = structlog.get_logger("tallystick.own-accord")
Step = Callable[[], Awaitable[None]]


class OwnAccord:
    """Of one node. `start` it in the event loop that it is to live in, and close it."""

    def __init__(
        self,
        config: Config,
        provider: Provider,
        gateway: Gateway,
        upstream: Upstream,
        clock: Clock,
        metrics: Metrics,
    ):
        """Raises ConfigInvalid."""
        self.offers = config.offers
        """At the prices of now."""
        self.contexts: Mapping[str, Tokens] = {}
        """Of the engine's models, by its names, as it told last; zero: it does not tell."""
        self.origin: Origin | None = None
        self._config = config
        self._provider = provider
        self._gateway = gateway
        self._usage, self._usage_of_stake = Mean(), Mean()
        self.participation = Participation(load_policy(config.policy), gateway.promises, clock)
        self._users = None if config.users is None else Users.of(config.users)
        if self._moves:
            gateway.promises.beside = self
        self._upstream, self._clock, self._metrics = upstream, clock, metrics
        self._offers_changed = True
        """On chain, since who sells what was last looked at."""
        self._looked_at = Milliseconds(0)
        self.own: Own | None = None

    @property
    def _moves(self) -> bool:
        """Whether anything here differs from a node that only sells what there is room for."""
        policy = self._config.policy
        return self._users is not None or policy.name != PolicyConfig().name or bool(policy.options)

    def open(self, hearsay: Hearsay | None) -> OwnRoutes | None:
        """The routes of own users, if there are any; raises what opening a purse does. `hearsay`: what the
        node hears of others, where it gossips."""
        config, limits = self._config, self._config.limits
        if config.users is None or self._users is None:
            return None
        # All that a payer has: not where nobody buys.
        from tallystick_node.network.origin import Origin, read_wishes

        if config.offload is not None:
            self.origin = Origin.open(self._means(config.offload), hearsay)
        lobby = Lobby(_limits(config.users))
        self.own = own = Own(
            upstream=self._upstream,
            serves=self._engine_name,
            read_wishes=read_wishes,
            estimate=self._gateway.promises.lengths.tokens,
            participation=self.participation,
            engine=self,
            lobby=lobby,
            clock=self._clock,
            buying=self.origin,
        )
        self.participation.own_waiting = lambda: lobby.waiting
        self._metrics.follow("own_running", "Own users' requests at the engine.", lambda: self.running)
        self._metrics.follow("own_waiting", "Own users' requests that wait.", lambda: lobby.waiting)
        if self.origin is not None:
            self._metrics.follow("bought_answers", "For own users.", lambda: self.bought)
        return OwnRoutes(
            self._users,
            own,
            intake=Intake(  # Not the payers': they must not fill it up.
                IntakePolicy(body=limits.body, total=limits.bodies, seconds=limits.body_s)
            ),
            models=self._models,
            draining=lambda: self._gateway.draining,
            patience_s=limits.pause_s,
        )

    def _means(self, offload: OffloadConfig) -> "Means":
        """What it buys with. The contract is in the payer's hands where this node has the key that sends."""
        from tallystick_node.network.origin import Means

        provider = self._provider
        payer = provider.wallet or provider.key
        hands = provider.vault or provider.market
        judged = offload.duel_budget or offload.audit_budget
        return Means(
            wallet=payer,
            provider=provider.address,
            rpc=self._config.rpcs[0],
            deployment=provider.market.deployment,
            home=offload.home,
            total=Atoms(offload.total),
            per_request=Atoms(offload.per_request),
            rule=offload.rule,
            duel_share=offload.duel_share,
            duel_budget=Atoms(offload.duel_budget),
            audit_budget=Atoms(offload.audit_budget),
            hands=hands if judged and hands.sender.address == payer.address else None,
        )

    async def close(self) -> None:
        if self.origin is not None:
            await self.origin.aclose()

    @property
    def running(self) -> int:
        """Own users' requests that the engine works at."""
        return 0 if self.own is None else len(self.own.running)

    @property
    def bought(self) -> int:
        """Answers, since the start."""
        return 0 if self.origin is None else self.origin.bought

    def steps(self, renew: Step) -> Iterator[tuple[str, float, Step]]:
        """What goes on beside requests: its name, the seconds between, and itself. `renew` posts offers.
        Nothing that goes wrong in it, but for the chain's refusals, is heard of: the node goes on selling."""
        for name, every_s, step in self._steps(renew):
            yield name, every_s, _harmless(name, step)

    def _steps(self, renew: Step) -> Iterator[tuple[str, float, Step]]:
        policy, offload = self._config.policy, self._config.offload
        if policy.name != PolicyConfig().name or policy.options:
            yield "usage.look", _LOOK_S, self._look
            yield "prices.follow", policy.price_every_s, lambda: self._follow_prices(renew)
            yield "stake.follow", policy.stake_every_s, self._follow_stake
        if self.origin is not None:
            yield "market.look", _LOOK_S, self._look_at_market
        if offload is not None and offload.deposit:
            yield "account.refill", _REFILL_S, lambda: self._refill(Atoms(offload.deposit))

    def see_offers(self) -> None:
        """The chain says something new of who sells what."""
        self._offers_changed = True

    # ------------------------------------------------------------------------------------------ what is sold

    def works(self) -> Iterable[Work | Unseen]:
        """Own users' requests at the engine."""
        now = self._clock.milliseconds()
        return () if self.own is None else [_work(item, now) for item in self.own.running]

    def context(self, model: str) -> Tokens:
        """By the engine's own word, or else by what is offered; no more than its memory holds."""
        told = self.contexts.get(self._config.engine.models.get(model, model), Tokens(0))
        offered = [offer.context_length for _, offer in self._holding() if offer.model == model]
        return context_of(told or max(offered, default=Tokens(0)), self._gateway.promises.speed)

    def company(self) -> int:
        """Requests that the engine works at, whoever's."""
        return self._gateway.promises.company()

    def note(self, running: AtEngine, now: Milliseconds) -> None:
        """What an own user's answer says of lengths, and of the engine."""
        asked, counts, promises = running.asked, running.counts, self._gateway.promises
        promises.lengths.learn(asked.request.model, asked.size, counts.input_tokens, asked.user)
        if asked.streamed and running.first_at:
            ended = Ended.of(
                asked.user,
                input_tokens=counts.input_tokens,
                output_tokens=counts.output_tokens,
                choices=asked.request.answers,
                came_at=running.since,
                first_at=running.first_at,
                now=now,
                company_before=running.company,
                company_after=self.company(),
            )
            promises.saw(ended)

    def waiting(self) -> int:
        """Own users' requests that wait for the engine."""
        return self.participation.own_waiting()

    def require_taken(self, request: Request) -> None:
        """Raises Busy or Declined."""
        if waiting := self.waiting():
            raise Busy("The node's own users wait, and come first.", required=0, actual=waiting)
        if not self.participation.accepts(request):
            raise Declined("The provider does not take this request now.")

    def _engine_name(self, model: str) -> str | None:
        offered = {item.model for item in self.offers} | {offer.model for _, offer in self._holding()}
        names = self._config.engine.models
        return names.get(model, model) if model in offered or model in names else None

    def _models(self) -> list[str]:
        here = {offer.model for _, offer in self._holding()} | {item.model for item in self.offers}
        return sorted(here.union(() if self.origin is None else self.origin.models()))

    def _holding(self) -> list[tuple[bytes, Offer]]:
        return list(self._gateway.books.holding())

    # ------------------------------------------------------------------------------------- prices and stake

    async def _look_at_market(self) -> None:
        assert self.origin is not None
        now = self._clock.milliseconds()
        if self._offers_changed or now - self._looked_at >= 1_000 * _MARKET_S:
            self._offers_changed, self._looked_at = False, now
            await self.origin.look()

    async def _look(self) -> None:
        for mean in (self._usage, self._usage_of_stake):
            mean.note(self.participation.usage)

    async def _follow_prices(self, renew: Step) -> None:
        usage = self._usage.take()
        in_force = {offer.model: _prices(offer) for _, offer in self._holding()}
        wanted = list(self.offers)
        for number, item in enumerate(self._config.offers):
            prices = in_force.get(item.model)
            if usage is None or prices is None:
                continue
            new = self.participation.price(usage, _base(item), prices)
            if new is not None:
                log.info("prices.changed", model=item.model, input=new.input, output=new.output)
                wanted[number] = _at(item, new)
        if tuple(wanted) != self.offers:
            self.offers = tuple(wanted)
            await renew()

    async def _follow_stake(self) -> None:
        usage = self._usage_of_stake.take()
        minimum = self._gateway.limits.minimum_stake
        if usage is None:
            return
        wanted = self.participation.stake(usage, self._gateway.staked, minimum)
        if wanted is None:
            return
        if self._provider.vault is None:
            log.warning("stake.no-wallet", wanted=wanted)
            return
        await asyncio.to_thread(restake, self._provider.vault, self._provider.address, wanted)

    async def _refill(self, keep: Atoms) -> None:
        assert self._provider.vault is not None
        await asyncio.to_thread(refill, self._provider.vault, self._provider.address, keep)


def _harmless(name: str, step: Step) -> Step:
    async def stepped() -> None:
        try:
            await step()
        except ChainError:
            raise
        except Exception as error:  # noqa: BLE001  # a purse that is locked, say: selling goes on
            log.error(f"{name}.failed", error=repr(error))

    return stepped


def _work(running: AtEngine, now: Milliseconds) -> Work | Unseen:
    asked = running.asked
    if asked.streamed:
        return Work(
            sequences=asked.request.answers,
            input_tokens=asked.request.input_tokens,
            output_tokens=running.counts.output_tokens,
            begun=running.first_at > 0,
        )
    return Unseen(
        sequences=asked.request.answers,
        input_tokens=asked.request.input_tokens,
        most=asked.request.expected_output,
        elapsed_s=(now - running.since) / 1000,
    )


def _limits(users: UsersConfig) -> LobbyLimits:
    return LobbyLimits(
        running=users.running, waiting=users.waiting, waiting_s=users.waiting_s, each=users.each
    )


def _prices(offer: Offer) -> Prices:
    return Prices(input=offer.input_price, cached_input=offer.cached_input_price, output=offer.output_price)


def _base(item: OfferConfig) -> Prices:
    cached = item.input_price if item.cached_input_price is None else item.cached_input_price
    return Prices(
        input=AtomsPerMTok(item.input_price),
        cached_input=AtomsPerMTok(cached),
        output=AtomsPerMTok(item.output_price),
    )


def _at(item: OfferConfig, prices: Prices) -> OfferConfig:
    return replace(
        item,
        input_price=prices.input,
        cached_input_price=prices.cached_input,
        output_price=prices.output,
    )
