"""Duels, and what each moves. `scripts/vectors` writes them into duel.json; `tests/unit/test_duel.py` holds
Python to them, and `contracts/test/duels/vectors.t.sol` the contract, vote by vote."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from tallystick.protocol.duel import STAKE_PARTS, Panel, Vote, moved
from tallystick.protocol.units import Atoms

LETTERS: Final = {
    Vote.FIRST: "F",
    Vote.SECOND: "S",
    Vote.TIE: "T",
    Vote.SILENT: ".",
    Vote.DECLINED: "D",
}
VOTES: Final = {letter: vote for vote, letter in LETTERS.items()}
SHARE: Final = 400_000
PRICE: Final = 500_000
STAKE: Final = 10_000_000_000


def panel(
    votes: str, *, fee: int | None = None, known: Vote | None = None, stakes: list[int] | None = None
) -> Panel:
    return Panel(
        votes=[VOTES[letter] for letter in votes],
        fee=Atoms(SHARE * len(votes) if fee is None else fee),
        stakes=[Atoms(stake) for stake in stakes or [STAKE] * len(votes)],
        known=known,
    )


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    usual = {"price": PRICE, "first_stake": STAKE, "second_stake": STAKE}
    for votes in ("FFFFF", "SSSSS", "TTTTT", "FFFSS", "SFTSS", "FFSST", "FFF", "SST", "FST"):
        yield f"{votes}", {"panel": panel(votes), **usual}
    for votes in ("FFF..", "FF...", "SSSD.", "DDDDD", ".....", "FFFDS", "TT.DS"):
        yield f"{votes} where some say nothing", {"panel": panel(votes), **usual}
    for votes, known in (
        ("FFFST", Vote.FIRST),
        ("FFFST", Vote.SECOND),
        ("SSSFT", Vote.SECOND),
        ("FFSST", Vote.TIE),
    ):
        yield f"{votes} with a known verdict: {known.value}", {"panel": panel(votes, known=known), **usual}
    yield "a fee that does not divide", {"panel": panel("FFFSS", fee=1_234_567), **usual}
    yield "a fee too small for the prize", {"panel": panel("FFFSS", fee=5_003), **usual}
    yield (
        "a loser with a small stake",
        {"panel": panel("FFFFF"), "price": PRICE, "first_stake": STAKE, "second_stake": 7_777},
    )
    yield (
        "a loser with hardly any",
        {"panel": panel("SSSSS"), "price": PRICE, "first_stake": STAKE_PARTS - 1, "second_stake": STAKE},
    )
    yield "an answer that cost nothing", {"panel": panel("FFFSS"), **usual | {"price": 0}}
    poor = [STAKE_PARTS * 7 + 1] * 5
    yield "judges with small stakes", {"panel": panel("FFFS.", stakes=poor), **usual}
    yield "an appeal that agrees", {"panel": panel("FFFSS"), "appeal": panel("FFFFFFFFSTT"), **usual}
    yield "an appeal that does not", {"panel": panel("FFFSS"), "appeal": panel("SSSSSSSFFT."), **usual}
    yield "an appeal that ties", {"panel": panel("FFFST"), "appeal": panel("SSSSSFFFFF."), **usual}
    yield "an appeal of a tie", {"panel": panel("FFSS."), "appeal": panel("FFFFFFFSSSD"), **usual}
    yield (
        "an appeal of a known verdict, dearer",
        {"panel": panel("TTFS.", known=Vote.SECOND), "appeal": panel("SSSSSSSSSSF", fee=11_000_003), **usual},
    )
    random = Random(7)
    for number in range(10):
        first = "".join(random.choices("FST.D", (5, 3, 2, 1, 1), k=5))
        last = "".join(random.choices("FST.D", (4, 4, 2, 1, 1), k=11))
        if len(set(first)) == 1 and first[0] in "FST":
            continue  # All agree: there is no appeal.
        fee = random.randrange(5_000, 4_000_000)
        yield (
            f"by chance, {number}",
            {
                "panel": panel(first, fee=fee, stakes=[random.randrange(1, STAKE) for _ in range(5)]),
                "appeal": panel(
                    last,
                    fee=11 * (fee // 5) + random.randrange(1_000),
                    stakes=[random.randrange(1, STAKE) for _ in range(11)],
                ),
                "price": random.randrange(1, 1_000_000),
                "first_stake": random.randrange(1, STAKE),
                "second_stake": random.randrange(1, STAKE),
            },
        )


def panel_json(value: Panel) -> dict[str, Any]:
    return {
        "votes": "".join(LETTERS[vote] for vote in value.votes),
        "fee": str(value.fee),
        "stakes": [str(stake) for stake in value.stakes],
        "known": LETTERS[value.known] if value.known else "",
    }


def panel_of(data: dict[str, Any]) -> Panel:
    known = VOTES[data["known"]] if data["known"] else None
    return panel(
        data["votes"], fee=int(data["fee"]), stakes=[int(stake) for stake in data["stakes"]], known=known
    )


def duel_cases() -> dict[str, Any]:
    made = []
    for name, given in cases():
        done = moved(**given)
        made.append(
            {
                "name": name,
                "panel": panel_json(given["panel"]),
                **({"appeal": panel_json(given["appeal"])} if "appeal" in given else {}),
                "price": str(given["price"]),
                "firstStake": str(given["first_stake"]),
                "secondStake": str(given["second_stake"]),
                "moved": {
                    "first": str(done.first),
                    "second": str(done.second),
                    "challenger": str(done.challenger),
                    "appellant": str(done.appellant),
                    "judges": [str(amount) for amount in done.judges],
                    "burnt": str(done.burnt),
                },
            }
        )
    return {"cases": made}
