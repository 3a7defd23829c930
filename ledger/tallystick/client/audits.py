"""What a payer wants of audits, and what its requests carry for them. Pure: chance comes in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tallystick.client.ask import CHAT_PATH, Ask
from tallystick.client.outcome import Outcome
from tallystick.protocol.dossier import auditable
from tallystick.protocol.pricing import attachments
from tallystick.protocol.units import Atoms

SEEDS: Final = 1 << 31
MOST_FRESH: Final = 32
"""Drawn answers that a channel's next audit waits for, at most."""
_OWN_MAKING: Final = ("tools", "functions", "echo", "prompt_embeds", "use_beam_search")
"""Members of a request by which its caller may see to it itself that an honest engine leaves out ids or
log-probabilities, or gives those of the prompt with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audits:
    """A payer's wish that what it buys is held against the promised model, behind its callers' backs.

    Which answers are, the lottery says: one in a hundred, more of a channel's first ones. Auditors read what
    was asked and answered. One that says `{"tallystick": {"audit": false}}` is shown to none of them, and one
    that says `{"private": true}` there to no judge either."""

    budget: Atoms | int
    """Atoms that audits may cost, over the whole life of a purse and within its own budget. Once they are
    spent there are no more. Zero: there are none, and nothing is added to any request."""
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


def is_unauditable(ask: Ask, outcome: Outcome) -> bool:
    """Of an answer that is whole and says something: whether its provider left out what an audit takes. That
    is token ids for all that it bills, log-probabilities for all of these or, where nobody asked for any, for
    none, and a last receipt that ends it in a way that can be audited.

    Every engine that an auditor can ask gives these. Nothing is said of an answer that is not owed them, nor
    of one whose receipt was refused, or could not be judged."""
    if outcome.refusal is not None or not is_owed(ask):
        return False
    last, sample = outcome.receipt, outcome.sample
    if last is None or sample is None or not auditable(last.message):
        return True
    billed = sum(receipt.message.output_tokens for receipt in outcome.receipts)
    return billed > len(sample.ids) or (_asks_for_scores(ask) and not sample.logprobs)


def is_owed(ask: Ask) -> bool:
    """Whether an honest engine's answer can be audited: not where its caller asked for several, or for what
    engines answer each in its own way."""
    if ask.answers != 1 or attachments(ask.fields.get("messages")):
        return False
    return not any(ask.fields.get(name) for name in _OWN_MAKING)


def _asks_for_scores(ask: Ask) -> bool:
    if ask.fields.get("top_logprobs", 0) is None:
        return False  # vLLM gives none to a chat that says so.
    return "logprobs" in ask.added or ask.fields.get("logprobs") not in (None, False)
