"""What the chain's node answers, as values: blocks, transactions and traces that are not in the index.

A node may answer anything: what cannot be read ends as ChainUnavailable. It asks nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.rpc import quantity
from tallystick.protocol.units import address, hash32
from tallystick_node.explorer.values import Address, Amount, Bytes, Hash, shown

_FRAMES: Final = 1_000
"""Calls of a trace shown, at most."""
_LISTED: Final = 1_000
"""Transactions of a block, or logs of a transaction."""


@shown
class NodeBlock:
    """A block as the node tells it."""

    number: int
    hash: Hash
    parent: Hash
    timestamp: int
    base_fee: Amount
    gas_used: int
    gas_limit: int
    transactions: tuple[Hash, ...]

    @classmethod
    def read(cls, answer: Any) -> "NodeBlock":
        answer = _mapping(answer)
        return cls(
            number=quantity(answer.get("number"), bits=63),
            hash=_hash(answer.get("hash")),
            parent=_hash(answer.get("parentHash")),
            timestamp=quantity(answer.get("timestamp"), bits=63),
            base_fee=quantity(answer.get("baseFeePerGas", "0x0"), bits=128),
            gas_used=quantity(answer.get("gasUsed"), bits=63),
            gas_limit=quantity(answer.get("gasLimit"), bits=63),
            transactions=tuple(map(_hash, _list(answer.get("transactions"))[:_LISTED])),
        )


@shown
class Log:
    """Of any contract."""

    address: Address
    topics: tuple[Hash, ...]
    data: Bytes
    log_index: int


@shown
class Found:
    """A transaction as the node tells it. While it is in no block, what became of it is unknown."""

    hash: Hash
    block: int | None
    position: int
    sender: Address
    recipient: Address | None
    value: Amount
    nonce: int
    gas_limit: int
    input: Bytes
    succeeded: bool | None
    gas_used: int
    gas_price: Amount
    logs: tuple[Log, ...]

    @property
    def cost(self) -> int:
        """Wei."""
        return self.gas_used * self.gas_price

    @classmethod
    def read(cls, sent: Any, receipt: Any) -> "Found":
        sent, mined = _mapping(sent), {} if receipt is None else _mapping(receipt)
        return cls(
            hash=_hash(sent.get("hash")),
            block=quantity(mined.get("blockNumber"), bits=63) if mined else None,
            position=quantity(mined.get("transactionIndex"), bits=31) if mined else 0,
            sender=_address(sent.get("from")),
            recipient=None if sent.get("to") is None else _address(sent.get("to")),
            value=quantity(sent.get("value")),
            nonce=quantity(sent.get("nonce"), bits=64),
            gas_limit=quantity(sent.get("gas"), bits=64),
            input=_bytes(sent.get("input")),
            succeeded=quantity(mined.get("status")) == 1 if mined else None,
            gas_used=quantity(mined.get("gasUsed"), bits=63) if mined else 0,
            gas_price=quantity(mined.get("effectiveGasPrice"), bits=128) if mined else 0,
            logs=tuple(map(_log, _list(mined.get("logs", []))[:_LISTED])),
        )


@shown
class Frame:
    """One call of a trace."""

    depth: int
    kind: str
    """CALL, STATICCALL, CREATE and the like."""
    caller: Address
    callee: Address | None
    value: Amount
    gas_used: int
    input: Bytes
    error: str | None
    """In the node's words."""


def frames_of_calls(answer: Any) -> tuple[Frame, ...]:
    """What `callTracer` gives: a call with the calls that it made."""
    return tuple(_walked(answer))


def _walked(answer: Any) -> Iterator[Frame]:
    stack = [(0, answer)]
    for _ in range(_FRAMES):
        if not stack:
            return
        depth, call = stack.pop()
        call = _mapping(call)
        yield _frame(depth, call.get("type"), call, call.get("gasUsed", "0x0"), call.get("error"))
        stack += [(depth + 1, part) for part in reversed(_list(call.get("calls", [])))]


def frames_of_traces(answer: Any) -> tuple[Frame, ...]:
    """What `trace_transaction` gives: a flat list, each with its place in the tree."""
    return tuple(_flat(_mapping(part)) for part in _list(answer)[:_FRAMES])


def _flat(part: Mapping[str, Any]) -> Frame:
    action, result = _mapping(part.get("action")), _mapping(part.get("result") or {})
    kind = action.get("callType") or part.get("type")
    called = {**action, "input": action.get("input", action.get("init", "0x"))}
    depth = len(_list(part.get("traceAddress")))
    return _frame(depth, kind, called, result.get("gasUsed", "0x0"), part.get("error"))


def _frame(depth: int, kind: Any, call: Mapping[str, Any], gas_used: Any, error: Any) -> Frame:
    return Frame(
        depth=depth,
        kind=str(kind)[:20].upper(),
        caller=_address(call.get("from")),
        callee=_address(call["to"]) if call.get("to") else None,
        value=quantity(call.get("value") or "0x0"),
        gas_used=quantity(gas_used, bits=63),
        input=_bytes(call.get("input", "0x")),
        error=None if error is None else str(error)[:200],
    )


def code_of(answer: Any) -> bytes:
    return _bytes(answer)


def _log(answer: Any) -> Log:
    answer = _mapping(answer)
    return Log(
        address=_address(answer.get("address")),
        topics=tuple(map(_hash, _list(answer.get("topics"))[:4])),
        data=_bytes(answer.get("data")),
        log_index=quantity(answer.get("logIndex"), bits=31),
    )


def _mapping(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise _unreadable(answer)
    return answer


def _list(answer: Any) -> Sequence[Any]:
    if not isinstance(answer, list):
        raise _unreadable(answer)
    return answer


def _hash(answer: Any) -> bytes:
    try:
        return hash32(answer)
    except (ValueError, TypeError) as error:
        raise _unreadable(answer) from error


def _address(answer: Any) -> bytes:
    try:
        return address(answer)
    except (ValueError, TypeError) as error:
        raise _unreadable(answer) from error


def _bytes(answer: Any) -> bytes:
    try:
        if isinstance(answer, str) and answer.startswith("0x"):
            return bytes.fromhex(answer[2:])
    except ValueError:
        pass
    raise _unreadable(answer)


def _unreadable(answer: Any) -> ChainUnavailable:
    return ChainUnavailable(f"The chain's node answered {str(answer)[:80]!r}, which cannot be read.")
