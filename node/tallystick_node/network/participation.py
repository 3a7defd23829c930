"""Asks the node's policy, and lets nothing that it does stop the node. What it is told is gathered here; what
it decides is done elsewhere."""

import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import structlog

from tallystick.ports import Clock
from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.units import Atoms, Tokens
from tallystick_node.network.policies import ByLoad, Policy, Prices, Request, State, offloads

T = TypeVar("T")
_BESIDE: Final = ByLoad()
"""Decides where the operator's own policy fails."""

log = structlog.get_logger("tallystick.policy")


class Engine(Protocol):
    """What the node knows of its engine now."""

    @property
    def speed(self) -> Speed | None: ...

    def load(self) -> Load:
        """All that it has to do, own users' requests among it."""

    def free(self) -> int:
        """Requests for which it has room beside those that run."""

    def most(self) -> int:
        """Requests at a time."""


class Participation:
    def __init__(self, policy: Policy, engine: Engine, clock: Clock):
        self._policy = policy
        self._engine = engine
        self._clock = clock
        self.own_waiting: Callable[[], int] = lambda: 0
        """Requests of own users that wait."""

    def accepts(self, request: Request) -> bool:
        """Whether a paid request is taken."""
        state = self.state(request)
        return self._asked("accept", lambda policy: _bool(policy.accept(request, state)))

    def offloads(
        self,
        request: Request,
        *,
        elsewhere: Pace | None,
        providers: int,
        balance: Atoms = Atoms(0),
        holds: bool = True,
    ) -> bool | None:
        """Whether an own user's request is bought elsewhere; None: to be asked again soon. `holds`: the
        engine has the context for it."""
        state = self.state(request, elsewhere=elsewhere, providers=providers, balance=balance, holds=holds)

        def ask(policy: Policy) -> bool | None:
            answer = offloads(policy, request, state)
            return None if answer is None else _bool(answer)

        return self._asked("offload", ask)

    def price(self, usage: float, base: Prices, prices: Prices) -> Prices | None:
        """What an offer is to cost from now on; None: what it costs."""
        state = self.state(usage=usage, base=base, prices=prices)

        def ask(policy: Policy) -> Prices | None:
            wanted = policy.price(state)
            return None if wanted is None else _prices(wanted)

        wanted = self._asked("price", ask)
        return None if wanted == prices else wanted

    def stake(self, usage: float, staked: Atoms, minimum: Atoms) -> Atoms | None:
        """What is to be at stake; None: what is."""
        state = self.state(usage=usage, staked=staked, minimum_stake=minimum)

        def ask(policy: Policy) -> Atoms | None:
            wanted = policy.stake(state)
            return None if wanted is None else Atoms(max(minimum, _whole(wanted)))

        wanted = self._asked("stake", ask)
        return None if wanted == staked else wanted

    @property
    def usage(self) -> float:
        return usage_of(self._engine.load(), self._engine.speed, self._engine.most())

    def state(self, request: Request | None = None, *, usage: float | None = None, **known: Any) -> State:
        engine = self._engine
        load, speed = engine.load(), engine.speed
        return State(
            now=self._clock.milliseconds(),
            seed=secrets.randbits(64),
            load=load,
            room=engine.free(),
            usage=usage_of(load, speed, engine.most()) if usage is None else usage,
            own_waiting=self.own_waiting(),
            here=None if request is None else here_of(request, load, speed),
            **known,
        )

    def _asked(self, what: str, ask: Callable[[Policy], T]) -> T:
        try:
            return ask(self._policy)
        except Exception as error:  # noqa: BLE001  # an operator's own code: it may raise anything
            log.error("policy.failed", asked=what, error=repr(error))
            return ask(_BESIDE)


def usage_of(load: Load, speed: Speed | None, most: int) -> float:
    """Of the context that fits, where that is known; else of the `most` requests that the engine takes."""
    if speed is not None and speed.capacity:
        return min(1.0, (load.context + load.queued) / speed.capacity)
    return min(1.0, (load.running + load.waiting) / max(1, most))


def here_of(request: Request, load: Load, speed: Speed | None) -> Pace | None:
    """What the request can expect of the node's own engine."""
    if speed is None:
        return None
    return pace(speed, load, request.input_tokens, request.expected_output)


def context_of(told: Tokens, speed: Speed | None) -> Tokens:
    """Of a model for which its engine tells so much: no more than its memory holds. Zero: not known."""
    capacity = Tokens(0) if speed is None else speed.capacity
    return min(told, capacity) if told and capacity else max(told, capacity)


class Mean:
    """Of what was noted since it was last asked for."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def note(self, value: float) -> None:
        self._sum += value
        self._count += 1

    def take(self) -> float | None:
        """None: nothing was."""
        mean = self._sum / self._count if self._count else None
        self._sum, self._count = 0.0, 0
        return mean


def _bool(answer: object) -> bool:
    if not isinstance(answer, bool):
        raise TypeError(f"{answer!r} is neither true nor false")
    return answer


def _whole(answer: object) -> int:
    if isinstance(answer, bool) or not isinstance(answer, int) or answer < 0:
        raise TypeError(f"{answer!r} is no whole number of atoms")
    return answer


def _prices(answer: object) -> Prices:
    if not isinstance(answer, Prices):
        raise TypeError(f"{answer!r} is no Prices")
    for price in (answer.input, answer.cached_input, answer.output):
        if _whole(price) >= 1 << 64:
            raise ValueError(f"{price} is more than an offer can name")
    return answer
