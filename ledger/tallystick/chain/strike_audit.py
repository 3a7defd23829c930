"""An accusation, checked step by step from what the chain has of it: that its receipts and auditors were
drawn, that its re-auditors were, that ballots are theirs, what they come to, and that every atom moved as it
should.

It asks nobody and trusts no outcome: who has the facts of a node of its own comes to the same steps.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tallystick.chain.audits import Exhibit, Revealed
from tallystick.chain.stepping import signer_of, step
from tallystick.chain.strike_telling import said_from
from tallystick.protocol.audit import Step
from tallystick.protocol.eip712 import Domain, named
from tallystick.protocol.lottery import is_drawn
from tallystick.protocol.panel import Candidate, drawn, seed_of
from tallystick.protocol.strikes import (
    AUDITORS,
    SEATS,
    Concluded,
    Opinion,
    Outcome,
    Reaudit,
    ballot_hash,
    concluded,
)
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikeFacts:
    receipt_hash: Hash32
    auditor: Address
    draw_block: int
    exhibit: Exhibit | None
    """As the call showed it; None: it came through another contract."""
    draw_hash: Hash32 | None
    """Of the draw block, as it is known without the call; None: it is not."""
    candidates: Sequence[Candidate]
    """At the end of the block before the one that draws."""
    staked: Atoms
    """By the auditor, when it struck."""
    stake: Atoms
    """And all that it had at stake when it was concluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReauditFacts:
    answerer: Address
    fee: Atoms
    draw_hash: Hash32 | None
    candidates: Sequence[Candidate]
    """At the end of the block that answered."""
    seats: Sequence[Address]
    """None before they are summoned."""
    opinions: Sequence[Sequence[Opinion]]
    """From each seat, of each strike, as the events have them; none of one that is silent."""
    committed: Mapping[Address, Hash32]
    revealed: Sequence[Revealed]
    """By calls to the contract itself."""
    stakes: Sequence[Atoms]
    """From each seat, when it was concluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was told when it was concluded."""

    outcome: Outcome
    outcomes: Sequence[Outcome]
    burnt: Atoms
    """All that nobody has any more."""
    gained: Mapping[Address, int]
    """Net, of each who gained or lost, the fee being its answerer's loss."""
    provider_stake: Atoms
    """Before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccusationFacts:
    domain: Domain
    accusation: Hash32
    provider: Address
    strikes: Sequence[StrikeFacts]
    keys: Mapping[Address, frozenset[Address]]
    """Every receipt key that each ever named, itself among them."""
    reaudit: ReauditFacts | None
    """None: nobody answered."""
    moved: Moved | None
    """None: it is not concluded."""


def check(facts: AccusationFacts) -> tuple[Step, ...]:
    """In the order in which an accusation goes."""
    return tuple(_steps(facts))


def _steps(facts: AccusationFacts) -> Iterator[Step]:
    for number, strike in enumerate(facts.strikes, 1):
        yield _strike(f"strike {number}", strike, facts)
    if facts.reaudit is not None:
        yield _reauditors(facts, facts.reaudit)
        yield _ballots(facts, facts.reaudit)
    if facts.moved is None:
        yield step("outcome", None, "It is not concluded yet.")
        return
    done = _concluded(facts, facts.moved)
    yield _outcome(done, facts.moved)
    yield _money(done, facts, facts.moved)


# ------------------------------------------------------------------------------------------------ strikes


def _strike(name: str, strike: StrikeFacts, facts: AccusationFacts) -> Step:
    its = strike.exhibit
    if its is None:
        return step(name, None, "It was filed through another contract, whose call is not read here.")
    receipt, finding, draw_hash = its.receipt.message, its.finding.message, its.drawing.block.hash
    receipt_hash = receipt.struct_hash()
    panel = drawn(named(b"auditors", draw_hash, receipt_hash), AUDITORS, strike.candidates, [facts.provider])
    inputs = {
        "receiptHash": receipt_hash,
        "sequence": receipt.sequence,
        "drawBlock": strike.draw_block,
        "drawHash": draw_hash,
        "auditorsDrawn": panel,
        "auditor": strike.auditor,
    }
    signer = signer_of(receipt_hash, its.receipt.signature, facts.domain)
    finder = signer_of(finding.struct_hash(), its.finding.signature, facts.domain)
    wrong = {
        "It shows another receipt than the one that it was filed for.": receipt_hash != strike.receipt_hash
        or (its.channel.id, its.channel.provider) != (receipt.channel_id, facts.provider),
        "No receipt key that the provider ever named signed the receipt.": signer
        not in facts.keys.get(facts.provider, frozenset()),
        "The header is not the draw block's.": strike.draw_hash not in (None, draw_hash),
        "The draw block does not draw this receipt.": not is_drawn(draw_hash, receipt_hash, receipt.sequence),
        "Others were drawn to audit it than who struck.": strike.auditor not in panel,
        "The auditor did not sign this finding of this receipt.": finder
        not in facts.keys.get(strike.auditor, frozenset())
        or (finding.auditor, finding.receipt_hash) != (strike.auditor, receipt_hash),
    }
    for reason, is_so in wrong.items():
        if is_so:
            return step(name, False, reason, **inputs)
    reason = (
        "The provider signed the receipt, the draw block's hash draws it and, by stake, five auditors, and "
        "one of these signed the finding."
    )
    return step(name, True, reason, **inputs)


# ------------------------------------------------------------------------------------------------ re-audit


def _reauditors(facts: AccusationFacts, reaudit: ReauditFacts) -> Step:
    if not reaudit.seats:
        return step("re-auditors", None, "They are not seated.")
    if reaudit.draw_hash is None:
        return step("re-auditors", None, "The hash that draws them is not known here.")
    parties = [facts.provider, *(strike.auditor for strike in facts.strikes)]
    seed = seed_of(reaudit.draw_hash, facts.accusation)
    found = drawn(seed, SEATS, reaudit.candidates, parties)
    inputs = {
        "seed": seed,
        "judgesEnlisted": len(reaudit.candidates),
        "excluded": parties,
        "drawn": found,
        "told": tuple(reaudit.seats),
    }
    if found != tuple(reaudit.seats):
        return step("re-auditors", False, "Others were drawn than those who are seated.", **inputs)
    reason = "Drawing again, by stake and with the draw block's hash, seats the same re-auditors."
    return step("re-auditors", True, reason, **inputs)


def _ballots(facts: AccusationFacts, reaudit: ReauditFacts) -> Step:
    if not reaudit.revealed:
        spoke = any(reaudit.opinions)
        reason = "They were revealed through another contract." if spoke else "Nobody has revealed one."
        return step("ballots", None, reason)
    said: dict[Address, Sequence[Opinion]] = {}
    for reveal in reaudit.revealed:
        auditor = reaudit.seats[reveal.seat] if reveal.seat < len(reaudit.seats) else ZERO_ADDRESS
        opened = ballot_hash(facts.accusation, auditor, reveal.opinions, reveal.salt)
        if reaudit.committed.get(auditor) == opened:
            said[auditor] = tuple(reveal.opinions)
    told = {auditor: tuple(its) for auditor, its in zip(reaudit.seats, reaudit.opinions, strict=True) if its}
    wrong = [auditor for auditor, its in told.items() if said.get(auditor) != its]
    inputs = {"committed": tuple(reaudit.committed.values()), "revealed": len(told)}
    if wrong:
        reason = "Not every re-auditor committed to the opinions that it is told with."
        return step("ballots", False, reason, wrong=wrong, **inputs)
    return step("ballots", True, "What was revealed opens what the re-auditors had committed to.", **inputs)


# ------------------------------------------------------------------------------------------------ the end


def _concluded(facts: AccusationFacts, moved: Moved) -> Concluded:
    reaudit = facts.reaudit
    return concluded(
        provider_stake=moved.provider_stake,
        striker_stakes=[strike.stake for strike in facts.strikes],
        struck_with=[strike.staked for strike in facts.strikes],
        reaudit=None
        if reaudit is None
        else Reaudit(fee=reaudit.fee, said=said_from(reaudit.seats, reaudit.opinions), stakes=reaudit.stakes),
    )


def _outcome(done: Concluded, moved: Moved) -> Step:
    inputs = {
        "ofEachStrike": done.outcomes,
        "told": tuple(moved.outcomes),
        "outcome": done.outcome,
        "toldOutcome": moved.outcome,
    }
    if (done.outcome, done.outcomes) != (moved.outcome, tuple(moved.outcomes)):
        return step("outcome", False, "What the seats say comes to another one.", **inputs)
    reason = {
        Outcome.UNANSWERED: "Nobody answered in time: it stands.",
        Outcome.UPHELD: "More than half of all seats uphold three strikes at least.",
        Outcome.CLEARED: "More than half of all seats clear a strike, and no three are upheld.",
        Outcome.OPEN: "More than half of all seats clear no strike, and uphold no three.",
    }[done.outcome]
    return step("outcome", True, reason, **inputs)


def _money(done: Concluded, facts: AccusationFacts, moved: Moved) -> Step:
    expected: Counter[Address] = Counter({facts.provider: done.provider})
    for strike, gain in zip(facts.strikes, done.strikers, strict=True):
        expected[strike.auditor] += gain
    if facts.reaudit is not None:
        expected[facts.reaudit.answerer] += done.answerer
        for auditor, gain in zip(facts.reaudit.seats, done.reauditors, strict=True):
            expected[auditor] += gain
    actual = {who: gain for who, gain in moved.gained.items() if gain}
    wrong = sorted(
        who for who in {*expected, *actual} if who != ZERO_ADDRESS and expected[who] != actual.get(who, 0)
    )
    inputs = {
        "providersStake": moved.provider_stake,
        "provider": done.provider,
        "answerer": done.answerer,
        "struck": done.strikers,
        "reaudited": done.reauditors,
        "burnt": done.burnt,
    }
    if wrong:
        return step("money", False, "The rules pay or take otherwise.", wrong=wrong, **inputs)
    if moved.burnt != done.burnt:
        return step("money", False, "The rules burn another amount.", toldBurnt=moved.burnt, **inputs)
    return step("money", True, "Every atom moved as the rules say, and none is left over.", **inputs)
