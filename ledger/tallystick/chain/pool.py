"""What a node says of one key's transactions: counted, taken or refused, mined."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.rpc import Rpc, quantity
from tallystick.chain.transaction import Fees, Receipt
from tallystick.protocol.units import Address, Hash32, to_hex

FEES: Final = (("eth_getBlockByNumber", ("latest", False)), ("eth_maxPriorityFeePerGas", ()))
"""What `Fees.read` reads."""


class Answer(Enum):
    """What becomes of a transaction that was handed in."""

    TAKEN = auto()
    """It is, or may be, on its way."""
    NONCE_USED = auto()
    UNDERPRICED = auto()


class Pool:
    """Raises ChainUnavailable, or RpcError where the node refuses."""

    def __init__(self, rpc: Rpc, address: Address):
        self._rpc = rpc
        self._address = to_hex(address)

    def fees(self) -> Fees:
        return Fees.read(*self._rpc.batch(FEES))

    def counts(self) -> tuple[int, int]:
        """Transactions of this key that are mined, and those with what waits to be."""
        asked = [("eth_getTransactionCount", (self._address, tag)) for tag in ("latest", "pending")]
        mined, pending = (quantity(answer, bits=64) for answer in self._rpc.batch(asked))
        return mined, max(mined, pending)

    def receipt(self, transactions: Iterable[Hash32]) -> tuple[Receipt | None, int]:
        """Of whichever was mined; and how many of this key's are: under each lower nonce, one."""
        count, *answers = self._rpc.batch(
            [
                ("eth_getTransactionCount", (self._address, "latest")),
                *(("eth_getTransactionReceipt", (to_hex(transaction),)) for transaction in transactions),
            ]
        )
        found = next((Receipt.read(answer) for answer in answers if answer is not None), None)
        return found, quantity(count, bits=64)

    def submit(self, raw: bytes) -> Answer:
        """Raises RpcError where the node refuses it for good."""
        try:
            self._rpc.call("eth_sendRawTransaction", to_hex(raw))
        except ChainUnavailable:
            return Answer.TAKEN  # It may have been: whoever waits finds out.
        except RpcError as error:
            text = error.message.lower()
            if "already" in text or "known transaction" in text:
                return Answer.TAKEN  # This very one.
            if "underpriced" in text or "less than block base fee" in text:
                return Answer.UNDERPRICED
            if "nonce" in text:
                return Answer.NONCE_USED
            raise
        return Answer.TAKEN
