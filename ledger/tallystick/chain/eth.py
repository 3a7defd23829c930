"""web3 over the `Rpc` that reads go through, to send transactions. Importing it takes a second and a half.

Not over web3's own HTTPProvider: that one sends a transaction again when the answer is lost, while what may
have been sent must come out as unknown. It would also be a second connection, with errors of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from web3 import Web3
from web3.exceptions import Web3Exception
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.rpc import Rpc

_UNREADABLE: Final = (
    *(Web3Exception, ValueError, TypeError, LookupError, AttributeError, OverflowError),
    RecursionError,  # Lists in lists, a thousand deep.
)


class RpcProvider(JSONBaseProvider):
    """Raises what the `Rpc` raises, in place of web3's own errors."""

    def __init__(self, rpc: Rpc):
        super().__init__()
        self._rpc = rpc

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return _answer(self._rpc.call(method, *params))

    def make_batch_request(self, batch_requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse]:
        return [_answer(result) for result in self._rpc.batch(batch_requests)]


def _answer(result: Any) -> RPCResponse:
    return {"jsonrpc": "2.0", "id": 0, "result": result}


@contextmanager
def understood() -> Iterator[None]:
    """What web3 cannot make sense of is no bug of ours: its dozen kinds of exception come out as
    ChainUnavailable. What the `Rpc` raises passes."""
    try:
        yield
    except _UNREADABLE as error:
        raise ChainUnavailable(
            f"The chain's node gave an answer that cannot be read ({type(error).__name__})."
        ) from error


def web3(rpc: Rpc) -> Web3:
    """Without names, local gas strategies and checks of the chain's id; with proof-of-authority blocks."""
    return Web3(RpcProvider(rpc), middleware=[ExtraDataToPOAMiddleware])
