"""The messages that the protocol's own figures are taken of, and eth-account's view of them."""

from dataclasses import replace
from typing import Any, Final

from tallystick.ports import PostedOffer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key
from tallystick.protocol.stake import Stake
from tallystick.protocol.status import Rating
from tallystick.protocol.units import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Atoms,
    AtomsPerMTok,
    ChannelId,
    Milliseconds,
    Timestamp,
    Tokens,
    to_hex,
)
from tallystick.protocol.voucher import Acknowledgement, Voucher

DOMAIN: Final = Domain(chain_id=31337, contract=Address(bytes(range(20))))


def channel_of(session: Key) -> ChannelKey:
    return ChannelKey(payer=ZERO_ADDRESS, provider=ZERO_ADDRESS, session_key=session.address)


def voucher_of(session: Key) -> Voucher:
    return Voucher(
        channel_id=channel_of(session).id,
        cumulative_amount=Atoms(123_456),
        acknowledgement=Acknowledgement(
            receipt_count=41,
            receipts_root=keccak(b"root"),
            request_hash=keccak(b"request"),
            request_nonce=(1 << 63) + 1,
        ),
    )


_RECEIPT: Final = Receipt(
    channel_id=ChannelId(ZERO_HASH),
    sequence=41,
    offer_hash=keccak(b"offer"),
    request_hash=keccak(b"request"),
    response_hash=keccak(b"response"),
    tokens_hash=keccak(b"tokens"),
    input_tokens=Tokens(1_204),
    cached_input_tokens=Tokens(1_024),
    output_tokens=Tokens(256),
    finish=1,
    received_at=Milliseconds(1_790_000_000_000),
    first_token_at=Milliseconds(1_790_000_000_180),
    finished_at=Milliseconds(1_790_000_003_412),
    cost=Atoms(196),
    cumulative_cost=Atoms(123_652),
)


def receipt_of(session: Key, *, sequence: int = 41, cumulative_cost: int = 123_652) -> Receipt:
    channel_id = channel_of(session).id
    return replace(_RECEIPT, channel_id=channel_id, sequence=sequence, cumulative_cost=Atoms(cumulative_cost))


def rating_of(
    payer: Address,
    provider: Address,
    session: Address,
    *,
    sequence: int,
    ratio: int = 1_000_000,
    count: int = 20,
) -> tuple[Rating, Receipt]:
    """With the receipt of the channel that lets it count; nobody has signed them."""
    channel = ChannelKey(payer=payer, provider=provider, session_key=session, epoch=0)
    receipt = replace(_RECEIPT, channel_id=channel.id)
    rating = Rating(
        payer=payer,
        provider=provider,
        session_key=session,
        epoch=0,
        sequence=sequence,
        ratio=ratio,
        count=count,
        receipt_hash=receipt.struct_hash(),
    )
    return rating, receipt


def offer_at(
    key: Key, endpoint: str, *, model: str = "m", sequence: int = 1, receipt_key: Address | None = None
) -> PostedOffer:
    """Of a provider that is known to gossip; `receipt_key`: its own key where it is not given."""
    offer = Offer(
        provider=key.address,
        sequence=sequence,
        endpoint=endpoint,
        endpoint_key=ZERO_HASH,
        model=model,
        model_hash=ZERO_HASH,
        input_price=AtomsPerMTok(1),
        cached_input_price=AtomsPerMTok(1),
        output_price=AtomsPerMTok(1),
        context_length=Tokens(8192),
        credit=Atoms(1000),
        valid_until=Timestamp(1 << 40),
    )
    stake = Stake(
        provider=key.address,
        staked=Atoms(100),
        exiting=Atoms(0),
        exits_at=Timestamp(0),
        receipt_key=receipt_key or key.address,
    )
    return PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=stake)


def typed_data(message: Message) -> dict[str, Any]:
    """As `eth_signTypedData_v4` takes it."""
    structs = {type(message).__name__: type(message).TYPE} | {k: v.TYPE for k, v in message.NESTED.items()}
    domain = {
        "name": "Tallystick",
        "version": "1",
        "chainId": DOMAIN.chain_id,
        "verifyingContract": to_hex(DOMAIN.contract),
    }
    kinds = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    types = {name: [{"name": n, "type": k} for k, n in fields_of(text)] for name, text in structs.items()}
    types["EIP712Domain"] = [{"name": name, "type": kind} for name, kind in kinds.items()]
    return {
        "types": types,
        "primaryType": type(message).__name__,
        "domain": domain,
        "message": _numbers(message.to_json()),
    }


def _numbers(item: object) -> Any:
    if isinstance(item, dict):
        return {name: _numbers(value) for name, value in item.items()}
    return int(item) if isinstance(item, str) and item.isdecimal() else item
