"""What a node says of one key's transactions: priced, counted, taken or refused, mined.

Over web3, whose import takes a second and a half that nobody pays who only reads.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from tallystick.chain.contracts import Call
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.rpc import Rpc
from tallystick.chain.transaction import Fees, Receipt, whole
from tallystick.protocol.units import Address, Hash32

if TYPE_CHECKING:
    from eth_typing import ChecksumAddress
    from web3 import Web3
    from web3.eth import Eth
    from web3.types import BlockData, TxParams


class Answer(Enum):
    """What becomes of a transaction that was handed in."""

    TAKEN = auto()
    """It is, or may be, on its way."""
    NONCE_USED = auto()
    UNDERPRICED = auto()


_TAKEN: Final = ("already", "known transaction")
"""This very one."""
_UNDERPRICED: Final = (
    *("underpriced", "less than block base fee", "gas price below"),
    *("fee too low", "could not replace existing"),  # Erigon.
    *("feetoolow", "replacementnotallowed"),  # Nethermind.
)
_NONCE_USED: Final = ("nonce too low", "nonce is too low", "nonce below", "oldnonce")
_REFUSED: Final = (
    *("insufficient funds", "insufficientfunds", "exceeds account balance", "exceeds the configured cap"),
    *("intrinsic gas", "intrinsicgas", "floor data gas", "gas required exceeds allowance"),
    *("exceeds block gas limit", "gas limit too high", "gas limit is too high", "gaslimitexceeded"),
    *("oversized data", "initcode", "maxtxsizeexceeded", "negative value", "int256overflow"),
    *("invalid sender", "failedtoresolvesender", "senderiscontract", "sender not an eoa"),
    *("invalid chain id", "replay-protected", "type not supported", "unsupported transaction type"),
    *("max priority fee per gas higher", "nonce has max value", "rlp", "failed to decode", "revert"),
)
"""Of what is not valid, and never will be as it is: geth's words, Erigon's, Nethermind's, Reth's, Besu's and
Anvil's."""
_NEVER_RUN: Final = (-32601, -32602)
"""JSON-RPC's own numbers: no such method, no such parameters."""


class Pool:
    """Raises ChainUnavailable, or RpcError where the node refuses."""

    def __init__(self, rpc: Rpc, address: Address):
        self._rpc = rpc
        self._address = address

    @cached_property
    def _web3(self) -> "Web3":
        from tallystick.chain.eth import web3

        return web3(self._rpc)

    @contextmanager
    def _asking(self) -> Iterator["Eth"]:
        """Answers that web3 cannot read are the node's fault."""
        from tallystick.chain.eth import understood

        with understood():
            yield self._web3.eth

    @property
    def _account(self) -> "ChecksumAddress":
        return self._web3.to_checksum_address(self._address)

    def quote(self, call: Call) -> tuple[int, Fees, int]:
        """Gas that the call takes, what a gas costs, and the wei that the key holds: all by what is mined,
        because what is under way may be replaced by this very call."""
        with self._asking() as eth, self._web3.batch_requests() as batch:
            batch.add(eth.estimate_gas(self._request(call), "latest"))
            batch.add(eth.get_block("latest"))
            batch.add(eth.max_priority_fee)
            batch.add(eth.get_balance(self._account, "latest"))
            gas, block, tip, funds = cast("tuple[object, BlockData, object, object]", batch.execute())
            return whole(gas, bits=64), Fees.read(block, tip), whole(funds)

    def fees(self) -> Fees:
        with self._asking() as eth, self._web3.batch_requests() as batch:
            batch.add(eth.get_block("latest"))
            batch.add(eth.max_priority_fee)
            block, tip = cast("tuple[BlockData, object]", batch.execute())
            return Fees.read(block, tip)

    def counts(self) -> tuple[int, int]:
        """Transactions of this key that are mined, and those with what waits to be."""
        with self._asking() as eth, self._web3.batch_requests() as batch:
            batch.add(eth.get_transaction_count(self._account, "latest"))
            batch.add(eth.get_transaction_count(self._account, "pending"))
            mined, pending = (whole(count, bits=64) for count in batch.execute())
            return mined, max(mined, pending)

    def receipt(self, transactions: Iterable[Hash32]) -> tuple[Receipt | None, int]:
        """Of whichever was mined; and how many of this key's were, before that was asked: under each lower
        nonce, one."""
        with self._asking() as eth:
            mined = whole(eth.get_transaction_count(self._account, "latest"), bits=64)
            found = (self._receipt(transaction) for transaction in transactions)
            return next((receipt for receipt in found if receipt is not None), None), mined

    def _receipt(self, transaction: Hash32) -> Receipt | None:
        from hexbytes import HexBytes
        from web3.exceptions import TransactionNotFound

        try:
            return Receipt.read(self._web3.eth.get_transaction_receipt(HexBytes(transaction)))
        except TransactionNotFound:
            return None

    def newest_block(self) -> int:
        with self._asking() as eth:
            return whole(eth.block_number, bits=64)

    def repeat(self, call: Call, block: int) -> None:
        """What the call does after that block; raises RpcError where it reverts."""
        with self._asking() as eth:
            eth.call(self._request(call), block)

    def submit(self, raw: bytes) -> Answer:
        """Raises RpcError where the node refuses it for good. Any other word of its own (it is busy, it timed
        out, its pool is full, another node behind it failed) leaves open whether the transaction went out:
        whoever waits finds out."""
        try:
            with self._asking() as eth:
                eth.send_raw_transaction(raw)
        except ChainUnavailable:
            return Answer.TAKEN
        except RpcError as error:
            answer = _understood(error)
            if answer is None:
                raise
            return answer
        return Answer.TAKEN

    def _request(self, call: Call) -> "TxParams":
        request: TxParams = {"from": self._account, "data": call.data}
        if call.to is not None:
            request["to"] = self._web3.to_checksum_address(call.to)
        return request


def _understood(error: RpcError) -> Answer | None:
    """What a node meant that did not simply take a transaction; None: it never will."""
    text = error.message.lower()

    def says(words: Iterable[str]) -> bool:
        return any(word in text for word in words)

    if says(_TAKEN):
        return Answer.TAKEN
    if says(_UNDERPRICED):
        return Answer.UNDERPRICED
    if says(_NONCE_USED):
        return Answer.NONCE_USED
    if error.data or error.number in _NEVER_RUN or says(_REFUSED):
        return None
    return Answer.TAKEN
