"""Why a transaction failed: its receipt does not say, so the node is asked to run it again."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tallystick.chain.blocks import MOVED, Block
from tallystick.chain.contracts import contract_error
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.rpc import Rpc, quantity
from tallystick_node.explorer.index.facts import reason

_TRACER: Final = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}
_NO_SUCH_METHOD: Final = -32601
_TRIES: Final = 10
"""A node that cannot run one transaction within its time must not hold up all that come after it."""


class Reasons:
    """As one node gives them. Most can run a transaction on the block before it, some trace it where it
    stands, and few still have the state of old blocks.

    Each is asked together with what shows that the machine that answers knows the block: one that lags must
    not pass for one that cannot say.
    """

    def __init__(self, rpc: Rpc):
        self._rpc = rpc
        self._traces = True
        self._tries: Counter[str] = Counter()
        """By transaction, of those that are not answered yet."""

    def of(self, asked: Mapping[str, Any], receipt: Mapping[str, Any], block: Block) -> str | None:
        """None: it cannot be found out. Raises ChainUnavailable, but not for ever."""
        name = asked["hash"]
        self._tries[name] += 1
        try:
            found = self._found(asked, receipt, block)
        except ChainUnavailable:
            if self._tries[name] < _TRIES:
                raise
            found = None
        del self._tries[name]
        return found

    def _found(self, asked: Mapping[str, Any], receipt: Mapping[str, Any], block: Block) -> str | None:
        data = self._traced(asked, block) if self._traces else None
        if data is None:
            data = self._repeated(asked, block)
        if data:
            return reason(contract_error(data))
        limit = quantity(asked["gas"])
        if quantity(receipt["gasUsed"]) == limit:
            return f"OutOfGas(limit={limit}): The transaction used up all the gas it was given."
        return None if data is None else reason(contract_error(b""))

    def _traced(self, asked: Mapping[str, Any], block: Block) -> bytes | None:
        """What it returned; None where the node does not trace."""
        name = asked["hash"]
        receipt, trace = self._rpc.outcomes(
            [("eth_getTransactionReceipt", (name,)), ("debug_traceTransaction", (name, _TRACER))]
        )
        if not isinstance(receipt, Mapping) or receipt.get("blockHash") != block.hash:
            raise ChainUnavailable(MOVED)
        if isinstance(trace, RpcError):
            self._traces = trace.number != _NO_SUCH_METHOD
        return _bytes(trace.get("output")) if isinstance(trace, Mapping) and "error" in trace else None

    def _repeated(self, asked: Mapping[str, Any], block: Block) -> bytes | None:
        """What it would have returned as the first of its block; None where that does not fail, or is not
        known any more."""
        call = {name: asked[name] for name in ("from", "to", "gas", "value") if asked.get(name) is not None}
        call["data"] = asked["input"]
        parent, answer = self._rpc.outcomes(
            [
                ("eth_getBlockByHash", (block.parent, False)),
                ("eth_call", (call, {"blockHash": block.parent})),
            ]
        )
        if not isinstance(answer, RpcError):
            return None
        if not answer.data and not isinstance(parent, Mapping):
            raise ChainUnavailable(MOVED)
        return answer.data or (b"" if "revert" in answer.message.lower() else None)


def _bytes(text: object) -> bytes:
    try:
        return bytes.fromhex(text[2:]) if isinstance(text, str) else b""
    except ValueError:
        return b""
