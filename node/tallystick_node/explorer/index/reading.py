"""Reads the chain for the index: whole blocks, the market's logs, the asset's transfers to and from it, and
the receipts of what was sent to it; each checked to be of the block that it is said to be of.

A transaction of the market's that failed leaves no log: it is found because every block's transactions are
read. It decides nothing and writes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.audit_events import read_audit_event
from tallystick.chain.blocks import KEPT, MOVED, Block, LogFilter, NodeBlocks, read_block
from tallystick.chain.contracts import Contract
from tallystick.chain.deployment import Deployment
from tallystick.chain.duel_events import read_duel_event
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.events import ChainEvent, read_event
from tallystick.chain.rpc import Rpc, quantity
from tallystick.chain.trail import Trail
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Timestamp, address, hash32, to_hex
from tallystick_node.explorer.index.facts import MarketBlock, Transaction, call_name
from tallystick_node.explorer.index.reasons import Reasons
from tallystick_node.explorer.live import Balances

_TRANSFER: Final = to_hex(keccak(b"Transfer(address,address,uint256)"))
_BLOCKS: Final = 16
"""In one batch."""
_STEP: Final = 256
"""Blocks in one stretch, at most; fewer where so many are too much for the node or the network."""
_WAIT: Final = 30
"""Stretches for which a node that could not give so many blocks is asked for fewer."""
_GAS: Final = 300_000_000
"""Used in one stretch, at most but for its last batch: a log takes two thousand, so that its logs fit into
memory."""
_RECEIPTS: Final = 64
"""In one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is new since the reading before."""

    latest: Block
    """The node's newest."""
    base: Block | None
    """What it follows on; None: nothing that was read before."""
    moved: bool
    """What was read of blocks after `base` holds no more."""
    blocks: tuple[MarketBlock, ...]
    """Every one, each the parent of the next. Empty where nothing is new."""
    final: int
    """No later reading goes back behind this block, but for one that follows on nothing: what came later is
    to be written so that it can be taken back."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """A block with all its transactions, as the node gave it."""

    block: Block
    base_fee: int
    gas_used: int
    transactions: tuple[Mapping[str, Any], ...]


class MarketReader:
    """Of one node. Not for two threads at once.

    `read` changes nothing of what is known: `took` does, once what was read is written.
    """

    def __init__(self, rpc: Rpc, deployment: Deployment, known: Sequence[Block] = ()):
        """`known`: the newest blocks that were read and written, each the parent of the next."""
        asset, owners = to_hex(deployment.asset), _owners(deployment)
        words = tuple(to_hex(owner.rjust(32, b"\0")) for owner in owners)
        filters = [
            *(
                LogFilter(to_hex(owner), (tuple(map(to_hex, contract.interface.events)),))
                for owner, contract in owners.items()
            ),
            LogFilter(asset, ((_TRANSFER,), words)),
            LogFilter(asset, ((_TRANSFER,), None, words)),
        ]
        self._rpc = rpc
        self._deployment = deployment
        self._ours = frozenset(owners)
        self._node = NodeBlocks(rpc, deployment.chain_id, filters)
        self._trail = Trail(self._node, known)
        self._reasons = Reasons(rpc)
        self._step = _BLOCKS
        self._wait = 0
        """Stretches until more blocks are asked for again."""

    def read(self) -> Stretch:
        """The next stretch of the chain.

        Raises
        ------
        ChainUnavailable, RpcError, WrongChain :
            Nothing was read, and nothing is lost: read again.
        """
        parting = self._trail.part()
        base, latest = parting.base, parting.latest
        first = self._deployment.block if base is None else base.number + 1
        until = min(latest.number, first + self._step - 1)
        blocks: tuple[MarketBlock, ...] = ()
        if first <= until and not parting.waits:
            blocks = self._read(base, first, until)
        oldest = self._trail.oldest
        final = -1 if base is None or oldest is None else oldest.number
        if blocks:
            final = max(final, final_of(blocks, latest))
        return Stretch(latest=latest, base=base, moved=parting.moved, blocks=blocks, final=final)

    @property
    def last(self) -> Block | None:
        """The newest block that was read and written."""
        return self._trail.last

    def took(self, stretch: Stretch) -> None:
        """It is written."""
        self._trail.extend(stretch.base, [header(block) for block in stretch.blocks])
        self._trail.forget(stretch.final)

    # ------------------------------------------------------------------------------------------- blocks

    def _read(self, base: Block | None, first: int, until: int) -> tuple[MarketBlock, ...]:
        """Fewer at a time after the node could not give so many."""
        try:
            wholes = self._wholes(base, first, until)
            logs = self._node.logs(first, [whole.block for whole in wholes])
            blocks = self._market_blocks(wholes, logs)
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ) as error:  # What it gave is not of this form.
            raise ChainUnavailable(f"The node gave a block that cannot be read ({error!r}).") from error
        except (ChainUnavailable, RpcError):
            self._step, self._wait = max(1, self._step // 2), _WAIT
            raise
        if self._wait:
            self._wait -= 1
        else:
            self._step = min(_STEP, 2 * self._step)
        return blocks

    def _wholes(self, base: Block | None, first: int, until: int) -> list[_Whole]:
        found: list[_Whole] = []
        for start in range(first, until + 1, _BLOCKS):
            numbers = range(start, min(start + _BLOCKS, until + 1))
            answers = self._rpc.batch([("eth_getBlockByNumber", (hex(number), True)) for number in numbers])
            pairs = zip(numbers, answers, strict=True)
            found += [_whole(answer, number) for number, answer in pairs if answer is not None]
            if None in answers:
                break  # Another machine, which lags, answered this time.
            if sum(whole.gas_used for whole in found) > _GAS:
                break
        blocks = ([] if base is None else [base]) + [whole.block for whole in found]
        if not found or any(child.parent != parent.hash for parent, child in pairwise(blocks)):
            raise ChainUnavailable(MOVED)
        return found

    def _market_blocks(
        self, wholes: Sequence[_Whole], logs: Sequence[dict[str, Any]]
    ) -> tuple[MarketBlock, ...]:
        by_block: dict[int, list[dict[str, Any]]] = {whole.block.number: [] for whole in wholes}
        for log in logs:
            by_block[quantity(log["blockNumber"])].append(log)
        parts = [_Part.of(whole, by_block[whole.block.number], self._deployment) for whole in wholes]
        receipts = self._receipts(parts)
        return tuple(self._market_block(part, receipts) for part in parts)

    def _market_block(self, part: "_Part", receipts: Mapping[str, Mapping[str, Any]]) -> MarketBlock:
        whole, block = part.whole, part.whole.block
        received, sent = _moved(part.transfers, self._deployment.market)
        duels_received, duels_sent = _moved(part.transfers, self._deployment.duels)
        audits_received, audits_sent = _moved(part.transfers, self._deployment.audits)
        return MarketBlock(
            number=block.number,
            hash=hash32(block.hash),
            parent=hash32(block.parent),
            timestamp=block.timestamp,
            base_fee=whole.base_fee,
            gas_used=whole.gas_used,
            transactions=tuple(
                self._transaction(block, position, asked, receipts[asked["hash"]])
                for position, asked in part.transactions
            ),
            events=tuple(part.events),
            transfers=len(part.transfers),
            received=received,
            sent=sent,
            duels_received=duels_received,
            duels_sent=duels_sent,
            audits_received=audits_received,
            audits_sent=audits_sent,
        )

    # ------------------------------------------------------------------------------------------- transactions

    def _receipts(self, parts: Sequence["_Part"]) -> dict[str, Mapping[str, Any]]:
        """By transaction; each tells of the very logs that its block told of."""
        asked = [(part, item["hash"]) for part in parts for _, item in part.transactions]
        found: dict[str, Mapping[str, Any]] = {}
        size = min(_RECEIPTS, 4 * self._step)  # Fewer, where the node gave up on more blocks.
        for start in range(0, len(asked), size):
            some = asked[start : start + size]
            answers = self._rpc.batch([("eth_getTransactionReceipt", (name,)) for _, name in some])
            for (part, name), receipt in zip(some, answers, strict=True):
                if receipt is None or receipt["blockHash"] != part.whole.block.hash:
                    raise ChainUnavailable(MOVED)
                if receipt["transactionHash"] != name:
                    raise ChainUnavailable("The node gave another receipt than the one asked for.")
                logs = (log for log in receipt["logs"] if address(log["address"]) in self._ours)
                told = {quantity(log["logIndex"]) for log in logs}
                if told != part.logged.get(name, set()):
                    raise ChainUnavailable("The node's receipts tell of other logs than its blocks do.")
                found[name] = receipt
        return found

    def _transaction(
        self, block: Block, position: int, asked: Mapping[str, Any], receipt: Mapping[str, Any]
    ) -> Transaction:
        recipient = address(asked["to"]) if asked.get("to") else None
        succeeded = quantity(receipt["status"]) == 1
        data = bytes.fromhex(asked["input"][2:])
        return Transaction(
            position=position,
            hash=hash32(asked["hash"]),
            sender=address(asked["from"]),
            recipient=recipient,
            call=call_name(recipient, self._deployment, data),
            input=data,
            succeeded=succeeded,
            error=None if succeeded else self._reasons.of(asked, receipt, block),
            gas_used=quantity(receipt["gasUsed"], bits=63),
            gas_price=quantity(receipt.get("effectiveGasPrice") or asked["gasPrice"], bits=64),
        )


@dataclass(slots=True)
class _Part:
    """What of a block is the market's, its duels' or its audits'."""

    whole: _Whole
    transactions: list[tuple[int, Mapping[str, Any]]]
    """With their positions."""
    events: list[ChainEvent]
    logged: Mapping[str, set[int]]
    """Where the events stand, by transaction."""
    transfers: list[Mapping[str, Any]]

    @classmethod
    def of(cls, whole: _Whole, logs: Iterable[dict[str, Any]], deployment: Deployment) -> "_Part":
        read = {to_hex(owner): _READERS[contract.name] for owner, contract in _owners(deployment).items()}
        events: list[ChainEvent] = []
        logged: dict[str, set[int]] = {}
        transfers: list[Mapping[str, Any]] = []
        for log in logs:
            if (owner := log["address"].lower()) not in read:
                if int(log["data"], 16):  # Anybody can move nothing, as often as it likes.
                    transfers.append(log)
            elif (event := read[owner](log)) is not None:
                events.append(event)
                logged.setdefault(to_hex(event.transaction), set()).add(event.log_index)
        transactions = [
            (position, item)
            for position, item in enumerate(whole.transactions)
            if (item.get("to") or "").lower() in read or item["hash"] in logged
        ]
        if logged.keys() - {item["hash"] for _, item in transactions}:
            raise ChainUnavailable("The node's logs are of transactions that their block does not hold.")
        return cls(whole, transactions, events, logged, transfers)


_READERS: Final = {"Market": read_event, "Duels": read_duel_event, "Audits": read_audit_event}
"""By the contract's name."""


def _owners(deployment: Deployment) -> dict[Address, Contract]:
    """The contracts whose logs are read."""
    found = {deployment.market: contracts.market()}
    if deployment.duels is not None:
        found[deployment.duels] = contracts.duels()
    if deployment.audits is not None:
        found[deployment.audits] = contracts.audits()
    return found


def _moved(transfers: Iterable[Mapping[str, Any]], owner: Address | None) -> tuple[int, int]:
    """Atoms that came to it, and that left it. What it sends itself does both."""
    if owner is None:
        return 0, 0
    word = to_hex(owner.rjust(32, b"\0"))
    received = sent = 0
    for log in transfers:
        atoms, (_, source, target, *_) = int(log["data"], 16), log["topics"]
        received += atoms if target == word else 0
        sent += atoms if source == word else 0
    return received, sent


def _whole(answer: Any, number: int) -> _Whole:
    block = read_block(answer, number)
    transactions = answer["transactions"]
    if not all(isinstance(item, Mapping) for item in transactions):
        raise ChainUnavailable("The node gave a block without its transactions.")
    base_fee = quantity(answer.get("baseFeePerGas") or "0x0", bits=64)
    return _Whole(block, base_fee, quantity(answer["gasUsed"], bits=63), tuple(transactions))


def balances_at(rpc: Rpc, deployment: Deployment, block: Block) -> Balances | None:
    """What the market, its duels and its audits hold after `block`, as the asset says; None where the node
    cannot tell, of this block or at all. Raises ChainUnavailable."""
    asset = contracts.asset().interface
    owners = {"market": deployment.market, "duels": deployment.duels, "audits": deployment.audits}
    calls = {
        name: {"to": to_hex(deployment.asset), "data": to_hex(asset.call("balanceOf", [owner]))}
        for name, owner in owners.items()
        if owner is not None
    }
    asked = [("eth_call", (call, {"blockHash": block.hash})) for call in calls.values()]
    answers = rpc.outcomes(asked)
    if any(isinstance(answer, RpcError) for answer in answers):
        return None
    return Balances(**dict(zip(calls, map(quantity, answers), strict=True)))


def final_of(blocks: Sequence[MarketBlock], latest: Block) -> int:
    """Behind which a chain that was read so far is not gone back."""
    return min(blocks[-1].number, latest.number - KEPT + 1)


def header(block: MarketBlock) -> Block:
    return Block(block.number, to_hex(block.hash), to_hex(block.parent), Timestamp(block.timestamp))
