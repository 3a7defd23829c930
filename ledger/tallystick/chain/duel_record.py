"""One duel as a node tells it: the logs of the duels' contract, the calls that made them, the block that
draws, and what was at stake; an auditor's facts, which need no explorer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.blocks import read_block, read_logs
from tallystick.chain.contracts import Contract
from tallystick.chain.duel_calls import DuelCall, duel_call
from tallystick.chain.duel_events import Decided, Ended, Enlisted, Opened, Weighed, read_duel_event
from tallystick.chain.duel_telling import Told, duellists_and_judges, duels_of
from tallystick.chain.duels import Duels
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.events import ChainEvent, ReceiptKeySet, read_event
from tallystick.chain.spans import Spans
from tallystick.protocol.panel import Candidate
from tallystick.protocol.units import Address, Atoms, Hash32, to_hex
from tallystick.protocol.vote import appeal_id

_BLOCKS: Final = 10_000
"""At a time: what public nodes answer."""


class DuelRecord:
    """Raises ChainUnavailable where the node does not answer, or not what the ABI says."""

    def __init__(self, duels: Duels):
        self._duels = duels
        self._market = duels.market
        self._spans = Spans(self._market.rpc, _BLOCKS)
        self.block = self._market.head().number

    def told(self, duel: Hash32) -> Told:
        """By a duel's own id."""
        names = [to_hex(duel), to_hex(appeal_id(duel))]
        own = list(self._logs(contracts.duels(), self._duels.address, [None, names]))
        events = self._with_money(own, duel)
        opened = _opened(events)
        calls = self._calls(events)
        return Told(
            domain=self._market.deployment.domain,
            duel=duel,
            events=events,
            calls=calls,
            draw_hashes=self._draw_hashes({event.draw_block for event in opened}),
            candidates={event.block: self._candidates(event.block) for event in opened},
            keys=self._keys(duellists_and_judges(events, calls)),
        )

    def _with_money(self, own: Sequence[ChainEvent], duel: Hash32) -> list[ChainEvent]:
        """Those that name the duel, and those of the money that it moved."""
        events = {(event.block, event.log_index): event for event in own}
        for ended in own:
            if isinstance(ended, Ended):
                logged = self._logged(ended.transaction)
                moved = duels_of(logged)
                events |= {
                    (event.block, event.log_index): event
                    for event in logged
                    if moved.get(event.log_index) == duel
                }
        return [events[place] for place in sorted(events)]

    def _logged(self, transaction: Hash32) -> list[ChainEvent]:
        """By the market and by its duels, in order."""
        receipt = self._market.rpc.call("eth_getTransactionReceipt", to_hex(transaction))
        if not isinstance(receipt, Mapping):
            raise ChainUnavailable("The node does not know a transaction whose logs it gave.")
        found: list[ChainEvent | None] = []
        for log in read_logs(receipt.get("logs")):
            address = str(log.get("address")).lower()
            if address == to_hex(self._market.deployment.market):
                found.append(read_event(log))
            elif address == to_hex(self._duels.address):
                found.append(read_duel_event(log))
        return [event for event in found if event is not None]

    def _calls(self, events: Sequence[ChainEvent]) -> dict[Hash32, DuelCall]:
        found, own = {}, to_hex(self._duels.address)
        for name in dict.fromkeys(event.transaction for event in events):
            sent = self._market.rpc.call("eth_getTransactionByHash", to_hex(name))
            direct = isinstance(sent, Mapping) and str(sent.get("to")).lower() == own
            if direct and (call := duel_call(_bytes_of(sent.get("input")))) is not None:
                found[name] = call
        return found

    def _draw_hashes(self, numbers: set[int]) -> dict[int, Hash32]:
        found = {}
        for number in numbers:
            if number <= self.block:
                answer = self._market.rpc.call("eth_getBlockByNumber", hex(number), False)
                found[number] = Hash32(_bytes_of(read_block(answer, number).hash))
        return found

    def _candidates(self, block: int) -> list[Candidate]:
        """In the order of slots: a judge has the next one when it enlists."""
        owners: dict[Address, Address] = {}
        weights: dict[Address, Atoms] = {}
        topics = [_topics(contracts.duels(), "Enlisted", "Weighed")]
        for event in self._logs(contracts.duels(), self._duels.address, topics, block):
            match event:
                case Enlisted():
                    owners[event.judge] = event.owner
                case Weighed():
                    weights[event.judge] = event.weight
        return [
            Candidate(provider=judge, owner=owner, weight=weights.get(judge, Atoms(0)))
            for judge, owner in owners.items()
        ]

    def _keys(self, providers: set[Address]) -> list[ReceiptKeySet]:
        if not providers:
            return []
        words = [to_hex(provider.rjust(32, b"\0")) for provider in sorted(providers)]
        topics = [_topics(contracts.market(), "ReceiptKeySet"), words]
        named = self._logs(contracts.market(), self._market.deployment.market, topics)
        return [event for event in named if isinstance(event, ReceiptKeySet)]

    def _logs(
        self, contract: Contract, address: Address, topics: Sequence[Any], until: int | None = None
    ) -> Iterator[ChainEvent]:
        end = self.block if until is None else min(until, self.block)
        read = read_event if contract is contracts.market() else read_duel_event
        asked = {"address": to_hex(address), "topics": list(topics)}
        for _, logs in self._spans.logs(asked, self._market.deployment.block, end):
            for log in logs:
                if (event := read(log)) is not None:
                    yield event


def _opened(events: Sequence[ChainEvent]) -> Sequence[Opened]:
    """When it was, and its appeal. Raises ChainUnavailable where one was decided that was never opened."""
    opened = [event for event in events if isinstance(event, Opened)]
    decided = {event.duel for event in events if isinstance(event, Decided)}
    if decided - {event.duel for event in opened}:
        raise ChainUnavailable("The node tells what judges decided, and not that they were asked.")
    return opened


def _bytes_of(answer: object) -> bytes:
    try:
        if isinstance(answer, str):
            return bytes.fromhex(answer.removeprefix("0x"))
    except ValueError:
        pass
    raise ChainUnavailable("The node answered something that is no hex.")


def _topics(contract: Contract, *names: str) -> list[str]:
    return [to_hex(topic) for topic, entry in contract.interface.events.items() if entry.name in names]
