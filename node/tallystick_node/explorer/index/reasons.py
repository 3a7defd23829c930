"""Why a transaction failed: its receipt does not say, so the node is asked to run it again."""

from collections.abc import Mapping
from typing import Any, Final

from tallystick.chain.contracts import contract_error
from tallystick.chain.errors import RpcError
from tallystick.chain.rpc import Rpc, quantity
from tallystick_node.explorer.index.facts import reason

_TRACER: Final = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}
_NO_SUCH_METHOD: Final = -32601


class Reasons:
    """As one node gives them. Most can run a transaction on the block before it, some trace it where it
    stands, and few still have the state of old blocks."""

    def __init__(self, rpc: Rpc):
        self._rpc = rpc
        self._traces = True

    def of(self, asked: Mapping[str, Any], receipt: Mapping[str, Any], block: int) -> str | None:
        """None: it cannot be found out. Raises ChainUnavailable."""
        data = self._traced(asked) if self._traces else None
        if data is None:
            data = self._repeated(asked, block)
        if data:
            return reason(contract_error(data))
        if quantity(receipt["gasUsed"]) == quantity(asked["gas"]):
            return (
                f"OutOfGas(limit={quantity(asked['gas'])}): The transaction used up all the gas it was given."
            )
        return None if data is None else reason(contract_error(b""))

    def _traced(self, asked: Mapping[str, Any]) -> bytes | None:
        """What it returned; None where the node does not trace."""
        try:
            answer = self._rpc.call("debug_traceTransaction", asked["hash"], _TRACER)
        except RpcError as error:
            self._traces = error.number != _NO_SUCH_METHOD
            return None
        return _bytes(answer.get("output")) if isinstance(answer, dict) and "error" in answer else None

    def _repeated(self, asked: Mapping[str, Any], block: int) -> bytes | None:
        """What it would have returned as the first of its block; None where that does not fail, or is not
        known any more."""
        call = {name: asked[name] for name in ("from", "to", "gas", "value") if asked.get(name) is not None}
        try:
            self._rpc.call("eth_call", call | {"data": asked["input"]}, hex(block - 1))
        except RpcError as error:
            return error.data or (b"" if "revert" in error.message.lower() else None)
        return None


def _bytes(text: object) -> bytes:
    try:
        return bytes.fromhex(text[2:]) if isinstance(text, str) else b""
    except ValueError:
        return b""
