"""What the duellists are asked, and which answers are right: sums, capitals, and what a program does.

The judges know none of these answers. Who reads the figures does, so that verdicts can be held against them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

_CAPITALS: Final = {
    "Austria": "Vienna",
    "Chile": "Santiago",
    "Cuba": "Havana",
    "Egypt": "Cairo",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Ghana": "Accra",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iran": "Tehran",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Nepal": "Kathmandu",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Russia": "Moscow",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Thailand": "Bangkok",
}
_PROGRAMS: Final = (
    *("cat", "chown", "cp", "cut", "date", "df", "du", "echo", "find", "grep", "head", "kill"),
    *("ln", "ls", "mkdir", "mv", "ps", "pwd", "rm", "sed", "sort", "tail", "tar", "touch", "uniq", "wc"),
)
_MOST: Final = 20
"""Of what is added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    text: str
    right: str = ""
    """What a right answer says, as a word of its own; empty: nobody says here which answers are right."""

    def is_right(self, answer: str) -> bool | None:
        """None: there is no telling."""
        if not self.right:
            return None
        return re.search(rf"\b{re.escape(self.right)}\b", answer) is not None


def drawn(count: int, seed: int) -> Sequence[Question]:
    """So many, none twice before every one was there; the same ones for one seed."""
    random = Random(seed)
    found: list[Question] = []
    while len(found) < count:
        found += random.sample(every := _all(), len(every))
    return found[:count]


def _all() -> list[Question]:
    capitals = [
        Question(text=f"What is the capital of {country}?", right=city) for country, city in _CAPITALS.items()
    ]
    numbers = range(1, _MOST + 1)
    sums = [
        Question(text=f"What is {one} plus {other}?", right=str(one + other))
        for one in numbers
        for other in numbers
        if (one + 2 * other) % 5 == 0  # a fifth of them, or there would be little else
    ]
    programs = [Question(text=f"What does {name} do?") for name in _PROGRAMS]
    return [*capitals, *sums, *programs]
