"""Transactions of one key: estimated, priced, signed, sent in order, and waited for.

A call that would revert is refused by the estimate, with the contract's reason, before anything is signed. It
knows no market. EIP-1559 transactions only; web3 is imported for the first of them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from tallystick.chain.contracts import Call, contract_error
from tallystick.chain.errors import (
    ChainError,
    ChainUnavailable,
    GasUnaffordable,
    RpcError,
    TransactionFailed,
    TransactionUnknown,
)
from tallystick.chain.events import ChainEvent, event_of
from tallystick.chain.rpc import Rpc
from tallystick.ports import Signer
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Hash32, to_hex

if TYPE_CHECKING:
    from eth_typing import ChecksumAddress
    from web3 import Web3
    from web3.types import BlockData, LogReceipt, TxParams, TxReceipt

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

    @cached_property
    def _web3(self) -> "Web3":
        from tallystick.chain.eth import web3  # A second and a half, which nobody pays who only reads.

        return web3(self._rpc)

    @property
    def _account(self) -> "ChecksumAddress":
        return self._web3.to_checksum_address(self.address)

    def preview(self, call: Call) -> Preview:
        """What `send` would send.

        Raises
        ------
        ContractError :
            The call would revert, and this is why.
        GasUnaffordable :
            The wallet holds too little of the chain's own coin.
        """
        eth = self._web3.eth
        try:
            with self._web3.batch_requests() as batch:
                batch.add(eth.estimate_gas(self._request(call)))
                batch.add(eth.get_block("latest"))
                batch.add(eth.max_priority_fee)
                batch.add(eth.get_balance(self._account))
                gas, block, tip, funds = cast("tuple[int, BlockData, int, int]", batch.execute())
        except RpcError as error:
            raise _refusal(error) from error
        if not block or block.get("baseFeePerGas") is None:
            raise ChainUnavailable("The chain's node gave no block to take the fee from.")
        base = block["baseFeePerGas"]
        preview = Preview(
            call=call,
            sender=self.address,
            gas=gas + gas // 5,
            tip=tip,
            fee_cap=2 * base + tip,
            likely_fee=gas * (base + tip),
        )
        if funds < preview.highest_fee:
            raise _unaffordable(self.address, preview.highest_fee, funds)
        return preview

    def _request(self, call: Call) -> "TxParams":
        request: TxParams = {"from": self._account, "data": call.data}
        if call.to is not None:
            request["to"] = self._web3.to_checksum_address(call.to)
        return request

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
                self._nonce = self._web3.eth.get_transaction_count(self._account, "pending")
            raw = sign_transaction(preview, chain_id=self._chain_id, nonce=self._nonce, key=self.key)
            transaction = keccak(raw)
            try:
                self._web3.eth.send_raw_transaction(raw)
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
        while (receipt := self._receipt(transaction)) is None:
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
        return self._mined(receipt, preview)

    def _receipt(self, transaction: Hash32) -> "TxReceipt | None":
        from hexbytes import HexBytes
        from web3.exceptions import TransactionNotFound

        try:
            return self._web3.eth.get_transaction_receipt(HexBytes(transaction))
        except (TransactionNotFound, ChainUnavailable, RpcError):
            return None  # The node may come back, or be done indexing, before the deadline.

    def _mined(self, receipt: "TxReceipt", preview: Preview) -> Mined:
        if receipt["status"] != 1:
            raise self._failure(receipt, preview)
        created = receipt["contractAddress"]
        return Mined(
            transaction=Hash32(bytes(receipt["transactionHash"])),
            block=receipt["blockNumber"],
            gas_used=receipt["gasUsed"],
            fee=receipt["gasUsed"] * receipt["effectiveGasPrice"],
            events=tuple(event for event in map(_event, receipt["logs"]) if event is not None),
            created=Address(bytes.fromhex(created[2:])) if created else None,
        )

    def _failure(self, receipt: "TxReceipt", preview: Preview) -> ChainError:
        """Asks the node to repeat what failed, for the reason."""
        call = preview.call
        if call.to is not None:
            try:
                self._web3.eth.call(self._request(call), receipt["blockNumber"])
            except RpcError as error:
                if error.data:
                    return contract_error(error.data)
            except ChainUnavailable:
                pass  # The reason is a courtesy.
        return TransactionFailed(
            f"Transaction {to_hex(receipt['transactionHash'])} ({call.name}) was mined and failed: the chain "
            "changed after it was checked. Try again."
        )


def _event(log: "LogReceipt") -> ChainEvent | None:
    return event_of(
        log["topics"],
        log["data"],
        block=log["blockNumber"],
        log_index=log["logIndex"],
        transaction=Hash32(bytes(log["transactionHash"])),
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
    """The raw EIP-1559 transaction. The key only ever sees its hash: it may be kept elsewhere."""
    from eth_account.typed_transactions.typed_transaction import TypedTransaction

    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "maxPriorityFeePerGas": preview.tip,
        "maxFeePerGas": preview.fee_cap,
        "gas": preview.gas,
        "to": preview.call.to or b"",
        "value": 0,
        "data": preview.call.data,
    }
    signature = key.sign_hash(Hash32(TypedTransaction.from_dict(fields).hash()))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return TypedTransaction.from_dict(fields | {"v": signature[64] - 27, "r": r, "s": s}).encode()
