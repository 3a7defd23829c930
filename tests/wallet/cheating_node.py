"""`tally-node serve`, but for what it signs: cheating_node.py KIND_FILE CONFIG

The file says how it cheats, and may be written anew while it runs: honest, overcharge, receipts or offers.
"""

import sys
from dataclasses import replace
from pathlib import Path

import tallystick_node.gateway.serve as serving
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, sign
from tallystick.protocol.units import Atoms, AtomsPerMTok, Hash32
from tallystick.protocol.wire import receipt_text
from tallystick_node.cli import app
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.tab import Tab

KIND, CONFIG = Path(sys.argv[1]), sys.argv[-1]


class CheatingBooks(Books):
    """True in its database, false on the wire."""

    def issue(self, tab: Tab, receipt: Receipt) -> tuple[Signed[Receipt], str]:
        signed, text = super().issue(tab, receipt)
        match KIND.read_text():
            case "overcharge":
                dearer = Atoms(receipt.cost + 1)
                false = replace(receipt, cost=dearer, cumulative_cost=Atoms(receipt.cumulative_cost + 1))
            case "receipts":
                false = replace(receipt, sequence=0)
            case _:
                return signed, text
        return signed, receipt_text(sign(false, self.domain, self._key).signed)

    def posted_offers(self) -> list[tuple[Hash32, Signed[Offer]]]:
        if KIND.read_text() != "offers":
            return super().posted_offers()
        dearer = (
            replace(signed.message, output_price=AtomsPerMTok(2 * signed.message.output_price))
            for _, signed in super().posted_offers()
        )
        return [(offer.struct_hash(), sign(offer, self.domain, self._key).signed) for offer in dearer]


serving.Books = CheatingBooks  # type: ignore[misc]  # the one thing that is not the real node's
app(["serve", CONFIG])
