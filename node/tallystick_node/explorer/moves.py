"""Every atom that a duel or an accusation moved, one movement after another, from its events. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.values import Address, Amount, Hash, shown

FEE: Final = "fee"
PRIZE: Final = "prize"
PENALTY: Final = "penalty"
SHARE: Final = "share"
REST: Final = "rest"
BURNT: Final = "burnt"
SLASH: Final = "slash"
REWARD: Final = "reward"
MADE_GOOD: Final = "made good"


@shown
class Move:
    """So many atoms, from or to somebody."""

    what: str
    """fee: posted for judges or re-auditors; prize: out of the loser's stake and into the winner's; penalty:
    out of a judge's or an auditor's stake; share: a judge's fee, with its part of the prize; rest: of a fee,
    back; burnt. Of an accusation, slash: out of the accused's stake; reward: of that, to who struck; share: a
    re-auditor's part of the fee; made good: to its answerer, out of the stakes of who struck."""
    who: Address | None
    """None: nobody, they are burnt."""
    taken: Amount
    given: Amount
    transaction_hash: Hash
    block: int
    log_index: int
    timestamp: int


def moves(events: Sequence[Event], judges: frozenset[bytes]) -> tuple[Move, ...]:
    """In order. `judges`: of its panels."""
    return tuple(_moves(events, judges))


def accusation_moves(events: Sequence[Event], reauditors: frozenset[bytes]) -> tuple[Move, ...]:
    """In order."""
    return tuple(_accusation_moves(events, {f"0x{one.hex()}" for one in reauditors}))


def _accusation_moves(events: Sequence[Event], reauditors: set[str]) -> Iterator[Move]:
    """A fee has no rest that goes back where somebody is slashed, and nobody is rewarded where nobody is."""
    slashes = any(event.name == "Audits.Concluded" and int(event.arguments["slashed"]) for event in events)
    accused = next((event.arguments["provider"] for event in events if event.name == "Audits.Accused"), None)
    for event in events:
        said = event.arguments
        match event.name:
            case "Audits.Answered":
                yield _move(event, FEE, said["answerer"], taken=said["fee"])
            case "Audits.Credited":
                owner = said["owner"]
                rest = REWARD if slashes else REST
                yield _move(event, SHARE if owner in reauditors else rest, owner, given=said["amount"])
            case "Slashed":
                what = SLASH if said["provider"] == accused else PENALTY
                taken, reward = int(said["burnt"]) + int(said["reward"]), int(said["reward"])
                yield _move(event, what, said["provider"], taken=taken)
                yield _move(event, BURNT, None, given=said["burnt"])
                if what is PENALTY and reward:  # Of a slash it goes to the audits, which credit it.
                    yield _move(event, MADE_GOOD, said["recipient"], given=reward)
            case "Audits.Concluded" if int(said["burnt"]):
                yield _move(event, BURNT, None, given=said["burnt"])


def left_over(found: Sequence[Move]) -> int:
    """Atoms that were taken and not given, or burnt: fees that wait, and nothing once a duel has ended."""
    return sum(move.taken - move.given for move in found)


def _moves(events: Sequence[Event], judges: frozenset[bytes]) -> Iterator[Move]:
    for event in events:
        said = event.arguments
        match event.name:
            case "Duels.Opened":
                yield _move(event, FEE, said["challenger"], taken=said["fee"])
            case "Awarded":
                taken = int(said["toWinner"]) + int(said["toArbiter"])
                if taken:
                    yield _move(event, PRIZE, said["loser"], taken=taken)
                    yield _move(event, PRIZE, said["winner"], given=said["toWinner"])
            case "Duels.Credited":
                share = bytes.fromhex(said["owner"][2:]) in judges
                yield _move(event, SHARE if share else REST, said["owner"], given=said["amount"])
            case "Slashed":
                taken = int(said["burnt"]) + int(said["reward"])
                yield _move(event, PENALTY, said["provider"], taken=taken)
                yield _move(event, BURNT, None, given=said["burnt"])
            case "Duels.Ended" | "Duels.Lapsed":
                if int(said["burnt"]):
                    yield _move(event, BURNT, None, given=said["burnt"])


def _move(event: Event, what: str, who: str | None, *, taken: str | int = 0, given: str | int = 0) -> Move:
    return Move(
        what=what,
        who=None if who is None else bytes.fromhex(who[2:]),
        taken=int(taken),
        given=int(given),
        transaction_hash=event.transaction_hash,
        block=event.block,
        log_index=event.log_index,
        timestamp=event.timestamp,
    )
