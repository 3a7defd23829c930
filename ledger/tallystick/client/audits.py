"""What a payer wants of audits, and what its requests carry for them. Pure: chance comes in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.units import Atoms

CHAT_PATH: Final = "/v1/chat/completions"
SEEDS: Final = 1 << 31
MOST_FRESH: Final = 32
"""Drawn answers that a channel's next audit waits for, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audits:
    """A payer's wish that what it buys is held against the promised model, behind its callers' backs.

    Which answers are, the lottery says: one in a hundred, more of a channel's first ones. Auditors read what
    was asked and answered. One that says `{"tallystick": {"audit": false}}` is shown to none of them, and one
    that says `{"private": true}` there to no judge either."""

    budget: Atoms | int
    """Atoms that audits may cost, over the whole life of a purse and within its own budget. Once they are
    spent there are no more."""
    answers: int = 4
    """Of one channel that were drawn, before its first audit. The next one waits for as many again as an
    auditor was shown then, so that what is shown twice is no more than what is shown once."""
    opinions: int = 3
    """Auditors that are asked about what the first one finds to be another model's."""
    logprobs: bool = True
    """Requests ask for log-probabilities, which tell a rounded copy within a hundred tokens. Callers that did
    not ask do not see them."""

    def __post_init__(self) -> None:
        for number in (self.budget, self.answers, self.opinions):
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"Atoms, answers and opinions are whole numbers, not {number!r}.")
        if self.budget < 0 or self.answers < 1 or self.opinions < 1:
            raise ValueError(
                "An audit has an answer and an opinion at least, and costs no less than nothing."
            )

    def adds(self, path: str, fields: Mapping[str, object], seed: int) -> dict[str, object]:
        """To a request for one answer, what its caller did not say. `seed`: by chance, below `SEEDS`."""
        added: dict[str, object] = {}
        if self.logprobs and fields.get("logprobs") in (None, False) and not fields.get("echo"):
            added["logprobs"] = True if path == CHAT_PATH else 0
        if fields.get("temperature") != 0 and fields.get("seed") is None:
            added["seed"] = seed
        return added

    def is_due(self, fresh: int, shown: int) -> bool:
        """Whether there are enough `fresh` ones of a channel, an auditor having been `shown` so many
        before."""
        return fresh >= min(shown or self.answers, MOST_FRESH)
