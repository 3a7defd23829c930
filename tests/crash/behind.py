"""A payer's process that duels or audits behind its caller's back: told in JSON what to do, it does it over
the offers that it is given, and says what came of it."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2

from tallystick.client.audits import Audits
from tallystick.client.budget import Budget
from tallystick.client.duel import Duel
from tallystick.client.session import Session
from tallystick.client.transport import BASE_URL, Transport
from tallystick.home import Home
from tallystick.ports import PostedOffer
from tallystick.protocol.lottery import Block
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key
from tests.audits.drawing import drawing
from tests.client.child import Chain
from tests.client.fake_chain import DOMAIN

TOLD: dict[str, Any] = json.loads(sys.argv[1])
PATIENCE_S = 20


class Offers(Chain):
    """Several providers'."""

    def __init__(self, offers: Sequence[Offer]):
        super().__init__(offers[0])
        self._all = offers

    def offers(self) -> Sequence[PostedOffer]:
        return [
            PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=self.stake(offer.provider))
            for offer in self._all
        ]


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)


def main() -> None:
    block: Block | None = None
    chain = Offers([Offer.from_json(item) for item in TOLD["offers"]])
    session = Session(
        Key(bytes.fromhex(TOLD["wallet"])),
        chain=chain,
        directory=chain,
        domain=DOMAIN,
        budget=Budget(total=10**9, per_request=10**8),
        home=Home(Path(TOLD["home"])),
        duel=Duel(share=1, budget=10**8) if TOLD["duels"] else None,
        audits=None if TOLD["duels"] else Audits(budget=10**8, answers=2),
        block_at=lambda _: block,
    )
    if session.auditing is not None:
        session.auditing.worker.look_s = 0.02
    purse, seller = session.purse, TOLD["offers"][0]["provider"]
    with httpx2.Client(transport=Transport(session), timeout=30) as client:
        for number in range(1 if TOLD["duels"] else 4):
            body = {
                "model": "echo",
                "messages": [{"role": "user", "content": f"number {number}"}],
                "max_tokens": 20,
                "provider": {} if TOLD["duels"] else {"only": [seller]},
            }
            assert client.post(BASE_URL + "/chat/completions", json=body).status_code == 200
        if session.duelling is not None:
            session.duelling.wait(PATIENCE_S)
        else:
            receipts = [held.receipt.message for held in purse.held_receipts()]
            own = [one for one in receipts if one.tokens_hash != bytes(32)][-4:]
            first = own[0].sequence
            block = drawing(own, (first + 1, first + 3))
            until(purse.findings.all)
        until(lambda: purse.spending()[1] == 0)
        print(json.dumps({"pairs": len(purse.pairs.held()), "findings": len(purse.findings.all())}))


if __name__ == "__main__":
    main()
