"""Another process of the same wallet, for `test_parallel`: told in JSON what to do, it says what it did."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2

from tallystick.client.budget import Budget
from tallystick.client.session import Session
from tallystick.client.transport import BASE_URL, Transport
from tallystick.home import Home
from tallystick.ports import Account, Head, MarketTerms, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms, Timestamp


class Chain:
    def __init__(self, offer: Offer):
        self._offer = offer

    def head(self) -> Head:
        return Head(number=1, timestamp=Timestamp(0))

    def account(self, payer: Address) -> Account:
        return Account(free=Atoms(10**12), exiting=Atoms(0), exits_at=Timestamp(0))

    def stake(self, provider: Address) -> Stake:
        return Stake(
            provider=provider,
            staked=Atoms(1),
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=provider,
        )

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return key == provider

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        return Channel(key=ChannelKey(payer=payer, provider=provider, session_key=session_key))

    def terms(self) -> MarketTerms:
        return MarketTerms(minimum_stake=Atoms(1), unit=Atoms(1_000_000))

    def offers(self) -> Sequence[PostedOffer]:
        offer = self._offer
        return [PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=self.stake(offer.provider))]


def main() -> None:
    told = json.loads(sys.argv[1])
    chain = Chain(Offer.from_json(told["offer"]))
    costs: list[int] = []
    codes: list[str] = []
    transport = Transport(
        Session(
            Key(bytes.fromhex(told["wallet"])),
            chain=chain,
            directory=chain,
            domain=Domain(chain_id=31337, contract=Address(b"\x77" * 20)),
            budget=Budget(total=told["total"], per_request=told["per_request"]),
            home=Home(Path(told["home"])),
            on_outcome=lambda outcome: costs.append(outcome.cost),
        )
    )
    with httpx2.Client(transport=transport, timeout=30) as client:
        if told["mode"] == "hang":
            print("started", flush=True)
        for i in range(told.get("requests", 1)):
            body = {
                "model": "echo",
                "messages": [{"role": "user", "content": f"word{i} " * 30}],
                "max_tokens": 40,
            }
            answer = client.post(BASE_URL + "/chat/completions", json=body)
            if answer.status_code != 200:
                codes.append(answer.json()["error"]["code"])
    print(json.dumps({"paid": sum(costs), "codes": codes}))


if __name__ == "__main__":
    main()
