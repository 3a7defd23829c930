"""How long a request and its answer are before anybody has counted: one estimate for payers, gateways and own
users, so that what one of them says of a body the others find, too.

Pure, and for predictions alone: no money depends on it.
"""

from typing import Final

from tallystick.protocol.units import Tokens

TYPICAL_ANSWER: Final = Tokens(256)
"""Output tokens of an answer of which nothing better is known."""


def prompts_in(prompt: object) -> int:
    """Of a body's `prompt`: a list of texts or of lists of ids holds many; a text or a list of ids is one."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


class InputLength:
    """How many tokens an input has before the engine has counted them: by the bytes that one took so far."""

    _FIRST: Final = 4.0
    _WEIGHT: Final = 0.1
    """Of the newest request."""
    _MOST: Final = 4_096
    """Models; the one that was heard of first is forgotten first."""

    def __init__(self) -> None:
        self._bytes: dict[str, float] = {}

    def tokens(self, model: str, size: int) -> Tokens:
        """`size`: bytes of the body, and for each attachment what it may stand for."""
        return Tokens(max(1, int(size / self._bytes.get(model, self._FIRST))))

    def learn(self, model: str, size: int, tokens: int) -> None:
        """A body of that size had so many."""
        if tokens > 0:
            before = self._bytes.get(model, size / tokens)
            # A token has at least one byte, whatever an engine counts.
            self._bytes[model] = max(1.0, before + self._WEIGHT * (size / tokens - before))
            if len(self._bytes) > self._MOST:
                del self._bytes[next(iter(self._bytes))]
