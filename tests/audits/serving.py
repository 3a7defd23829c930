"""Real answers for tests of audits: of our embedded engine, over any model."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from tallystick.protocol.evidence import Scales
from tallystick.protocol.receipt import Finish
from tallystick.protocol.sample import Sample
from tallystick.protocol.units import Milliseconds
from tallystick.tokenizer import Vocabulary
from tallystick_node.engine.batch import Batch
from tallystick_node.engine.embedded import EmbeddedEngine
from tallystick_node.engine.llama import Llama
from tests.audits.showing import CHAT, body, sample
from tests.engine.conftest import MODEL, Served, served

QUESTIONS = [
    "What is the capital of Kenya?",
    "What is 2 plus 3?",
    "What does ls do?",
    "Spell file.",
    "Tell me about printers and files.",
    "Explain the kernel module that loads first.",
    "How do I remove a package?",
    "What is the capital of Peru?",
]
SHIPPED = Scales.read((MODEL.parent / "good.scales.json").read_bytes())


class Now:
    def milliseconds(self) -> Milliseconds:
        return Milliseconds(1_790_000_000_000)


@asynccontextmanager
async def engine_of(model: Path) -> AsyncIterator[Served]:
    vocabulary, llama = Vocabulary(model), Llama(model, slots=4)
    batch = Batch(llama, vocabulary, (1,))
    async with served(EmbeddedEngine("tiny-good", batch, vocabulary, llama.max_length), batch) as engine:
        yield engine


async def answers(engine: Served, *, logprobs: bool, questions: Sequence[str] = QUESTIONS) -> list[Sample]:
    """Greedy ones, as their payer keeps them."""
    found = []
    for sequence, question in enumerate(questions):
        asked = body(messages=[{"role": "user", "content": question}], max_tokens=48)
        fields = orjson.loads(asked) | {"return_token_ids": True, "logprobs": True}
        reply = await engine.body(CHAT, **fields)
        choice = reply["choices"][0]
        scores = [score["logprob"] for score in choice["logprobs"]["content"]] if logprobs else []
        finish = Finish.STOP if choice["finish_reason"] == "stop" else Finish.LENGTH
        prompt = len(reply["prompt_token_ids"])
        found.append(
            sample(
                choice["token_ids"],
                scores,
                asked=asked,
                finish=finish,
                sequence=sequence,
                input_tokens=prompt,
            )
        )
    return found
