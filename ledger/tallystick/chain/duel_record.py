"""One duel as a node tells it: the logs of the duels' contract, the calls that made them, the block that
draws, and what was at stake."""

from collections.abc import Sequence

from tallystick.chain import contracts
from tallystick.chain.chronicle import Chronicle
from tallystick.chain.duel_calls import DuelCall, duel_call
from tallystick.chain.duel_events import Decided, Ended, Opened
from tallystick.chain.duel_telling import Told, duellists_and_judges, duels_of
from tallystick.chain.duels import Duels
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.events import ChainEvent
from tallystick.protocol.units import Hash32, to_hex
from tallystick.protocol.vote import appeal_id


class DuelRecord:
    """Raises ChainUnavailable where the node does not answer, or not what the ABI says."""

    def __init__(self, duels: Duels):
        self._duels = duels
        self._chronicle = Chronicle(duels.market)
        self.block = self._chronicle.block

    def told(self, duel: Hash32) -> Told:
        """By a duel's own id."""
        names = [to_hex(duel), to_hex(appeal_id(duel))]
        own = list(self._chronicle.logs(contracts.duels(), self._duels.address, [None, names]))
        events = self._with_money(own, duel)
        opened = _opened(events)
        calls = self._calls(events)
        hashes = {
            number: self._chronicle.block_hash(number) for number in {event.draw_block for event in opened}
        }
        return Told(
            domain=self._duels.market.deployment.domain,
            duel=duel,
            events=events,
            calls=calls,
            draw_hashes={number: known for number, known in hashes.items() if known is not None},
            candidates={event.block: self._chronicle.candidates(event.block) for event in opened},
            keys=self._chronicle.keys(duellists_and_judges(events, calls)),
        )

    def _with_money(self, own: Sequence[ChainEvent], duel: Hash32) -> list[ChainEvent]:
        """Those that name the duel, and those of the money that it moved."""
        events = {(event.block, event.log_index): event for event in own}
        for ended in own:
            if isinstance(ended, Ended):
                logged = self._chronicle.logged(ended.transaction)
                moved = duels_of(logged)
                events |= {
                    (event.block, event.log_index): event
                    for event in logged
                    if moved.get(event.log_index) == duel
                }
        return [events[place] for place in sorted(events)]

    def _calls(self, events: Sequence[ChainEvent]) -> dict[Hash32, DuelCall]:
        found = {}
        for name in dict.fromkeys(event.transaction for event in events):
            data = self._chronicle.called(name, self._duels.address)
            if data is not None and (call := duel_call(data)) is not None:
                found[name] = call
        return found


def _opened(events: Sequence[ChainEvent]) -> Sequence[Opened]:
    """When it was, and its appeal. Raises ChainUnavailable where one was decided that was never opened."""
    opened = [event for event in events if isinstance(event, Opened)]
    decided = {event.duel for event in events if isinstance(event, Decided)}
    if decided - {event.duel for event in opened}:
        raise ChainUnavailable("The node tells what judges decided, and not that they were asked.")
    return opened
