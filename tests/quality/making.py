"""Cases as an honest challenger shows them, made of nothing but keys and words."""

import json
from collections.abc import Sequence
from typing import Any

from tallystick.protocol.case import Case, Exhibit, response_hash
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, ChannelId, Hash32, Milliseconds, Tokens
from tallystick.protocol.vote import Choice, hidden_hash
from tallystick.protocol.voucher import request_hash

DOMAIN = Domain(chain_id=31337, contract=Address(bytes(range(20))))
FIRST, SECOND, CHALLENGER = (Key(keccak(name)) for name in (b"first", b"second", b"challenger"))
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Why?"}], "stream": True}).encode()


def streamed(*pieces: str) -> tuple[bytes, ...]:
    """The payloads of a chat that says so."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    return tuple(json.dumps(chunk).encode() for chunk in chunks)


def exhibit(
    key: Key,
    payloads: Sequence[bytes],
    *,
    body: bytes = BODY,
    domain: Domain = DOMAIN,
    price: int = 1,
    **changes: Any,
) -> Exhibit:
    """Bought of `key`, who signs for itself; `changes` of the receipt."""
    offer = Offer(
        provider=key.address,
        sequence=1,
        endpoint="https://one.example",
        endpoint_key=ZERO_HASH,
        model="m",
        model_hash=ZERO_HASH,
        input_price=price,
        cached_input_price=price,
        output_price=price,
        context_length=1_000,
        credit=1_000,
        valid_until=1 << 40,
    )
    requested = request_hash(offer.struct_hash(), body)
    fields: dict[str, Any] = {
        "channel_id": ChannelId(bytes(32)),
        "sequence": 0,
        "offer_hash": offer.struct_hash(),
        "request_hash": requested,
        "response_hash": response_hash(requested, payloads),
        "tokens_hash": ZERO_HASH,
        "input_tokens": Tokens(1),
        "cached_input_tokens": Tokens(0),
        "output_tokens": Tokens(1),
        "finish": Finish.STOP,
        "received_at": Milliseconds(1),
        "first_token_at": Milliseconds(1),
        "finished_at": Milliseconds(1),
        "cost": Atoms(1),
        "cumulative_cost": Atoms(1),
    }
    receipt = sign(Receipt(**(fields | changes)), domain, key).signed
    return Exhibit(offer=offer, receipt=receipt, payloads=tuple(payloads))


def case(
    first: Sequence[bytes] = streamed("Be", "cause."),
    second: Sequence[bytes] = streamed("So."),
    **changes: Any,
) -> Case:
    """Of those payloads."""
    fields: dict[str, Any] = {
        "challenger": CHALLENGER.address,
        "body": BODY,
        "first": exhibit(FIRST, first),
        "second": exhibit(SECOND, second),
        "hidden": hidden_hash(Choice.NONE, Hash32(bytes(32))),
    }
    return Case(**(fields | changes))
