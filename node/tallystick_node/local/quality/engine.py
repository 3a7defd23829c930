"""The two engines of this demo that no engine is elsewhere: one whose judgement is computed, and one that
babbles. Everything else about them is the embedded engine's.

    python -m tallystick_node.local.quality.engine --manner scores --model tests/models/good --port 8000

The tiny model says `B` to any question about two answers, so it cannot be asked for a verdict in words. What
it can do is say how likely it is to give an answer: the one that it would sooner give is the better one to
it. The question and both answers are read out of the very prompt that every judge asks its engine.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

from tallystick.protocol.judging import CHOICES
from tallystick_node.engine.embedded import EmbeddedEngine
from tallystick_node.engine.openai_replies import Piece, Prompt
from tallystick_node.engine.openai_requests import ChatRequest, Request
from tallystick_node.engine.openai_server import arguments, serve
from tallystick_node.local.quality.quotations import quotations

if TYPE_CHECKING:
    from tallystick.tokenizer import Vocabulary
    from tallystick_node.engine.llama import Llama

MANNERS: Final = ("scores", "babbles")
MARGIN: Final = 0.05
"""Nats a token: answers closer than that are as good as each other."""
_WORDS: Final = (4, 16)
"""That a babbler says, at least and at most."""


def verdict(a: float, b: float) -> str:
    """The letter, of two scores in nats a token."""
    if abs(a - b) < MARGIN:
        return CHOICES[2]
    return CHOICES[0] if a > b else CHOICES[1]


class Scores(EmbeddedEngine):
    """Judges by how likely its model is to answer so, and otherwise answers as its model does."""

    def __init__(self, engine: EmbeddedEngine, model: "Llama", ends: Sequence[int]) -> None:
        super().__init__(engine.name, engine.batch, engine.vocabulary, engine.max_model_len)
        self._model = model
        self._end = ends[0]

    def generate(
        self, request: Request, prompt: Prompt, *, choice: int, max_tokens: int
    ) -> AsyncGenerator[Piece]:
        if isinstance(request, ChatRequest) and request.only == CHOICES:
            return self._judge(request)
        return super().generate(request, prompt, choice=choice, max_tokens=max_tokens)

    async def _judge(self, request: ChatRequest) -> AsyncGenerator[Piece]:
        question, a, b = quotations(str(request.messages[-1]["content"]))
        letter = verdict(self.score(question, a), self.score(question, b))
        yield Piece(letter, tuple(self.vocabulary.encode(letter, special=False)), finish="stop")

    def score(self, question: str, answer: str) -> float:
        """Nats a token of the answer and its end: the mean log-likelihood."""
        from tallystick_node.engine.sampling import logprobs_of

        asked = self.chat_prompt([{"role": "user", "content": question}]).token_ids
        said = (*self.vocabulary.encode(answer, special=False), self._end)
        said = said[: self.max_model_len - len(asked)]
        rows = self._model.prefill(0, (*asked, *said), all_rows=True)[len(asked) - 1 : -1]
        scores = [row[token] for row, token in zip(logprobs_of(rows), said, strict=True)]
        return float(sum(scores) / len(scores))


class Babbles(EmbeddedEngine):
    """Says words at random, whatever it is asked: no grade of any model."""

    def __init__(self, engine: EmbeddedEngine, random: Random) -> None:
        super().__init__(engine.name, engine.batch, engine.vocabulary, engine.max_model_len)
        self._random = random
        self._words = words_of(engine.vocabulary)

    async def generate(
        self, request: Request, prompt: Prompt, *, choice: int, max_tokens: int
    ) -> AsyncGenerator[Piece]:
        count = min(max_tokens, self._random.randint(*_WORDS))
        for place, token in enumerate(self._random.choices(self._words, k=count)):
            finish = "stop" if place == count - 1 else None
            yield Piece(self.vocabulary.decode([token]), (token,), finish=finish)


def words_of(vocabulary: "Vocabulary") -> list[int]:
    """Tokens that are a whole word with a space before it."""
    told = enumerate(vocabulary.token_bytes)
    return [token for token, data in told if data[:1] == b" " and data[1:].isalpha()]


async def main() -> None:
    parser = arguments("The embedded engine, but for how it judges, or for what it answers.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--manner", choices=MANNERS, required=True)
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported, below
    from tallystick_node.engine.embedded import ends_of, load_engine
    from tallystick_node.engine.llama import Llama

    loaded, batch = load_engine(options.model, options.served_model_name or options.model.resolve().name)
    engine: EmbeddedEngine = Babbles(loaded, SystemRandom())
    if options.manner == "scores":
        engine = Scores(loaded, Llama(options.model, slots=1), ends_of(options.model))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(batch.run())
        await serve(engine, options.host, options.port)
        running.cancel()


if __name__ == "__main__":
    asyncio.run(main())
