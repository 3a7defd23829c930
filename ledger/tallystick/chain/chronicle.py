"""What one node tells of a market's past: logs of its contracts, the calls that made them, who could be drawn
when. An auditor's facts, which need no explorer. It concludes nothing from them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.audit_events import read_audit_event
from tallystick.chain.blocks import read_block, read_logs
from tallystick.chain.contracts import Contract
from tallystick.chain.duel_events import Enlisted, Weighed, read_duel_event
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.events import ChainEvent, ReceiptKeySet, read_event
from tallystick.chain.market import Market
from tallystick.chain.spans import Spans
from tallystick.protocol.panel import Candidate
from tallystick.protocol.units import Address, Atoms, Hash32, to_hex

_BLOCKS: Final = 10_000
"""At a time: what public nodes answer."""
_READERS: Final = {"Market": read_event, "Duels": read_duel_event, "Audits": read_audit_event}


class Chronicle:
    """Up to `block`, the newest when it was made. Raises ChainUnavailable where the node does not answer, or
    not what the ABI says."""

    def __init__(self, market: Market):
        self.market = market
        self.block = market.head().number
        self._spans = Spans(market.rpc, _BLOCKS)

    def logs(
        self, contract: Contract, address: Address, topics: Sequence[Any], until: int | None = None
    ) -> Iterator[ChainEvent]:
        """Of one contract, in order, up to a block."""
        end = self.block if until is None else min(until, self.block)
        asked, read = {"address": to_hex(address), "topics": list(topics)}, _READERS[contract.name]
        for _, found in self._spans.logs(asked, self.market.deployment.block, end):
            for log in found:
                if (event := read(log)) is not None:
                    yield event

    def logged(self, transaction: Hash32) -> list[ChainEvent]:
        """By the market and the contracts beside it, in order."""
        receipt = self.market.rpc.call("eth_getTransactionReceipt", to_hex(transaction))
        if not isinstance(receipt, Mapping):
            raise ChainUnavailable("The node does not know a transaction whose logs it gave.")
        found: list[ChainEvent | None] = []
        for log in read_logs(receipt.get("logs")):
            contract = contracts.at(_address_of(log.get("address")), self.market.deployment)
            if contract is not None:
                found.append(_READERS[contract.name](log))
        return [event for event in found if event is not None]

    def called(self, transaction: Hash32, to: Address) -> bytes | None:
        """With what the transaction called that contract itself; None: it called another."""
        sent = self.market.rpc.call("eth_getTransactionByHash", to_hex(transaction))
        if not isinstance(sent, Mapping) or _address_of(sent.get("to")) != to:
            return None
        return _bytes_of(sent.get("input"))

    def block_hash(self, number: int) -> Hash32 | None:
        """None: it is not there yet."""
        if number > self.block:
            return None
        answer = self.market.rpc.call("eth_getBlockByNumber", hex(number), False)
        return Hash32(_bytes_of(read_block(answer, number).hash))

    def candidates(self, block: int) -> list[Candidate]:
        """At its end, in the order of slots: a judge has the next one when it enlists."""
        owners: dict[Address, Address] = {}
        weights: dict[Address, Atoms] = {}
        assert self.market.deployment.duels is not None
        topics = [topics_of(contracts.duels(), "Enlisted", "Weighed")]
        for event in self.logs(contracts.duels(), self.market.deployment.duels, topics, block):
            match event:
                case Enlisted():
                    owners[event.judge] = event.owner
                case Weighed():
                    weights[event.judge] = event.weight
        return [
            Candidate(provider=judge, owner=owner, weight=weights.get(judge, Atoms(0)))
            for judge, owner in owners.items()
        ]

    def keys(self, providers: set[Address]) -> list[ReceiptKeySet]:
        """That they ever named, in the chain's order."""
        if not providers:
            return []
        topics = [topics_of(contracts.market(), "ReceiptKeySet"), words_of(providers)]
        named = self.logs(contracts.market(), self.market.deployment.market, topics)
        return [event for event in named if isinstance(event, ReceiptKeySet)]


def topics_of(contract: Contract, *names: str) -> list[str]:
    """Of these events of its."""
    return [to_hex(topic) for topic, entry in contract.interface.events.items() if entry.name in names]


def words_of(addresses: set[Address]) -> list[str]:
    """As topics have them."""
    return [to_hex(address.rjust(32, b"\0")) for address in sorted(addresses)]


def _address_of(answer: object) -> bytes | None:
    return None if answer is None else _bytes_of(answer)


def _bytes_of(answer: object) -> bytes:
    try:
        if isinstance(answer, str):
            return bytes.fromhex(answer.removeprefix("0x"))
    except ValueError:
        pass
    raise ChainUnavailable("The node answered something that is no hex.")
