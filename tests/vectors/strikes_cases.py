"""Cases of strikes, and what each moves. `scripts/vectors` writes them into strikes.json;
`tests/unit/test_strikes.py` holds Python to them, and `contracts/test/audits/vectors.t.sol` the contract."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.strikes import (
    MOST,
    SEATS,
    STRIKES,
    Concluded,
    Opinion,
    Reaudit,
    accusation_id,
    ballot_hash,
    concluded,
)
from tallystick.protocol.units import Address, Atoms, to_hex

OPINIONS: Final = {"U": Opinion.UPHOLD, "C": Opinion.CLEAR, "-": Opinion.NONE, ".": Opinion.NONE}
STAKE: Final = 10_000_000_000
FEE: Final = SEATS * 200_000


def said(opinions: Sequence[str]) -> list[tuple[Opinion, ...]]:
    """From each seat. `opinions`: a text for each strike, with a letter for each seat; a dash or a point
    where it says nothing, and nothing but points for one that is silent."""
    seats = list(zip(*opinions, strict=True))
    return [tuple(OPINIONS[letter] for letter in seat) if {*seat} != {"."} else () for seat in seats]


def case(
    opinions: str | Sequence[str] | None,
    *,
    fee: int = FEE,
    provider_stake: int = STAKE,
    striker_stakes: list[int] | None = None,
    struck_with: list[int] | None = None,
    stakes: list[int] | None = None,
) -> dict[str, Any]:
    """`opinions`: as `said` has them, one text where all strikes get the same; none where nobody answered."""
    texts = [opinions] * STRIKES if isinstance(opinions, str) else list(opinions or ())
    strikers = [Atoms(stake) for stake in striker_stakes or [STAKE] * STRIKES]
    staked = [Atoms(stake) for stake in struck_with or [STAKE] * STRIKES]
    seats = said(texts)
    held = [Atoms(stake) for stake in stakes or [STAKE] * len(seats)]
    reaudit = None if opinions is None else Reaudit(fee=Atoms(fee), said=seats, stakes=held)
    done = concluded(
        provider_stake=Atoms(provider_stake), striker_stakes=strikers, struck_with=staked, reaudit=reaudit
    )
    return {
        "name": f"{' '.join(dict.fromkeys(texts))} {done.outcome.name}",
        "opinions": texts,
        "fee": str(0 if opinions is None else fee),
        "providerStake": str(provider_stake),
        "strikerStakes": list(map(str, strikers)),
        "struckWith": list(map(str, staked)),
        "stakes": list(map(str, held)),
        "outcome": int(done.outcome),
        "outcomes": list(map(int, done.outcomes)),
        "standing": list(done.standing),
        "moved": moved_to_json(done),
    }


def moved_to_json(done: Concluded) -> dict[str, Any]:
    return {
        "provider": str(done.provider),
        "answerer": str(done.answerer),
        "strikers": list(map(str, done.strikers)),
        "reauditors": list(map(str, done.reauditors)),
        "burnt": str(done.burnt),
    }


def cases() -> Iterator[dict[str, Any]]:
    yield case(None)
    yield case(None, provider_stake=1)
    yield case(None, provider_stake=100 * STAKE)  # Rewards are bound by what strikers have at stake.
    yield case(None, striker_stakes=[STAKE, 8, 7])
    # What they stake once they have struck earns them nothing.
    yield case(None, provider_stake=100 * STAKE, striker_stakes=[9 * STAKE] * 3)
    yield case(
        None,
        provider_stake=100 * STAKE,
        striker_stakes=[STAKE] * 3,
        struck_with=[STAKE - 1, 2 * STAKE, STAKE + 7],
    )
    yield case("")
    for votes in (
        "U" * 11,
        "C" * 11,
        "." * 11,
        "UUUUUU.....",
        "UUUUUUCCCCC",
        "UUUUUCCCCCC",
        "CCCCCC.....",
        "UUUUUCCCCC.",
        "UUUUU......",
        "-----------",
        "UUUUU------",
    ):
        yield case(votes)
    yield case("CCCCCCCCCCC", fee=50 * STAKE)  # More than penalties make good.
    yield case("CCCCCCC....", fee=FEE + 10)
    yield case("UUUUUUU...C", fee=FEE + 10)
    yield case("UUUUUCCCC..", fee=FEE + 11)
    yield case("CCCCCCU....", fee=50 * STAKE, stakes=[STAKE] * 7 + [4_000, 3_999, 1, STAKE])
    yield case("CCCCCC.....", striker_stakes=[49, 50, STAKE])
    yield case("UUUUUUU....", provider_stake=0)
    # One that is a sham, or two, beside what is true.
    for each in (
        ("U" * 11, "U" * 11, "C" * 11),
        ("UUUUUUUUU.U", "UUUUUUUUC.U", "CCCCCCCCC.C"),
        ("CUUUUUCCCCC", "UUUUUUCCCCC", "CCCCCCCCCCC"),
        ("UUUUUUUUUUU", "CCCCCCCCCCC", "CCCCCCCCCCC"),
        ("UUUUUU.....", "UUUUUU.....", "UUUUUC....."),
        ("UUUUCC.....", "CCCCUU.....", "UUUCCC....."),
        ("CCCUU......", "CCCUU......", "CCUUU......"),
        ("CCCUU......", "CCCCC......", "CCCUU......"),
        ("UUUUUUUUUUU", "..........U", "UUUUUUUUUUU"),
        ("UUUUUUUUUUU", "UUUUUUUUUUU", "..........."),
        ("UUUUUU.....", "UUUUU......", "UUUUU......"),
        ("U.UUUUUU.C.", "CCCCCC.CC..", "....U.C...."),
        ("UUUUUU-.C.C", "CC-CCCC.C..", "UC.--------"),
        ("UU-----....", "UUU----....", "UUC----...."),
        ("UU---......", "UUUUU......", "CC---......"),
        ("CCCCCUU....", "CCCCCUUU...", "UU---......"),
    ):
        yield case(each, fee=11_000_007, striker_stakes=[STAKE, 4_999, 3 * STAKE + 1])
    random = Random(28)
    for _ in range(6):
        weights = random.choice(((6, 2), (2, 6), (1, 1)))
        texts = ["".join(random.choices("UC", weights=weights, k=SEATS)) for _ in range(STRIKES)]
        away = [random.random() < 0.2 for _ in range(SEATS)]
        yield case(
            [
                "".join("." if one else letter for letter, one in zip(text, away, strict=True))
                for text in texts
            ],
            fee=random.randrange(SEATS * 1_000, 10**9),
            provider_stake=random.randrange(1, 10**12),
            striker_stakes=[random.randrange(1, 10**11) for _ in range(STRIKES)],
            stakes=[random.randrange(1, 10**11) for _ in range(SEATS)],
        )


def names() -> list[dict[str, Any]]:
    """Of cases, and of ballots in them."""
    found = []
    for number in (0, 1, (1 << 64) - 1):
        provider = Address(keccak(b"tallystick vector provider")[12:])
        auditor = Address(keccak(b"tallystick vector auditor")[12:])
        salt = keccak(number.to_bytes(8, "big"))
        opinions = [Opinion(1 + (number + place) % 2) for place in range(STRIKES + number % 2)]
        named = accusation_id(provider, number)
        found.append(
            {
                "provider": to_hex(provider),
                "number": str(number),
                "accusation": to_hex(named),
                "auditor": to_hex(auditor),
                "opinions": list(map(int, opinions)),
                "salt": to_hex(salt),
                "ballotHash": to_hex(ballot_hash(named, auditor, opinions, salt)),
            }
        )
    return found


def more() -> Iterator[dict[str, Any]]:
    """Accusations of four strikes to eight: the contract's libraries are held to the same numbers."""
    random = Random(8)
    for count in range(STRIKES + 1, MOST + 1):
        for _ in range(6):
            right = [random.choice("UUC") for _ in range(count)]
            away = [random.random() < 0.25 for _ in range(SEATS)]
            texts = [
                "".join(
                    "." if gone else letter if random.random() < 0.7 else random.choice("UC-")
                    for gone in away
                )
                for letter in right
            ]
            yield case(
                texts,
                fee=random.randrange(SEATS * 1_000, 10**9),
                provider_stake=random.randrange(1, 10**12),
                striker_stakes=[random.randrange(1, 10**11) for _ in texts],
                struck_with=[random.randrange(1, 10**11) for _ in texts],
                stakes=[random.randrange(1, 10**11) for _ in range(SEATS)],
            )


def strikes_cases() -> dict[str, Any]:
    return {"cases": list(cases()), "names": names()}


def more_cases() -> dict[str, Any]:
    """In a file of its own: what a test on the chain reads costs it gas."""
    return {"cases": list(more())}
