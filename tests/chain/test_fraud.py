"""A proof made in Python slashes on a real chain, and where it does not, Python has said why beforehand."""

import random
from dataclasses import replace

import pytest

from tallystick.chain.errors import ContractError
from tallystick.chain.events import (
    Earned,
    OfferEquivocationProven,
    OfferPosted,
    OverchargeProven,
    ReceiptEquivocationProven,
    Slashed,
)
from tallystick.chain.history import posted_offer
from tallystick.chain.reports import posted_signature, refusal, report
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.fraud import (
    OfferEquivocation,
    Overcharge,
    ReceiptEquivocation,
    first_failing,
    offer_equivocations,
    overcharge,
    price_up,
    proof_from_json,
    proof_to_json,
    receipt_equivocation,
    steps,
)
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32

from .test_market import an_offer

DOLLAR = 1_000_000
STAKE = 100 * DOLLAR
BURNT = Address(bytes(18) + b"\xde\xad")


def a_receipt(offer, channel, *, sequence=0, above=0, **changes):
    receipt = Receipt(
        channel_id=channel.id,
        sequence=sequence,
        offer_hash=offer.struct_hash(),
        request_hash=Hash32(b"\1" * 32),
        response_hash=Hash32(b"\2" * 32),
        tokens_hash=ZERO_HASH,
        input_tokens=1_001,
        cached_input_tokens=100,
        output_tokens=333,
        finish=Finish.STOP,
        received_at=1,
        first_token_at=2,
        finished_at=3,
        cost=Atoms(0),
        cumulative_cost=Atoms(0),
    )
    receipt = replace(receipt, **changes)
    return replace(receipt, cost=Atoms(price_up(offer, receipt) + above))


class Case:
    """A cheat at stake, a payer that reports, and the messages between them."""

    def __init__(self, staked_provider, party):
        self.cheat, self.payer = staked_provider(STAKE), party()
        self.market = self.payer.market
        self.domain = self.market.deployment.domain
        self.offer = an_offer(self.cheat.address)
        self.channel = ChannelKey(
            payer=self.payer.address, provider=self.cheat.address, session_key=Key.generate().address
        )

    def signed(self, message, key=None) -> Signed:
        return sign(message, self.domain, key or self.cheat.key).signed

    def overcharge(self, sequence=0):
        return overcharge(
            self.offer, self.signed(a_receipt(self.offer, self.channel, sequence=sequence, above=1))
        )

    def receipts(self, sequence=0):
        one = a_receipt(self.offer, self.channel, sequence=sequence)
        other = replace(one, response_hash=Hash32(b"\3" * 32))
        return receipt_equivocation(self.channel, self.signed(one), self.signed(other))

    def offers(self, sequence=1):
        one = replace(self.offer, sequence=sequence)
        (proof,) = offer_equivocations([self.signed(one), self.signed(replace(one, output_price=7))])
        return proof


@pytest.fixture
def case(staked_provider, party):
    return Case(staked_provider, party)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("overcharge", OverchargeProven),
        ("receipts", ReceiptEquivocationProven),
        ("offers", OfferEquivocationProven),
    ],
)
def test_a_proof_takes_the_stake_once(case, kind, event) -> None:
    proof, _ = proof_from_json(proof_to_json(getattr(case, kind)(), case.domain))
    assert refusal(case.market, proof) is None
    burnt_before = case.market.asset_balance(BURNT)

    mined = report(case.market, proof)

    assert [type(item) for item in mined.events] == [event, Slashed, Earned]
    proven, slashed, _ = mined.events
    assert (proven.provider, proven.reporter) == (case.cheat.address, case.payer.address)
    assert (slashed.reward, slashed.burnt, slashed.staked) == (STAKE // 3, STAKE - STAKE // 3, 0)
    assert case.market.asset_balance(BURNT) - burnt_before == STAKE - STAKE // 3
    case.market.withdraw()
    assert case.market.asset_balance(case.payer.address) == STAKE // 3

    assert "proven before" in str(refusal(case.market, proof))
    case.cheat.market.mint(Atoms(STAKE))
    case.cheat.market.add_stake(Atoms(STAKE))
    with pytest.raises(ContractError, match="Nothing more can be had for it"):
        report(case.market, proof)


def test_what_the_events_say_is_what_was_shown(case) -> None:
    proof = case.overcharge()
    (proven, *_) = report(case.market, proof).events
    receipt = proof.receipt.message
    assert (proven.receipt_hash, proven.offer_hash) == (receipt.struct_hash(), case.offer.struct_hash())
    assert (proven.price, proven.cost) == (receipt.cost - 1, receipt.cost)
    assert "nothing at stake" in str(refusal(case.market, case.receipts()))


def test_an_offer_that_was_posted_is_proof_against_another_that_was_not(case) -> None:
    case.payer.market.post_offer(case.signed(case.offer))
    posted = posted_offer(case.market, case.offer.struct_hash())
    assert isinstance(posted, OfferPosted)
    found = posted_signature(case.market, posted)
    assert found is not None
    (proof,) = offer_equivocations([found, case.signed(replace(case.offer, credit=Atoms(1)))])
    assert refusal(case.market, proof) is None


def mutated(case: Case, rng: random.Random):
    """A proof with none, one or two things wrong with it."""
    stranger = Key.generate()
    proof = getattr(case, rng.choice(["overcharge", "receipts", "offers"]))(rng.randrange(2**64))
    for _ in range(rng.randrange(3)):
        match proof:
            case Overcharge(offer=offer, receipt=receipt):
                message = receipt.message
                proof = rng.choice(
                    [
                        replace(proof, offer=replace(offer, model="another")),
                        replace(proof, offer=replace(offer, provider=stranger.address)),
                        replace(proof, receipt=case.signed(message, stranger)),
                        replace(proof, receipt=case.signed(replace(message, cost=Atoms(message.cost - 1)))),
                        replace(proof, receipt=case.signed(replace(message, cached_input_tokens=2**32 - 1))),
                        replace(proof, receipt=Signed(message, bytes(rng.randrange(256) for _ in range(65)))),
                    ]
                )
            case ReceiptEquivocation(channel=channel, first=first, second=second):
                proof = rng.choice(
                    [
                        replace(proof, second=first),
                        replace(proof, channel=replace(channel, epoch=channel.epoch ^ 1)),
                        replace(proof, channel=replace(channel, provider=stranger.address)),
                        replace(proof, first=case.signed(replace(first.message, sequence=5))),
                        replace(proof, second=case.signed(replace(second.message, channel_id=ZERO_HASH))),
                        replace(proof, second=case.signed(second.message, stranger)),
                    ]
                )
            case OfferEquivocation(first=one, second=other):
                proof = rng.choice(
                    [
                        replace(proof, first=other),
                        replace(proof, second=case.signed(replace(other.message, sequence=5))),
                        replace(proof, second=case.signed(replace(other.message, provider=stranger.address))),
                        replace(proof, first=Signed(one.message, one.signature[:64])),
                        replace(proof, first=case.signed(one.message, stranger)),
                    ]
                )
    return proof


def test_python_and_the_contract_refuse_the_same_for_the_same_reason(case) -> None:
    seen: set[str] = set()
    rng = random.Random(0x7A11)  # the same proofs every time
    for _ in range(150):
        proof = mutated(case, rng)
        expected = first_failing(steps(proof, case.domain, case.market.is_receipt_key))
        refused = refusal(case.market, proof)
        if expected is None:
            assert refused is None
            seen.add("")
            continue
        assert refused is not None, expected
        assert (refused.name, refused.arguments) == (expected.error, dict(expected.arguments))
        seen.add(expected.error)
    assert seen == {
        *("", "NotReceiptKey", "OfferMismatch", "NotOvercharged"),
        *("ChannelMismatch", "ProviderMismatch", "SequenceMismatch", "NotTwo"),
    }
