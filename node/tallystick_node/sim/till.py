"""What each payer owes one provider, and the settlements that its gateway would send: `gateway.settling`
decides, the simulated chain takes them. Payers acknowledge at once."""

from tallystick.protocol.units import Atoms, ChannelId, Timestamp
from tallystick_node.gateway.settling import Position, SettlePolicy, plan
from tallystick_node.sim.chain import Chain
from tallystick_node.sim.events import Events


class _Tab:
    __slots__ = ("acknowledged", "settled", "since")

    def __init__(self) -> None:
        self.acknowledged = self.settled = 0
        self.since = 0.0


class Till:
    """Of one provider."""

    __slots__ = ("_chain", "_events", "_leaving", "_looks_at", "_policy", "_tabs", "earned")

    def __init__(self, events: Events, chain: Chain, policy: SettlePolicy):
        self.earned = 0
        """Atoms."""
        self._events = events
        self._chain = chain
        self._policy = policy
        self._tabs: dict[int, _Tab] = {}
        """By payer, such as owe something that is not settled."""
        self._looks_at = float("inf")
        self._leaving = False

    def take(self, payer: int, cost: int) -> None:
        tab = self._tabs.get(payer)
        if tab is None:
            tab = self._tabs[payer] = _Tab()
        now = self._events.now
        before = tab.acknowledged - tab.settled
        if not before:
            tab.since = now
        tab.acknowledged += cost
        self.earned += cost
        policy, unsettled = self._policy, before + cost
        if self._leaving or unsettled >= policy.amount:
            self._look_by(self._chain.next_block(now))
        elif before < self._least <= unsettled:
            self._look_by(max(self._chain.next_block(now), tab.since + policy.interval_s))

    @property
    def _least(self) -> int:
        """Atoms: of less nothing becomes due."""
        return 1 if self._leaving else max(1, self._policy.minimum)

    @property
    def unsettled(self) -> int:
        """Atoms."""
        return sum(tab.acknowledged - tab.settled for tab in self._tabs.values())

    def leave(self) -> None:
        """All that there is is settled, and what it still earns."""
        self._leaving = True
        self._settle()

    def _look_by(self, when: float) -> None:
        if when < self._looks_at:
            self._looks_at = when
            self._events.at(when, self._look, when)

    def _look(self, when: float) -> None:
        if when == self._looks_at:
            self._looks_at = float("inf")
            self._settle()

    def _settle(self) -> None:
        now = self._events.now
        positions = [
            Position(
                channel_id=ChannelId(payer.to_bytes(32, "big")),
                acknowledged=Atoms(tab.acknowledged),
                settled=Atoms(tab.settled),
                since=Timestamp(int(tab.since)),
                closing=False,
            )
            for payer, tab in self._tabs.items()
        ]
        planned = plan(positions, self._policy, gas_price=0, now=Timestamp(int(now)), leaving=self._leaving)
        if planned.rows:
            self._chain.counts["settlements"] += 1
            self._chain.counts["rows"] += len(planned.rows)
        for channel_id in planned.rows:
            tab = self._tabs[int.from_bytes(channel_id, "big")]
            tab.settled = tab.acknowledged
        more = [tab.since for tab in self._tabs.values() if tab.acknowledged - tab.settled >= self._least]
        if more:  # At the earliest in the next block: a settlement holds no more than so many rows.
            self._look_by(max(self._chain.next_block(now), min(more) + self._policy.interval_s))
