"""Whether a provider that splits one stake into many identities gets more requests, by the payers' own
default rule: the chance of coming first, over many seeds."""

from collections.abc import Sequence
from random import Random
from statistics import fmean

from tallystick.client.choose import Candidate, Wanted
from tallystick.client.rules import Quoted
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.status import Status
from tallystick.protocol.units import Address, Atoms, Tokens
from tallystick_node.sim.hardware import Hardware, hardware
from tallystick_node.sim.nodes import MODEL, PRICES, offer_of, stake_of

_SLOTS = 60
"""Of each provider, before any is split."""


def gained(identities: Sequence[int], *, others: int, gpu: str, draws: int, seed: int) -> Sequence[float]:
    """Requests that it gets with so many identities, over those that it gets as one. Its engine is an A100;
    the others' are `gpu`."""
    mine, theirs = hardware("Qwen3-8B", "A100"), hardware("Qwen3-8B", gpu)
    rest = [_candidate(number, theirs, _SLOTS) for number in range(1, others + 1)]
    whole = _share(rest, [_candidate(1_000, mine, _SLOTS)], draws, seed)
    return [
        _share(rest, [_candidate(2_000 + i, mine, _SLOTS // count) for i in range(count)], draws, seed)
        / whole
        for count in identities
    ]


def _share(rest: Sequence[Candidate], own: Sequence[Candidate], draws: int, seed: int) -> float:
    rule, random = Quoted(), Random(f"{seed} splitting")
    names = {candidate.posted.offer_hash for candidate in own}
    found = []
    for _ in range(draws):
        wanted = Wanted(
            model=MODEL, input_tokens=Tokens(1_155), output_tokens=Tokens(211), seed=random.getrandbits(64)
        )
        chances = rule.chances([*rest, *own], wanted)
        found.append(sum(chance for item, chance in chances if item.posted.offer_hash in names))
    return fmean(found)


def _candidate(number: int, engine: Hardware, slots: int) -> Candidate:
    """An engine that serves twenty requests. Identities of one engine say the same of it."""
    provider = Address(number.to_bytes(20, "big"))
    offer = offer_of(provider, PRICES)
    status = Status(
        provider=provider,
        offer_hash=offer.struct_hash(),
        sequence=0,
        room=100,
        running=20,
        waiting=0,
        context=Tokens(25_000),
        queued=Tokens(0),
        parameters=0,
        quantization="",
        speed=engine.speed,
    )
    posted = PostedOffer(offer=offer, offer_hash=status.offer_hash, stake=stake_of(provider, Atoms(slots)))
    return Candidate(posted=posted, seen=Seen(status=status, age_ms=500, suspected=False, ratio=1.0))
