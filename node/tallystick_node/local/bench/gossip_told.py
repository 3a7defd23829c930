"""What payers read of a node while they look twice a second: bytes, and what it takes to read them."""

import time
from collections.abc import Iterator
from typing import Final

import orjson

from tallystick.client.sight import EVERY_S, RATED
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.hearsay import RATINGS, Hearsay, Said, key_of
from tallystick.protocol.packed import pack
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Rating
from tallystick.protocol.told import TOLD_LIMIT, read_told
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Milliseconds, Tokens
from tallystick_node.local.bench.gossip_sim import provider, roster, status_said
from tallystick_node.local.bench.row import Row
from tallystick_node.network.telling import Telling

_NOW: Final = Milliseconds(1_700_000_000_000)
_PAYERS: Final = 1_000_000
"""Number of the first payer."""


def rows(providers: int) -> Iterator[Row]:
    """Where each is rated by as many payers as are remembered."""
    section = f"what a payer reads of a node that knows {providers:,} rated providers"
    plain, rated = (_telling(providers).answer("m", ratings=ratings) for ratings in (False, True))
    yield _row(section, "statuses", len(plain) / 1_000, "kB")
    yield _row(section, "with ratings", len(rated) / 1_000, "kB", TOLD_LIMIT / 1_000)
    mean = (len(plain) * (RATED - 1) + len(rated)) / RATED / EVERY_S
    yield _row(section, "it reads", mean / 1_000, "kB/s")
    taken = (_reading_s(plain) * (RATED - 1) + _reading_s(rated)) / RATED / EVERY_S
    yield _row(section, "  and computes, beside signatures", 100 * taken, "% of a core")


def _telling(providers: int) -> Telling:
    hearsay, everybody = Hearsay(), roster(providers)
    for number in range(1, providers + 1):
        hearsay.take(status_said(number, _NOW), 0)
        for payer in range(_PAYERS, _PAYERS + RATINGS):
            hearsay.take(_rating(provider(payer), provider(number)), payer)
    return Telling(hearsay, lambda: everybody, lambda: 2 * _PAYERS)


def _rating(payer: Address, rated: Address) -> Said:
    """Signed by nobody."""
    receipt = Receipt(
        channel_id=ChannelKey(payer=payer, provider=rated, session_key=payer, epoch=0).id,
        sequence=1_000,
        offer_hash=ZERO_HASH,
        request_hash=ZERO_HASH,
        response_hash=ZERO_HASH,
        tokens_hash=ZERO_HASH,
        input_tokens=Tokens(1_000),
        cached_input_tokens=Tokens(0),
        output_tokens=Tokens(200),
        finish=1,
        received_at=_NOW,
        first_token_at=_NOW,
        finished_at=_NOW,
        cost=Atoms(1_000),
        cumulative_cost=Atoms(1_000_000),
    )
    message = Rating(
        payer=payer,
        provider=rated,
        session_key=payer,
        epoch=0,
        sequence=_NOW,
        ratio=1_000_000,
        count=20,
        receipt_hash=receipt.struct_hash(),
    )
    proof, paid = Verified(message, bytes(65), payer), Verified(receipt, bytes(65), rated)
    return Said(key_of(message), _NOW, proof, pack(message), paid)


def _reading_s(text: bytes) -> float:
    began = time.process_time()
    _, frames = read_told(orjson.loads(text))
    for _ in frames:
        pass
    return time.process_time() - began


def _row(section: str, name: str, value: float, unit: str, target: float | None = None) -> Row:
    return Row(section=section, name=name, value=value, unit=unit, target=target)
