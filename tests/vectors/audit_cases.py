"""Receipts that are good, and bad in every way that the protocol tells apart, with what the chain says.

`scripts/vectors` writes them into audit.json with the steps that `tallystick.protocol.audit` comes to; the
page's own verifier is held to the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tallystick.protocol.audit import checked
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import ChannelDocument, ReceiptDocument, Vouched, document_to_json, proofs
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.facts import Facts, Posted, Settlement, facts_to_json
from tallystick.protocol.merkle import root
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, compact, sign
from tallystick.protocol.voucher import Acknowledgement, Voucher


def hash_of(label: str) -> Any:
    return keccak(b"tallystick audit " + label.encode())


PAYER, PROVIDER, RECEIPT_KEY, OLDER_KEY, SESSION, STRANGER = (
    Key(hash_of(name)) for name in ("payer", "provider", "receipt key", "older key", "session", "stranger")
)
DOMAIN = Domain(chain_id=31337, contract=hash_of("market")[:20])
CHANNEL = ChannelKey(payer=PAYER.address, provider=PROVIDER.address, session_key=SESSION.address)
OTHER_CHANNEL = replace(CHANNEL, epoch=1)
POSTED_AT, VALID_UNTIL, RECEIVED_AT = 1_790_000_000, 1_790_864_000, 1_790_000_100
OFFER = Offer(
    provider=PROVIDER.address,
    sequence=3,
    endpoint="https://provider.example:8443",
    endpoint_key=hash_of("endpoint key"),
    model="модель/qwen3-8b·🧾",
    model_hash=hash_of("model"),
    input_price=150_000,
    cached_input_price=15_000,
    output_price=600_000,
    context_length=32_768,
    credit=20_000,
    valid_until=VALID_UNTIL,
)


def receipt(sequence: int, before: int, **changes: Any) -> Receipt:
    """At the offer's price, unless the changes say otherwise."""
    offer = changes.pop("offer", OFFER)
    made = Receipt(
        channel_id=CHANNEL.id,
        sequence=sequence,
        offer_hash=offer.struct_hash(),
        request_hash=hash_of(f"request {sequence}"),
        response_hash=hash_of(f"response {sequence}"),
        tokens_hash=hash_of(f"tokens {sequence}"),
        input_tokens=1_204 + sequence,
        cached_input_tokens=1_024,
        output_tokens=256 + 7 * sequence,
        finish=Finish.STOP,
        received_at=RECEIVED_AT * 1000 + 250,
        first_token_at=RECEIVED_AT * 1000 + 430,
        finished_at=RECEIVED_AT * 1000 + 3_412,
        cost=0,
        cumulative_cost=0,
    )
    made = replace(made, **{name: value for name, value in changes.items() if "cost" not in name})
    counts = {name: getattr(made, name) for name in ("input_tokens", "cached_input_tokens", "output_tokens")}
    counts["cached_input_tokens"] = min(counts["cached_input_tokens"], counts["input_tokens"])
    made = replace(made, cost=changes.get("cost", cost_up(offer, **counts) + changes.get("extra_cost", 0)))
    return replace(made, cumulative_cost=changes.get("cumulative_cost", before + made.cost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """Five receipts of one channel; the last may be another one. Settled at three, and at all."""

    receipts: tuple[Signed[Receipt], ...]
    acknowledgements: tuple[Acknowledgement, ...]
    facts: Facts

    @classmethod
    def of(cls, key: Key = RECEIPT_KEY, **changes: Any) -> "Half":
        """`changes`: what is other in the last receipt."""
        made: list[Receipt] = []
        for sequence in range(5):
            before = made[-1].cumulative_cost if made else 0
            made.append(receipt(sequence, before, **(changes if sequence == 4 else {})))
        signed = tuple(sign(item, DOMAIN, key if item.sequence == 4 else RECEIPT_KEY).signed for item in made)
        acknowledgements = (acknowledged(made[:3]), acknowledged(made, hash_of("carrier"), 77))
        settlements = tuple(
            settlement(10 * (number + 1), made[ack.receipt_count - 1].cumulative_cost, ack)
            for number, ack in enumerate(acknowledgements)
        )
        return cls(receipts=signed, acknowledgements=acknowledgements, facts=facts(settlements=settlements))

    def document(self, place: int = 4, which: int = 1) -> ReceiptDocument:
        covered = self.receipts[: self.acknowledgements[which].receipt_count]
        return proofs(DOMAIN, covered, [self.acknowledgements[which]])[place]


def acknowledged(receipts: list[Receipt], request_hash: Any = bytes(32), nonce: int = 0) -> Acknowledgement:
    return Acknowledgement(
        receipt_count=len(receipts),
        receipts_root=root([item.struct_hash() for item in receipts]),
        request_hash=request_hash,
        request_nonce=nonce,
    )


def settlement(block: int, settled: int, acknowledgement: Acknowledgement) -> Settlement:
    return Settlement(
        settled=settled,
        acknowledgement_hash=acknowledgement.struct_hash(),
        block=block,
        log_index=block % 7,
        transaction=hash_of(f"transaction {block}"),
        timestamp=POSTED_AT + 12 * block,
    )


def facts(**changes: Any) -> Facts:
    known = Facts(
        domain=DOMAIN,
        block=100,
        channel=CHANNEL,
        offers={OFFER.struct_hash(): Posted(offer=OFFER, posted_at=POSTED_AT)},
        receipt_keys={PROVIDER.address: frozenset((RECEIPT_KEY.address, OLDER_KEY.address))},
    )
    return replace(known, **changes)


def posted(offer: Offer = OFFER, **changes: Any) -> dict[str, Any]:
    return {"offers": {offer.struct_hash(): Posted(offer=offer, posted_at=POSTED_AT, **changes)}}


def closed(half: Half) -> Facts:
    """Settled at three receipts, and closed by both sides at all of them."""
    first, second = half.facts.settlements
    return replace(half.facts, settlements=(first, replace(second, acknowledgement_hash=None)))


def vouched(half: Half, key: Key = SESSION, less: int = 0) -> ReceiptDocument:
    """The last receipt, under a voucher that nothing on chain carried."""
    amount = half.receipts[-1].message.cumulative_cost - less
    acknowledgement = acknowledged([item.message for item in half.receipts])
    voucher = Voucher(channel_id=CHANNEL.id, cumulative_amount=amount, acknowledgement=acknowledgement)
    return proofs(DOMAIN, half.receipts, [], sign(voucher, DOMAIN, key).signed)[-1]


Case = tuple[str, Any, Facts]


def good() -> Iterator[Case]:
    half = Half.of()
    yield "paid by the first settlement", document_to_json(half.document(1, 0)), half.facts
    yield "paid by the first, shown under the second", document_to_json(half.document(1)), half.facts
    yield "paid by the second settlement", document_to_json(half.document()), half.facts
    older = Half.of(OLDER_KEY)
    yield "signed by a key named before", document_to_json(older.document()), older.facts
    own = Half.of(PROVIDER)
    yield "signed by the provider's own key", document_to_json(own.document()), own.facts
    document = half.document()
    r, vs = compact(document.signed.signature)
    short = replace(document, signed=Signed(document.signed.message, r + vs))
    yield "a signature of 64 bytes", document_to_json(short), half.facts
    yield "without the market's name", document_to_json(replace(document, domain=None)), half.facts
    yield "paid by a close, and vouched for", document_to_json(vouched(half)), closed(half)
    yield "settled, and vouched for anew", document_to_json(vouched(half)), half.facts
    free = replace(OFFER, input_price=0, cached_input_price=0, output_price=0)
    gift = Half.of(offer=free)
    yield "for nothing", document_to_json(gift.document()), replace(gift.facts, **posted(free))
    top = replace(OFFER, output_price=(1 << 64) - 1, model='"quotes" \\ <script>\u202e\x00')
    dear = Half.of(offer=top, output_tokens=(1 << 32) - 1)
    yield "the highest price", document_to_json(dear.document()), replace(dear.facts, **posted(top))


def not_paid() -> Iterator[Case]:
    half = Half.of()
    data = document_to_json(half.document())
    bare = {name: data[name] for name in ("receipt", "signature")}
    yield "a receipt as the wire has it", bare, half.facts
    yield "not settled at all", data, facts()
    yield "vouched for, and not settled", document_to_json(vouched(half)), facts()
    yield "paid by a close that says not for what", data, closed(half)
    yield (
        "settled up to an earlier receipt",
        data,
        replace(half.facts, settlements=half.facts.settlements[:1]),
    )
    capped = replace(half.facts.settlements[1], settled=half.facts.settlements[1].settled - 1)
    yield (
        "the cap paid an atom less",
        data,
        replace(half.facts, settlements=[half.facts.settlements[0], capped]),
    )
    yield "a channel that the chain has not seen", data, facts(channel=None)


def bad() -> Iterator[Case]:
    half, forged = Half.of(), Half.of(STRANGER)
    yield "forged by a stranger", document_to_json(forged.document()), forged.facts
    document = half.document()
    high = b"\x01" * 32 + b"\xff" * 32 + b"\x1b"
    for name, signature in (("zeros", bytes(65)), ("nothing", b""), ("high s", high)):
        signed = Signed(document.signed.message, signature)
        yield f"a signature of {name}", document_to_json(replace(document, signed=signed)), half.facts
    yield "nothing is known of it", document_to_json(document), Facts(domain=DOMAIN, block=0)
    yield "by the key of another provider", document_to_json(document), facts(
        receipt_keys={STRANGER.address: frozenset((RECEIPT_KEY.address,))},
        settlements=half.facts.settlements,
    )  # fmt: skip
    for extra, name in (
        (1, "overcharged by an atom"),
        (-1, "an atom too cheap"),
        (10**30, "overcharged absurdly"),
    ):
        other = Half.of(extra_cost=extra)
        yield name, document_to_json(other.document()), other.facts
    cached = Half.of(input_tokens=9, cached_input_tokens=10)
    yield "more cached than there was", document_to_json(cached.document()), cached.facts
    for name in ("outputTokens", "cost", "cumulativeCost", "sequence", "receivedAt"):
        data = document_to_json(half.document(2))
        data["receipt"][name] = str(int(data["receipt"][name]) - 1)
        yield f"{name} altered", data, half.facts
    data = document_to_json(half.document())
    data["proof"][0] = data["proof"][0][:-1] + ("0" if data["proof"][0][-1] != "0" else "1")
    yield "a proof that is off by a digit", data, half.facts
    yield "no proof at all", {name: data[name] for name in data if name != "proof"}, half.facts
    elsewhere = sign(
        receipt(2, 0, channel_id=OTHER_CHANNEL.id, cumulative_cost=999), DOMAIN, RECEIPT_KEY
    ).signed
    stray = replace(half.document(2), signed=elsewhere)
    yield "another channel's proof", document_to_json(stray), replace(half.facts, channel=OTHER_CHANNEL)
    unsettled = acknowledged([item.message for item in half.receipts], hash_of("never settled"), 5)
    (*_, last) = proofs(DOMAIN, half.receipts, [unsettled])
    yield "settled under another root", document_to_json(last), half.facts
    yield "a stranger's voucher", document_to_json(vouched(half, STRANGER)), closed(half)
    yield "a voucher for an atom less", document_to_json(vouched(half, less=1)), closed(half)
    nothing = replace(vouched(half), voucher=Vouched(cumulative_amount=9**9, signature=b""))
    yield "a voucher that nobody signed", document_to_json(nothing), closed(half)
    late = replace(half.document(4), acknowledgement=half.acknowledgements[0])
    yield "not among those acknowledged", document_to_json(late), half.facts
    for name, domain in (
        ("another chain", replace(DOMAIN, chain_id=1)),
        ("another market", replace(DOMAIN, contract=STRANGER.address)),
    ):
        yield name, document_to_json(replace(document, domain=domain)), half.facts
    yield "an offer never posted", document_to_json(document), replace(half.facts, offers={})
    theirs = replace(OFFER, provider=STRANGER.address)
    named = Half.of(offer=theirs)
    yield (
        "the offer of another provider",
        document_to_json(named.document()),
        replace(named.facts, **posted(theirs)),
    )
    small = Half.of(cumulative_cost=1)
    yield "a sum below its cost", document_to_json(small.document()), small.facts
    first = sign(receipt(0, 5), DOMAIN, RECEIPT_KEY).signed
    one = acknowledged([first.message])
    (begun,) = proofs(DOMAIN, [first], [one])
    yield (
        "a first receipt with another sum",
        document_to_json(begun),
        facts(settlements=[settlement(7, 500_000, one)]),
    )


def times() -> Iterator[Case]:
    """Around the moments at which an offer begins and ends."""
    for name, seconds in (
        *(("a second before it expires", VALID_UNTIL - 1), ("as it expires", VALID_UNTIL)),
        *(("a minute less a second after", VALID_UNTIL + 59), ("a minute after", VALID_UNTIL + 60)),
        *(("a minute before it was posted", POSTED_AT - 60), ("longer before it was posted", POSTED_AT - 61)),
    ):
        half = Half.of(received_at=seconds * 1000 + 999)
        yield f"received {name}", document_to_json(half.document()), half.facts
    half = Half.of()
    for name, at in (
        ("before", RECEIVED_AT - 60),
        ("at the time of", RECEIVED_AT),
        ("after", RECEIVED_AT + 1),
    ):
        withdrawn = replace(half.facts, **posted(withdrawn_at=at))
        yield f"withdrawn {name} the request", document_to_json(half.document()), withdrawn


def formless() -> Iterator[Case]:
    half = Half.of()
    for name, thing in (("a number", 7), ("a list", []), ("nothing", {}), ("null", None)):
        yield name, thing, half.facts
    for name, path, value in (
        ("another version", ("tallystick",), "receipt/2"),
        ("a version that is no text", ("tallystick",), 1),
        ("a field too many", ("receipt", "tip"), "1"),
        ("a number that is no text", ("receipt", "cost"), 7),
        ("a number with a sign", ("receipt", "cost"), "-1"),
        ("a number with a zero before it", ("receipt", "cost"), "07"),
        ("a number too large", ("receipt", "finish"), "256"),
        ("a hash too short", ("receipt", "offerHash"), "0x00"),
        ("a hash without 0x", ("receipt", "offerHash"), "00" * 33),
        ("a signature that is no hex", ("signature",), "0xzz"),
        ("a signature of an odd length", ("signature",), "0x123"),
        ("a proof that is no list", ("proof",), "0x"),
        ("a proof of a number", ("proof",), [1]),
        ("a proof without end", ("proof",), ["0x" + "00" * 32] * 129),
        ("an acknowledgement that is none", ("acknowledgement",), {}),
        ("a chain that is no number", ("chainId",), "x"),
        ("a voucher that is none", ("voucher",), []),
        ("a voucher without a signature", ("voucher",), {"cumulativeAmount": "1"}),
    ):
        data = document_to_json(half.document())
        at = data
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        yield name, data, half.facts
    data = document_to_json(half.document())
    del data["market"]
    yield "a chain without a market", data, half.facts
    data = document_to_json(half.document())
    del data["receipt"]["finish"]
    yield "a field that is missing", data, half.facts
    data = document_to_json(vouched(half))
    del data["acknowledgement"]
    yield "a voucher of nothing", data, half.facts
    channel = ChannelDocument(domain=DOMAIN, channel=CHANNEL, receipts=half.receipts, acknowledgements=())
    yield "the document of a channel", document_to_json(channel), half.facts


GROUPS = {"good": good, "not paid": not_paid, "bad": bad, "times": times, "formless": formless}


def audit_cases() -> dict[str, Any]:
    known: list[Facts] = []
    cases = []
    for group, of_group in GROUPS.items():
        for name, data, about in of_group():
            if about not in known:
                known.append(about)
            steps = [step.to_json() for step in checked(data, about)]
            case = {"group": group, "name": name, "facts": known.index(about), "document": data}
            cases.append(case | {"steps": steps})
    return {"facts": [facts_to_json(item) for item in known], "cases": cases}
