"""What the engine behind a gateway has to do now, counted by the gateway alone: whatever it serves, nobody
has to ask the engine.

Pure: requests and times come in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.units import Tokens

IDLE: Final = Load(running=0, waiting=0, context=Tokens(0), queued=Tokens(0))
MOST_SEQUENCES: Final = 4_096
"""Of one request: what a body names is bounded by its price alone, and an answer may be free."""
UNKNOWN: Final = Speed(
    fixed=0, sequence=0, weights=0, token=0, context=0, capacity=Tokens(0), chunk=Tokens(0)
)
"""Of an engine that was not seen at work yet."""
_MOST_REQUESTS: Final = (1 << 32) - 1
_MOST_TOKENS: Final = (1 << 64) - 1
"""What a status can say. More is asked for only by who wants to be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One request, as far as the engine's time depends on it."""

    sequences: int
    input_tokens: int
    output_tokens: int
    """Of all sequences, so far."""
    begun: bool
    """Something of its answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A request whose answer comes in one piece: how far the engine is with it can only be reckoned."""

    sequences: int
    input_tokens: int
    most: int
    """Output tokens, of all sequences."""
    elapsed_s: float

    def reckoned(self, speed: Speed) -> Work:
        """By the pace of an engine that does nothing else."""
        alone: Pace = pace(speed, IDLE, input_tokens=self.input_tokens, output_tokens=self.most)
        since = self.elapsed_s - alone.first_s
        each = 0 if since < 0 else 1 + since / alone.token_s if alone.token_s else self.most
        said = int(min(self.most, each * self.sequences))
        return Work(
            sequences=self.sequences,
            input_tokens=self.input_tokens,
            output_tokens=said,
            begun=since >= 0 and speed != UNKNOWN,
        )


def load_of(works: Iterable[Work], *, waiting: int = 0, queued: int = 0) -> Load:
    """Of what runs, beside so many requests and prompt tokens that may come at any moment."""
    running = context = 0
    for work in works:
        sequences = min(work.sequences, MOST_SEQUENCES)
        if work.begun:
            running += sequences
            context += sequences * work.input_tokens + work.output_tokens
        else:
            waiting += sequences
            queued += work.input_tokens
    return Load(
        running=min(running, _MOST_REQUESTS),
        waiting=min(waiting, _MOST_REQUESTS),
        context=Tokens(min(context, _MOST_TOKENS)),
        queued=Tokens(min(queued, _MOST_TOKENS)),
    )
