"""A duel, checked step by step from what the chain has of it: that its receipts are those which it
committed to, that its judges were drawn as the hash says, that the votes are theirs, and that every atom
moved as it should.

It asks nobody and trusts no verdict: who has the facts of a node of its own comes to the same steps.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tallystick.chain.duels import Answer, Case, CastVote
from tallystick.chain.stepping import signer_of, step
from tallystick.protocol.audit import Step
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.duel import Panel, Vote, moved, verdict
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.panel import Candidate, drawn, seed_of
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Address, Atoms, Hash32
from tallystick.protocol.vote import (
    Ballot,
    Choice,
    VoteCommitment,
    choice_of,
    duel_commitment,
    duel_id,
    hidden_hash,
    vote_of_choice,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelFacts:
    """What the chain has of a duel's panel, or of its appeal's."""

    duel: Hash32
    wanted_by: Address
    """The challenger, or who appealed."""
    fee: Atoms
    seats: int
    draw_hash: Hash32 | None
    """Of the block that draws; None: not there yet, or not known."""
    seed: Hash32 | None
    """Sealed; None: it was not."""
    candidates: Sequence[Candidate]
    """At the end of the block that opened it, in the order of slots."""
    judges: Sequence[Address]
    choices: Sequence[Choice]
    known: Choice
    """As the contract counts it: none for an appeal."""
    verdict: Choice
    price: Atoms
    votes: Sequence[CastVote]
    """As the call that decided it showed them; none where it was decided by what was revealed on chain."""
    committed: Mapping[Address, Hash32]
    """Ballot hashes that were entered on chain."""
    revealed: Mapping[Address, tuple[Choice, Hash32]]
    """Choices and salts that were."""
    keys: Mapping[Address, frozenset[Address]]
    """Of each judge all receipt keys that it had named when it was decided, itself among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One movement in the order of the chain."""

    owner: Address
    gained: int
    """Atoms; what a judge lost of its stake is negative."""
    stake: Atoms = Atoms(0)
    """Of a judge that lost: what it had at stake before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFacts:
    """What moved when a duel ended."""

    verdict: Choice
    prize: Atoms
    to_winner: Atoms
    burnt: Atoms
    loser: Address | None
    """Whose stake the prize came from."""
    loser_stake: Atoms
    """Before."""
    payments: Sequence[Payment]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelFacts:
    domain: Domain
    duel: Hash32
    challenger: Address
    case: Case | None
    """As a call showed it; None: none did, or it came through another contract."""
    known: Choice
    salt: Hash32 | None
    """Both of the call that decided it."""
    receipt_keys: Mapping[Address, frozenset[Address]]
    """Every one that each duellist ever named."""
    first_receipt: Hash32 | None
    second_receipt: Hash32 | None
    """Struct hashes, as the decision told them."""
    panels: Sequence[PanelFacts]
    """Those that are decided: the first, and the appeal's."""
    money: MoneyFacts | None
    """None: it has not moved."""


def check(facts: DuelFacts) -> tuple[Step, ...]:
    """In the order in which a duel goes."""
    return tuple(_steps(facts))


def _steps(facts: DuelFacts) -> Iterator[Step]:
    case = facts.case
    if case is None:
        yield step("commitment", None, "Its receipts were not shown on chain yet, or by another contract.")
    else:
        yield _commitment(facts, case)
        yield _answer("first receipt", case.first, case, facts)
        yield _answer("second receipt", case.second, case, facts)
        yield _known(facts, case)
    for number, panel in enumerate(facts.panels):
        name = "appeal's " if number else ""
        yield _draw(name, panel, facts)
        yield _ballots(name, panel, facts)
        yield _verdict(name, panel, facts)
    yield _money(facts)


# ------------------------------------------------------------------------------------------------ the case


def _hashes(case: Case) -> tuple[Hash32, Hash32]:
    return case.first.receipt.message.struct_hash(), case.second.receipt.message.struct_hash()


def _commitment(facts: DuelFacts, case: Case) -> Step:
    first, second = _hashes(case)
    found = duel_id(facts.challenger, duel_commitment(first, second, case.hidden))
    told = facts.first_receipt is None or (facts.first_receipt, facts.second_receipt) == (first, second)
    holds = found == facts.duel and told
    reason = (
        "The duel's name is the hash of its challenger and of these two receipts: they were fixed before its "
        "judges could be known."
        if holds
        else "These receipts are not those that the duel committed to."
    )
    inputs = {"challenger": facts.challenger, "firstReceiptHash": first, "secondReceiptHash": second}
    return step("commitment", holds, reason, **inputs, hidden=case.hidden, duel=found)


def _answer(name: str, answer: Answer, case: Case, facts: DuelFacts) -> Step:
    receipt = answer.receipt.message
    key = ChannelKey(
        payer=facts.challenger,
        provider=answer.provider,
        session_key=answer.session_key,
        epoch=answer.epoch,
    )
    requested = keccak(receipt.offer_hash + case.body_hash)
    signer = signer_of(receipt.struct_hash(), answer.receipt.signature, facts.domain)
    inputs = {"provider": answer.provider, "channelId": key.id, "requestHash": requested, "signer": signer}
    if receipt.channel_id != key.id:
        return step(
            name, False, "It is of another channel than the challenger's with this provider.", **inputs
        )
    if receipt.request_hash != requested:
        return step(name, False, "It is of another request than the other receipt.", **inputs)
    if signer != answer.provider and signer not in facts.receipt_keys.get(answer.provider, frozenset()):
        return step(name, False, "No receipt key that the provider ever named signed it.", **inputs)
    reason = "A receipt key of the provider signed it, for the challenger's channel and the request of both."
    return step(name, True, reason, **inputs)


def _known(facts: DuelFacts, case: Case) -> Step:
    if facts.salt is None:
        return step("hidden verdict", None, "Nobody has shown what the case hides.", hidden=case.hidden)
    found = hidden_hash(facts.known, facts.salt)
    inputs = {"known": facts.known, "salt": facts.salt, "hidden": found}
    if found != case.hidden:
        if facts.known is Choice.NONE and facts.panels and not facts.panels[0].votes:
            reason = "Somebody else counted, who need not know it: then it does not count."
            return step("hidden verdict", None, reason, **inputs)
        return step("hidden verdict", False, "It is not what the case hides.", **inputs)
    if facts.known is Choice.NONE:
        return step("hidden verdict", True, "The challenger knew no verdict beforehand.", **inputs)
    reason = f"A known verdict: its challenger knew that it is {facts.known.name.lower()}, and hid it."
    return step("hidden verdict", True, reason, **inputs)


# ------------------------------------------------------------------------------------------------ judges


def _draw(name: str, panel: PanelFacts, facts: DuelFacts) -> Step:
    name += "judges"
    if not panel.judges:
        return step(name, None, "They are not told yet.")
    seed = seed_of(panel.draw_hash, panel.duel) if panel.draw_hash is not None else panel.seed
    if seed is None or facts.case is None:
        return step(name, None, "The hash that draws them, or who duels, is not known here.")
    if panel.seed not in (None, seed):
        return step(
            name, False, "The seed that was sealed is not the draw block's.", sealed=panel.seed, seed=seed
        )
    parties = [facts.challenger, facts.case.first.provider, facts.case.second.provider]
    found = drawn(seed, panel.seats, panel.candidates, parties)
    inputs = {
        "seed": seed,
        "judgesEnlisted": len(panel.candidates),
        "drawn": found,
        "told": tuple(panel.judges),
    }
    inputs["sumOfWeights"] = sum(candidate.weight for candidate in panel.candidates)
    if found != tuple(panel.judges):
        return step(name, False, "Others were drawn than those who judged.", **inputs)
    return step(
        name, True, "Drawing again, by stake and with the draw block's hash, gives the same judges.", **inputs
    )


def _ballots(name: str, panel: PanelFacts, facts: DuelFacts) -> Step:
    name += "ballots"
    if facts.case is None:
        return step(name, None, "Without the case it cannot be said what they are about.")
    if panel.votes and len(panel.votes) != len(panel.judges):
        return step(name, False, "There are not as many as judges.")
    wrong: list[Address] = []
    hashes: list[Hash32] = []
    for number, (judge, choice) in enumerate(zip(panel.judges, panel.choices, strict=True)):
        if judge == ZERO_ADDRESS:
            continue
        vote = panel.votes[number] if panel.votes else None
        ballot_hash, holds = _ballot(panel, facts, facts.case, judge, choice, vote)
        hashes.append(ballot_hash)
        if not holds:
            wrong.append(judge)
    inputs = {"ballotHashes": tuple(hashes)}
    if wrong:
        reason = "Not every judge committed to the choice that it is told with."
        return step(name, False, reason, wrong=wrong, **inputs)
    reason = (
        "Each judge's key signed the hash of its ballot, which opens to the choice that it is told with."
        if panel.votes
        else "What was revealed on chain opens the ballots that the judges had committed to there."
    )
    return step(name, True, reason, **inputs)


def _ballot(
    panel: PanelFacts, facts: DuelFacts, case: Case, judge: Address, choice: Choice, vote: CastVote | None
) -> tuple[Hash32, bool]:
    """The hash of its ballot, and whether the judge had bound itself to it."""
    if vote is None:
        committed = panel.committed.get(judge)
        if choice is Choice.NONE:
            return committed or ZERO_HASH, judge not in panel.revealed
        if choice is Choice.DECLINED:
            return ZERO_HASH, committed == ZERO_HASH
        said, salt = panel.revealed.get(judge, (Choice.NONE, ZERO_HASH))
        found = _ballot_hash(panel.duel, case, judge, said, salt)
        return found, (said, committed) == (choice, found)
    found = _ballot_hash(panel.duel, case, judge, vote.choice, vote.salt)
    bound = VoteCommitment(duel=panel.duel, judge=judge, ballot_hash=found).struct_hash()
    signer = signer_of(bound, vote.signature, facts.domain)
    signed_two = panel.committed.get(judge, ZERO_HASH) not in (ZERO_HASH, found)  # It has said nothing then.
    said = Choice.NONE if signed_two else vote.choice
    return found, said is choice and signer in panel.keys.get(judge, frozenset())


def _ballot_hash(duel: Hash32, case: Case, judge: Address, choice: Choice, salt: Hash32) -> Hash32:
    return Ballot(
        duel=duel,
        judge=judge,
        body_hash=case.body_hash,
        first_response_hash=case.first.receipt.message.response_hash,
        second_response_hash=case.second.receipt.message.response_hash,
        choice=choice,
        salt=salt,
    ).struct_hash()


def _votes(panel: PanelFacts) -> list[Vote]:
    return [vote_of_choice(choice) for choice in panel.choices]


def _verdict(name: str, panel: PanelFacts, facts: DuelFacts) -> Step:
    name += "verdict"
    said = choice_of(verdict(_votes(panel)))
    inputs = {"choices": tuple(panel.choices), "majority": said, "told": panel.verdict, "price": panel.price}
    if said is not panel.verdict:
        return step(name, False, "More than half of all seats do not say so.", **inputs)
    if facts.case is not None:
        costs = (facts.case.first.receipt.message.cost, facts.case.second.receipt.message.cost)
        if max(costs) != panel.price:
            return step(name, False, "The price it is worth is not that of the dearer answer.", **inputs)
    reason = "No side has more than half of all seats: it is a tie."
    if said is not Choice.TIE:
        reason = f"More than half of all seats say that the {said.name.lower()} is better."
    return step(name, True, reason, **inputs)


# ------------------------------------------------------------------------------------------------ money


def _money(facts: DuelFacts) -> Step:
    money = facts.money
    if money is None or not facts.panels:
        return step("money", None, "It has not moved yet.")
    first, *appeal = facts.panels
    last = facts.panels[-1]
    panels = [_panel(first, reversed(money.payments)), *(_panel(one, money.payments) for one in appeal)]
    done = moved(
        panels[0],
        price=facts.panels[0].price,
        first_stake=money.loser_stake,
        second_stake=money.loser_stake,
        appeal=panels[1] if len(panels) > 1 else None,
    )
    expected = list(_payments(facts.panels, panels, done.judges))
    actual = [(payment.owner, payment.gained) for payment in money.payments]
    penalties = sum(-payment.gained for payment in money.payments if payment.gained < 0)
    paid_in = sum(panel.fee for panel in facts.panels) + money.prize + penalties
    paid_out = sum(payment.gained for payment in money.payments if payment.gained > 0) + money.to_winner
    inputs = {
        "fees": sum(panel.fee for panel in facts.panels),
        "prize": money.prize,
        "penalties": penalties,
        "toWinner": money.to_winner,
        "toJudgesAndBack": paid_out - money.to_winner,
        "burnt": money.burnt + penalties,
    }
    if money.verdict is not last.verdict:
        return step("money", False, "It moved by another verdict.", **inputs)
    if paid_in != paid_out + money.burnt + penalties:
        return step("money", False, "What came in is not what went out and was burnt.", **inputs)
    gained = max(done.first, done.second, 0)
    lost = -min(done.first, done.second, 0)
    if (lost, gained, int(done.burnt)) != (money.prize, money.to_winner, money.burnt + penalties):
        return step("money", False, "The rules come to another prize, or burn another amount.", **inputs)
    if expected != actual:
        return step("money", False, "The rules pay the judges, or the rest of a fee, otherwise.", **inputs)
    return step("money", True, "Every atom moved as the rules say, and none is left over.", **inputs)


def _panel(panel: PanelFacts, payments: Iterable[Payment]) -> Panel:
    """`payments`: of two of one judge the later one counts."""
    stakes = {candidate.provider: candidate.weight for candidate in panel.candidates}
    stakes |= {payment.owner: payment.stake for payment in payments if payment.gained < 0}
    return Panel(
        votes=_votes(panel),
        fee=panel.fee,
        stakes=[stakes.get(judge, Atoms(0)) for judge in panel.judges],
        known=None if panel.known is Choice.NONE else vote_of_choice(panel.known),
    )


def _payments(
    facts: Sequence[PanelFacts], panels: Sequence[Panel], amounts: Sequence[int]
) -> Iterator[tuple[Address, int]]:
    """In the order in which the contract pays: the judges of a panel, then the rest of its fee."""
    said = verdict(panels[-1].votes)
    overturned = verdict(panels[0].votes) is not said
    left = iter(amounts)
    for its, panel in zip(facts, panels, strict=True):
        rest = int(panel.fee)
        for judge, vote in zip(its.judges, panel.votes, strict=True):
            amount = next(left)
            if judge == ZERO_ADDRESS:
                continue
            if amount:
                yield judge, amount
            rest -= panel.share if vote is Vote.DECLINED else min(panel.share, max(0, amount))
        if rest:
            yield (facts[-1] if overturned else its).wanted_by, rest
