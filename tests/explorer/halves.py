"""A market on a real chain whose parties hold receipts: settled, closed at, to be settled, and false."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Opening
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import ChannelDocument, ReceiptDocument, proofs
from tallystick.protocol.fraud import price_up
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import ZERO_HASH, Atoms, Hash32
from tallystick.protocol.voucher import Acknowledgement, Close, Tally, Voucher
from tests.chain.test_fraud import a_receipt
from tests.chain.test_market import an_offer

DOLLAR = 1_000_000
HOSTILE = "\0<script>alert(1)</script>\u202e"


@dataclass
class Half:
    """One channel, as its two parties have it."""

    key: ChannelKey
    session: Key
    deployment: Deployment
    tally: Tally = Tally()
    receipts: list[Signed[Receipt]] = field(default_factory=list)
    settled: list[Acknowledgement] = field(default_factory=list)

    def voucher(self, nonce: int = 0) -> Signed[Voucher]:
        hashed = Hash32(bytes(31) + bytes((nonce,)))
        message = self.tally.voucher(self.key.id, request_hash=hashed, request_nonce=nonce)
        return sign(message, self.deployment.domain, self.session).signed

    def documents(self) -> list[ReceiptDocument]:
        return proofs(self.deployment.domain, self.receipts, self.settled, self.voucher())

    def whole(self) -> ChannelDocument:
        return ChannelDocument(
            domain=self.deployment.domain,
            channel=self.key,
            receipts=self.receipts,
            acknowledgements=self.settled,
            voucher=self.voucher(),
        )


class Held:
    """Two payers of one provider: `settled` (five of seven receipts are), and `closed` (three, and its payer
    closed it at five)."""

    def __init__(self, chain: Any, deployment: Deployment, payers: Sequence[Any], provider: Any):
        self.chain, self.deployment = chain, deployment
        self.payers, self.provider = payers, provider
        self.older, self.receipt_key, self.stranger = Key.generate(), Key.generate(), Key.generate()
        provider.market.set_receipt_key(self.older.address)
        self.offer = self._post(1, "small-model")
        provider.market.set_receipt_key(self.receipt_key.address)
        self.hostile = self._post(2, HOSTILE)
        self.settled, self.closed = (self._open(payer) for payer in payers)

    def _post(self, sequence: int, model: str) -> Offer:
        offer = an_offer(self.provider.address, sequence, model)
        key = self.older if sequence == 1 else self.receipt_key
        self.payers[0].market.post_offer(sign(offer, self.deployment.domain, key).signed)
        return offer

    def _open(self, payer: Any) -> Half:
        session = Key.generate()
        key = ChannelKey(payer=payer.address, provider=self.provider.address, session_key=session.address)
        payer.market.open_own_channels(
            [Opening(provider=key.provider, session_key=session.address, cap=Atoms(10 * DOLLAR))]
        )
        return Half(key, session, self.deployment)

    def work(self, half: Half, count: int, *, key: Key | None = None, **changes: Any) -> None:
        """So many more receipts, at the offer's price."""
        for _ in range(count):
            offer = changes.get("offer", self.offer)
            fields = {name: value for name, value in changes.items() if name != "offer"}
            receipt = a_receipt(offer, half.key, sequence=half.tally.count, **fields)
            now = self.chain.rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"]
            at = int(now, 16) * 1000
            receipt = replace(receipt, received_at=at, first_token_at=at + 100, finished_at=at + 1_100)
            total = Atoms(half.tally.amount + receipt.cost)
            receipt = replace(receipt, cumulative_cost=total)
            half.tally = half.tally.append(receipt)
            half.receipts.append(sign(receipt, self.deployment.domain, key or self.receipt_key).signed)

    def settle(self, half: Half, nonce: int = 0) -> None:
        voucher = half.voucher(nonce)
        self.provider.market.settle([(half.key, voucher)])
        half.settled.append(voucher.message.acknowledgement)

    def close(self, half: Half, payer: Any) -> None:
        close = Close(channel_id=half.key.id, cumulative_amount=half.tally.amount)
        payer.market.close(half.key, sign(close, self.deployment.domain, self.receipt_key).signed)


def hold(
    chain: Any,
    deployment: Deployment,
    funded_payer: Callable[..., Any],
    staked_provider: Callable[..., Any],
) -> Held:
    payers = [funded_payer(), funded_payer()]
    held = Held(chain, deployment, payers, staked_provider())
    first, second = held.settled, held.closed
    held.work(first, 2, key=held.older)
    held.work(first, 1, offer=held.hostile)
    held.settle(first)
    held.work(first, 2, finish=0)
    held.settle(first, nonce=7)
    held.work(first, 2)
    held.work(second, 3)
    held.settle(second, nonce=3)
    held.work(second, 2)
    held.close(second, payers[1])
    return held


def altered(document: ReceiptDocument, **changes: Any) -> ReceiptDocument:
    signed = document.signed
    return replace(document, signed=replace(signed, message=replace(signed.message, **changes)))


def bad_ones(held: Held) -> dict[str, tuple[ReceiptDocument, str]]:
    """By name: a document, and the step at which it is bad."""
    domain, half = held.deployment.domain, held.settled
    good, other = half.documents()[0], held.closed.documents()[0]
    forged = sign(good.signed.message, domain, held.stranger).signed
    price = price_up(held.offer, good.signed.message)
    dear = replace(good.signed.message, cost=Atoms(price + 1), cumulative_cost=Atoms(price + 1))
    tally = Tally().append(dear)
    acknowledgement = tally.voucher(half.key.id).acknowledgement
    overcharged = ReceiptDocument(
        signed=sign(dear, domain, held.receipt_key).signed, domain=domain, acknowledgement=acknowledgement
    )
    everything = half.tally.voucher(half.key.id).acknowledgement
    return {
        "forged": (replace(good, signed=forged), "signature"),
        "altered": (altered(good, output_tokens=1), "signature"),
        "overcharged": (overcharged, "price"),
        "another channel's proof": (
            replace(good, proof=other.proof, acknowledgement=other.acknowledgement),
            "inclusion",
        ),
        "settled under another root": (
            proofs(domain, half.receipts, [everything])[0],
            "settlement",
        ),
        "another chain": (replace(good, domain=replace(domain, chain_id=1)), "market"),
        "an offer never posted": (altered(good, offer_hash=ZERO_HASH), "signature"),
    }
