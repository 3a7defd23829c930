"""One transaction: what it would cost, how it is signed, and what its receipt says.

EIP-1559 transactions only. Everything that a node answers is checked here; it sends nothing.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tallystick.chain.contracts import Call, contract_error
from tallystick.chain.errors import ChainError, ChainUnavailable, GasUnaffordable, RpcError
from tallystick.chain.events import ChainEvent, event_of
from tallystick.chain.rpc import shown
from tallystick.ports import Signer
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, Hash32

if TYPE_CHECKING:
    from web3.types import BlockData, LogReceipt, TxReceipt

_ABSURD: Final = 10**14
"""Wei a gas that no chain ever asked for: a node that names more is not believed."""


def created_address(sender: Address, nonce: int) -> Address:
    """Of the contract that the sender's transaction with this nonce creates: keccak-256 of the two in RLP."""
    digits = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    body = b"\x94" + sender + (digits if 0 < nonce < 0x80 else bytes([0x80 + len(digits)]) + digits)
    return Address(keccak(bytes([0xC0 + len(body)]) + body)[12:])


@dataclass(frozen=True, slots=True)
class Fees:
    """Of a gas, in wei."""

    base: int
    """In the newest block."""
    tip: int
    """To a block's maker, as the node suggests."""

    @classmethod
    def read(cls, block: "BlockData", tip: object) -> "Fees":
        """Raises ChainUnavailable."""
        base = block.get("baseFeePerGas") if block else None
        if base is None:
            raise ChainUnavailable("The chain's node gave no block to take the fee from.")
        fees = cls(whole(base), whole(tip))
        if max(fees.base, fees.tip) > _ABSURD:
            raise ChainUnavailable(
                f"The chain's node names absurd fees: {fees.base} and {fees.tip} wei a gas."
            )
        return fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would be sent, and what it costs at most."""

    call: Call
    sender: Address
    gas: int
    """The limit: the node's estimate and a fifth, for what changes until it is mined, and what the call
    spares."""
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

    @classmethod
    def of(cls, call: Call, sender: Address, gas: int, fees: Fees, highest: int | None) -> "Preview":
        """`highest`: wei a gas, at most."""
        cap = 2 * fees.base + fees.tip
        cap = cap if highest is None else min(cap, highest)
        return cls(
            call=call,
            sender=sender,
            gas=gas + gas // 5 + call.spare,
            tip=min(fees.tip, cap),
            fee_cap=cap,
            likely_fee=gas * (fees.base + fees.tip),
        )

    def raised(self, fees: Fees, highest: int) -> "Preview | None":
        """What nodes accept in its place, an eighth dearer at least; None: that would be above `highest`."""
        tip = max(fees.tip, _eighth_up(self.tip))
        least = _eighth_up(self.fee_cap)
        cap = min(max(2 * fees.base + tip, least), highest)
        return None if cap < least else replace(self, tip=min(tip, cap), fee_cap=cap)

    def at_least(self, other: "Preview") -> "Preview":
        """At its fees, where they are higher."""
        return replace(self, tip=max(self.tip, other.tip), fee_cap=max(self.fee_cap, other.fee_cap))


def _eighth_up(wei: int) -> int:
    return wei + wei // 8 + 1


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a transaction that is in a block."""

    succeeded: bool
    mined: Mined

    @classmethod
    def read(cls, answer: "TxReceipt") -> "Receipt":
        """Raises ChainUnavailable, or what `understood` is for."""
        created = answer.get("contractAddress")
        mined = Mined(
            transaction=Hash32(bytes(answer["transactionHash"])),
            block=whole(answer["blockNumber"], bits=64),
            gas_used=whole(answer["gasUsed"]),
            fee=whole(answer["gasUsed"]) * whole(answer["effectiveGasPrice"]),
            events=tuple(event for event in map(_event, answer["logs"]) if event is not None),
            created=Address(bytes.fromhex(created[2:])) if created else None,
        )
        return cls(succeeded=whole(answer["status"]) == 1, mined=mined)


def _event(log: "LogReceipt") -> ChainEvent | None:
    return event_of(
        [bytes(topic) for topic in log["topics"]],
        bytes(log["data"]),
        block=whole(log["blockNumber"], bits=64),
        log_index=whole(log["logIndex"], bits=64),
        transaction=Hash32(bytes(log["transactionHash"])),
    )


def whole(answer: object, *, bits: int = 256) -> int:
    """A number that web3 has read; raises ChainUnavailable where it is none, or absurd."""
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < 1 << bits:
        raise ChainUnavailable(f"The node answered {shown(answer)!r} where a number was asked for.")
    return answer


def refusal(error: RpcError) -> ChainError:
    """What the node meant."""
    if error.data:
        return contract_error(error.data)
    text = error.message.lower()
    if "insufficient funds" in text or "insufficientfunds" in text:
        return GasUnaffordable(
            "The sending wallet holds too little of the chain's own coin for this transaction. Send it some "
            "(on a local chain: tally faucet)."
        )
    if "revert" in text:
        return contract_error(b"")
    return error


def sign_transaction(preview: Preview, *, chain_id: int, nonce: int, key: Signer) -> bytes:
    """The raw EIP-1559 transaction. The key only ever sees its hash: it may be kept elsewhere."""
    # Half a second, which nobody pays who only reads.
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
