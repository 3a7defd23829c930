"""Transactions of one key: estimated, priced, signed, sent in order, and waited for.

A call that would revert is refused by the estimate, with the contract's reason, before anything is signed. It
knows no market. EIP-1559 transactions only; RLP stands here because it is a dozen lines.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallystick.chain.contracts import Call, contract_error
from tallystick.chain.errors import (
    ChainError,
    ChainUnavailable,
    GasUnaffordable,
    RpcError,
    TransactionFailed,
    TransactionUnknown,
)
from tallystick.chain.events import ChainEvent, read_event
from tallystick.chain.rpc import Rpc
from tallystick.ports import Signer
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Hash32, to_hex

_ATTEMPTS: Final = 5
"""Nonces tried, should other programs send from the same key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would be sent, and what it costs at most."""

    call: Call
    sender: Address
    gas: int
    """The limit: the node's estimate and a fifth, for what changes until it is mined."""
    tip: int
    """Wei a gas, to the block's maker."""
    fee_cap: int
    """Wei a gas, at most: twice today's base fee and the tip."""
    likely_fee: int
    """Wei, at today's base fee and the estimated gas."""

    @property
    def highest_fee(self) -> int:
        """Wei."""
        return self.gas * self.fee_cap


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A transaction that succeeded."""

    transaction: Hash32
    block: int
    gas_used: int
    fee: int
    """Wei."""
    events: tuple[ChainEvent, ...]
    """Of the market's contract."""
    created: Address | None
    """The contract that it created, if it did."""


class Sender:
    """Use one a key; threads may share it."""

    def __init__(
        self,
        rpc: Rpc,
        chain_id: int,
        key: Signer,
        *,
        confirm: Callable[[Preview], None] | None = None,
        timeout_s: float = 120,
    ):
        """`confirm` sees each transaction before it is signed, and refuses it by raising."""
        self.key = key
        self._rpc = rpc
        self._chain_id = chain_id
        self._confirm = confirm
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._nonce: int | None = None

    @property
    def address(self) -> Address:
        return self.key.address

    def preview(self, call: Call) -> Preview:
        """What `send` would send.

        Raises
        ------
        ContractError :
            The call would revert, and this is why.
        GasUnaffordable :
            The wallet holds too little of the chain's own coin.
        """
        request = {"from": to_hex(self.address), "data": to_hex(call.data)}
        if call.to is not None:
            request["to"] = to_hex(call.to)
        try:
            estimate, block, tip_hex, funds = self._rpc.batch(
                [
                    ("eth_estimateGas", (request,)),
                    ("eth_getBlockByNumber", ("latest", False)),
                    ("eth_maxPriorityFeePerGas", ()),
                    ("eth_getBalance", (to_hex(self.address), "latest")),
                ]
            )
        except RpcError as error:
            raise _refusal(error) from error
        gas, base, tip = int(estimate, 16), int(block["baseFeePerGas"], 16), int(tip_hex, 16)
        preview = Preview(
            call=call,
            sender=self.address,
            gas=gas + gas // 5,
            tip=tip,
            fee_cap=2 * base + tip,
            likely_fee=gas * (base + tip),
        )
        if int(funds, 16) < preview.highest_fee:
            raise _unaffordable(self.address, preview.highest_fee, int(funds, 16))
        return preview

    def send(self, call: Call) -> Mined:
        """Sends the call and waits until it is mined.

        Raises
        ------
        ContractError :
            It would revert, or was mined and did.
        TransactionFailed :
            It was mined and reverted without a reason.
        TransactionUnknown :
            Nobody knows yet: it may still be mined.
        """
        preview = self.preview(call)
        if self._confirm is not None:
            self._confirm(preview)
        with self._lock:
            transaction = self._submit(preview)
        return self._wait(transaction, preview)

    def _submit(self, preview: Preview) -> Hash32:
        for attempt in range(_ATTEMPTS):
            if self._nonce is None:
                pending = self._rpc.call("eth_getTransactionCount", to_hex(self.address), "pending")
                self._nonce = int(pending, 16)
            raw = sign_transaction(preview, chain_id=self._chain_id, nonce=self._nonce, key=self.key)
            transaction = keccak(raw)
            try:
                self._rpc.call("eth_sendRawTransaction", to_hex(raw))
            except RpcError as error:
                self._nonce = None
                if attempt + 1 < _ATTEMPTS and _is_about_nonce(error):
                    continue  # Another program sent from this key in between.
                raise _refusal(error) from error
            except ChainUnavailable as error:
                self._nonce = None
                raise TransactionUnknown(
                    f"The node stopped answering while transaction {to_hex(transaction)} was sent: it may or "
                    "may not be mined. Look it up before sending again.",
                    transaction=transaction,
                ) from error
            self._nonce += 1
            return transaction
        raise AssertionError("the last attempt raises")

    def _wait(self, transaction: Hash32, preview: Preview) -> Mined:
        deadline = time.monotonic() + self._timeout_s
        pause_s = 0.01
        while True:
            try:
                receipt = self._rpc.call("eth_getTransactionReceipt", to_hex(transaction))
            except ChainUnavailable:
                receipt = None  # The node may come back before the deadline.
            if receipt is not None:
                return self._mined(receipt, preview)
            if time.monotonic() >= deadline:
                with self._lock:
                    self._nonce = None
                raise TransactionUnknown(
                    f"Transaction {to_hex(transaction)} was sent and is not mined after "
                    f"{self._timeout_s:.0f} seconds. It may still be: look it up before sending again.",
                    transaction=transaction,
                )
            time.sleep(pause_s)
            pause_s = min(1.0, pause_s * 1.5)

    def _mined(self, receipt: dict[str, Any], preview: Preview) -> Mined:
        if int(receipt["status"], 16) != 1:
            raise self._failure(receipt, preview)
        created = receipt.get("contractAddress")
        gas_used = int(receipt["gasUsed"], 16)
        return Mined(
            transaction=Hash32(bytes.fromhex(receipt["transactionHash"][2:])),
            block=int(receipt["blockNumber"], 16),
            gas_used=gas_used,
            fee=gas_used * int(receipt["effectiveGasPrice"], 16),
            events=tuple(event for event in map(read_event, receipt["logs"]) if event is not None),
            created=Address(bytes.fromhex(created[2:])) if created else None,
        )

    def _failure(self, receipt: dict[str, Any], preview: Preview) -> ChainError:
        """Asks the node to repeat what failed, for the reason."""
        call = preview.call
        if call.to is not None:
            request = {"from": to_hex(self.address), "to": to_hex(call.to), "data": to_hex(call.data)}
            try:
                self._rpc.call("eth_call", request, receipt["blockNumber"])
            except RpcError as error:
                if error.data:
                    return contract_error(error.data)
            except ChainUnavailable:
                pass  # The reason is a courtesy.
        return TransactionFailed(
            f"Transaction {receipt['transactionHash']} ({call.name}) was mined and failed: the chain changed "
            "after it was checked. Try again."
        )


def _unaffordable(address: Address, required: int, actual: int) -> GasUnaffordable:
    return GasUnaffordable(
        f"{to_hex(address)} holds {actual} wei of the chain's own coin; the transaction may cost {required}. "
        "Send it some (on a local chain: tally faucet).",
        required=required,
        actual=actual,
    )


def _refusal(error: RpcError) -> ChainError:
    if error.data:
        return contract_error(error.data)
    text = error.message.lower()
    if "insufficient funds" in text:
        return GasUnaffordable(
            "The sending wallet holds too little of the chain's own coin for this transaction. Send it some "
            "(on a local chain: tally faucet)."
        )
    if "revert" in text:
        return contract_error(b"")
    return error


def _is_about_nonce(error: RpcError) -> bool:
    text = error.message.lower()
    return "nonce" in text or "underpriced" in text or "already" in text


def sign_transaction(preview: Preview, *, chain_id: int, nonce: int, key: Signer) -> bytes:
    """The raw EIP-1559 transaction, https://eips.ethereum.org/EIPS/eip-1559."""
    to = preview.call.to or b""
    fields: list[Any] = [
        chain_id,
        nonce,
        preview.tip,
        preview.fee_cap,
        preview.gas,
        to,
        0,
        preview.call.data,
        [],
    ]
    signature = key.sign_hash(keccak(b"\x02" + rlp(fields)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return b"\x02" + rlp([*fields, signature[64] - 27, r, s])


def rlp(item: int | bytes | Sequence[Any]) -> bytes:
    """Recursive length prefix, https://ethereum.org/developers/docs/data-structures-and-encoding/rlp."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefixed(0x80, item)
    return _prefixed(0xC0, b"".join(map(rlp, item)))


def _prefixed(offset: int, content: bytes) -> bytes:
    size = len(content)
    if size < 56:
        return bytes((offset + size,)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(length),)) + length + content
