"""How long a request and its answer are before anybody has counted: one estimate for payers, gateways and own
users, so that what one of them says of a body the others find, too.

Pure, and for predictions alone: no money depends on it.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.units import Tokens

TYPICAL_ANSWER: Final = Tokens(256)
"""Output tokens of an answer of which nothing better is known."""
_OFF: Final = 2
"""Times as many tokens as a text has may be guessed."""


def fits(tokens: int, context: int) -> bool:
    """Whether so much context holds a prompt and its answer of so many tokens together; zero: any number."""
    return not context or tokens <= context


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Of one prompt, before anybody has counted, and of the answer to it, in tokens."""

    least: Tokens
    likely: Tokens
    most: Tokens
    """Of the prompt."""
    limit: Tokens
    """Of the answer, as its caller set it; zero: there is none."""

    @classmethod
    def of(cls, size: int, guess: int, *, prompts: int, limit: int | None, attached: bool) -> "Length":
        """Of the longest of `prompts`, which are taken for alike: all in a body of `size` bytes, taken for
        `guess` tokens. `attached`: not all of it is text, and its bytes say nothing."""
        each = 0 if attached else guess // max(1, prompts)
        return cls(
            least=Tokens(each // _OFF), likely=Tokens(each), most=Tokens(size), limit=Tokens(limit or 0)
        )

    def fits(self, context: int) -> bool:
        """All that may be answered, as far as it can be told."""
        return fits(self.likely + self.limit, context)

    def never_fits(self, context: int) -> bool:
        """Not even the prompt, or not the answer alone. Where only the two together do not, an engine may
        end the answer sooner."""
        return not fits(max(self.least + 1, self.limit), context)

    def may_exceed(self, context: int) -> bool:
        """Of what was guessed, nothing is sure."""
        return not fits(self.most + self.limit, context)


def prompts_in(prompt: object) -> int:
    """Of a body's `prompt`: a list of texts or of lists of ids holds many; a text or a list of ids is one."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


class InputLength:
    """How many tokens an input has before the engine has counted them: by the bytes that one took so far.

    Each who sends inputs, or counts them, is one voice: of those heard last the median holds, so that none
    moves it past what another has found.
    """

    _FIRST: Final = 4.0
    _WEIGHT: Final = 0.1
    """Of the newest request, among those of one voice."""
    _VOICES: Final = 16
    """Of one model: those heard last."""
    _MOST: Final = 4_096
    """Models; the one that was heard of first is forgotten first."""

    def __init__(self) -> None:
        self._bytes: dict[str, float] = {}
        self._voices: dict[str, OrderedDict[Hashable, float]] = {}

    def tokens(self, model: str, size: int) -> Tokens:
        """`size`: bytes of the body, and for each attachment what it may stand for."""
        return Tokens(max(1, int(size / self._bytes.get(model, self._FIRST))))

    def learn(self, model: str, size: int, tokens: int, voice: Hashable) -> None:
        """A body of that size had so many. `voice`: who may have made it so."""
        if tokens <= 0:
            return
        voices = self._voices.setdefault(model, OrderedDict())
        before = voices.get(voice, size / tokens)
        # A token has at least one byte, whatever an engine counts.
        voices[voice] = max(1.0, before + self._WEIGHT * (size / tokens - before))
        voices.move_to_end(voice)
        if len(voices) > self._VOICES:
            voices.popitem(last=False)
        self._bytes[model] = self._middle(list(voices.values()))
        if len(self._bytes) > self._MOST:
            oldest = next(iter(self._bytes))
            del self._bytes[oldest], self._voices[oldest]

    def _middle(self, found: list[float]) -> float:
        """The median. Where their number is even what is usual is one more voice: of two, neither moves it
        past the other, but towards that."""
        voices = sorted(found if len(found) % 2 else [*found, self._FIRST])
        return voices[len(voices) // 2]
