"""What payers read of a node while they look twice a second: bytes, and what it takes to read them."""

import time
from collections.abc import Iterator
from typing import Final

import orjson

from tallystick.client.sight import EVERY_S, RATED
from tallystick.protocol.hearsay import RATINGS, Hearsay, Said, key_of
from tallystick.protocol.packed import pack
from tallystick.protocol.signed import Verified
from tallystick.protocol.told import TOLD_LIMIT, read_told
from tallystick.protocol.units import Address, Milliseconds
from tallystick_node.local.bench.row import Row
from tallystick_node.local.bench.samples import rating_of
from tallystick_node.network.telling import Telling
from tallystick_node.sim.gossip import provider, roster, status_said

_NOW: Final = Milliseconds(1_700_000_000_000)
_PAYERS: Final = 1_000_000
"""Number of the first payer."""


def rows(providers: int) -> Iterator[Row]:
    """Where each is rated by as many payers as are remembered."""
    section = f"what a payer reads of a node that knows {providers:,} rated providers"
    plain, rated = (_telling(providers).answer("m", ratings=ratings) for ratings in (False, True))
    yield Row.of(section, "statuses", len(plain) / 1_000, "kB")
    yield Row.of(section, "with ratings", len(rated) / 1_000, "kB", TOLD_LIMIT / 1_000)
    mean = (len(plain) * (RATED - 1) + len(rated)) / RATED / EVERY_S
    yield Row.of(section, "it reads", mean / 1_000, "kB/s")
    taken = (_reading_s(plain) * (RATED - 1) + _reading_s(rated)) / RATED / EVERY_S
    yield Row.of(section, "  and computes, beside signatures", 100 * taken, "% of a core")


def _telling(providers: int) -> Telling:
    hearsay, everybody = Hearsay(), roster(providers)
    for number in range(1, providers + 1):
        hearsay.take(status_said(number, _NOW), 0)
        for payer in range(_PAYERS, _PAYERS + RATINGS):
            hearsay.take(_rating(provider(payer), provider(number)), payer)
    return Telling(hearsay, lambda: everybody, lambda: 2 * _PAYERS)


def _rating(payer: Address, rated: Address) -> Said:
    """Signed by nobody."""
    message, receipt = rating_of(payer, rated, payer, sequence=_NOW)
    proof, paid = Verified(message, bytes(65), payer), Verified(receipt, bytes(65), rated)
    return Said(key_of(message), _NOW, proof, pack(message), paid)


def _reading_s(text: bytes) -> float:
    began = time.process_time()
    _, frames = read_told(orjson.loads(text))
    for _ in frames:
        pass
    return time.process_time() - began
