"""The embedded engine: really runs a tiny Llama, in one small process without a GPU, behind the OpenAI API.

    python -m tallystick_node.engine.embedded --model tests/models/good --port 8000

Counts, token ids and log-probabilities are the model's own. It calls no tools, and of response formats it
knows `structured_outputs: {"choice": […]}` alone: other such requests get plain text. For models of use there
is vLLM.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from tallystick_node.engine.openai_replies import Piece, Prompt
from tallystick_node.engine.openai_requests import Request, RequestRefused, plain_text
from tallystick_node.engine.openai_server import Load, arguments, serve

if TYPE_CHECKING:
    from tallystick.tokenizer import Vocabulary
    from tallystick_node.engine.batch import Batch

SLOTS = 16
"""Sequences that run at once; more wait. Their caches, all full, take 126 MB with the model of the tests."""


class EmbeddedEngine:
    def __init__(self, name: str, batch: "Batch", vocabulary: "Vocabulary", max_model_len: int) -> None:
        self.name = name
        self.max_model_len = max_model_len
        self.batch = batch
        self.vocabulary = vocabulary

    def prompt(self, source: str | list[int]) -> Prompt:
        if isinstance(source, str):
            return Prompt(token_ids=tuple(self.vocabulary.encode(source)), text=source)
        for token in source:
            if not 0 <= token < len(self.vocabulary):
                raise RequestRefused(f"Token id {token} is out of vocabulary", param="prompt")
        return Prompt(token_ids=tuple(source), text=self.vocabulary.decode(source))

    def chat_prompt(self, messages: list[dict[str, Any]], *, continued: bool = False) -> Prompt:
        try:
            text = self.vocabulary.render(plain_text(messages), continued=continued)
        except TemplateError as error:
            raise RequestRefused(f"The chat template refuses this: {error}", param="messages") from None
        return Prompt(token_ids=tuple(self.vocabulary.encode(text, special=False)), text=text)

    def generate(
        self, request: Request, prompt: Prompt, *, choice: int, max_tokens: int
    ) -> AsyncGenerator[Piece]:
        return self.batch.generate(request, prompt.token_ids, choice=choice, max_tokens=max_tokens)

    def load(self) -> Load:
        return Load(self.batch.running, self.batch.waiting, self.batch.cache_used)


def load_engine(folder: Path, name: str) -> tuple[EmbeddedEngine, "Batch"]:
    """The engine for the model in `folder`, and the batch that somebody must run for it to answer.

    Raises
    ------
    UnsupportedModel :
        Its architecture or tokenizer is one that this engine does not have.
    """
    from tallystick.tokenizer import UnsupportedModel, Vocabulary
    from tallystick_node.engine.batch import Batch
    from tallystick_node.engine.llama import Llama

    model, vocabulary = Llama(folder, slots=SLOTS), Vocabulary(folder)
    if len(vocabulary) < model.vocabulary:
        raise UnsupportedModel("its tokenizer does not name every token")
    batch = Batch(model, vocabulary, ends_of(folder))
    return EmbeddedEngine(name, batch, vocabulary, model.max_length), batch


def ends_of(folder: Path) -> tuple[int, ...]:
    """Tokens by which the model in `folder` ends an answer."""
    end = json.loads((folder / "config.json").read_text())["eos_token_id"]
    return tuple(end) if isinstance(end, list) else (end,)


async def main() -> None:
    parser = arguments("Runs a tiny Llama behind the OpenAI API.")
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        help="a folder with config.json, model.safetensors, tokenizer.json",
    )
    options = parser.parse_args()
    if not (options.model / "config.json").is_file():
        sys.exit(f"embedded: no model in {options.model}: it has no config.json")
    # Several engines share a few cores, and matrices of this size gain nothing from a second thread. BLAS
    # reads this when numpy is first imported, which is below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tallystick.tokenizer import UnsupportedModel

    try:
        engine, batch = load_engine(options.model, options.served_model_name or options.model.resolve().name)
    except UnsupportedModel as problem:
        sys.exit(f"embedded: cannot run {options.model}: {problem}; vLLM may")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(batch.run())
        await serve(engine, options.host, options.port)
        running.cancel()


if __name__ == "__main__":
    asyncio.run(main())
