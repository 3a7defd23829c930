"""What a payer with the tokenizer makes of an engine's answers, at every point where a receipt could come."""

import json
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

from tallystick.client.ask import CHAT_PATH, COMPLETIONS_PATH, Ask, read_ask
from tallystick.client.recount import Output, input_size
from tallystick.ports import Recount
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_HASH

Json = dict[str, Any]

SAID = (
    "What is the capital of Kenya?",
    "Spell file.",
    "What is 2 plus 3?",
    "é € 日本語 🦊 \u200d ﷽",
    "x = {'a': [1, 2, 3]}\n\tprint(x)\n",
    "<|user|> a special token, written out <|eos|>",
    "   spaces   and\r\nlines\n\n\n",
)
OPTIONS: tuple[Json, ...] = (
    {"temperature": 0},
    {"seed": 1},
    {"seed": 2, "temperature": 2.0, "max_tokens": 40},
    {"seed": 3, "temperature": 1.5, "n": 3},
    {"seed": 4, "stop": ["e", "the "]},
    {"seed": 5, "stop": "\n", "include_stop_str_in_output": True},
    {"seed": 6, "temperature": 1.3, "stop": ["a rather long stop string that never comes"]},
    {"seed": 7, "max_tokens": 1},
)


def requests(model: str) -> Iterator[tuple[str, Json]]:
    for turn, said in enumerate(SAID):
        messages = [{"role": "user", "content": said}]
        conversation = [
            {"role": "system", "content": "Be brief."},
            *messages,
            {"role": "assistant", "content": said},
            *messages,
        ]
        for index in range(turn, turn + 3):
            fields = {"model": model, "max_tokens": 16} | OPTIONS[index % len(OPTIONS)]
            yield CHAT_PATH, fields | {"messages": conversation if index % 2 else messages}
            yield COMPLETIONS_PATH, fields | {"prompt": [said, "The file"] if index == 4 else said}
    yield COMPLETIONS_PATH, {"model": model, "prompt": [40, 41, 42], "max_tokens": 8, "seed": 8}
    yield COMPLETIONS_PATH, {"model": model, "prompt": [[40, 41], [42]], "max_tokens": 8, "seed": 9}


def as_sent(path: str, fields: Json, *, stream: bool) -> tuple[Ask, Json]:
    """The request as a payer reads it, and as it sends it."""
    ask = read_ask(path, json.dumps(fields).encode())
    return ask, json.loads(ask.body(stream=stream))


def without_ids(payloads: Iterable[Json]) -> list[Json]:
    """The same of an engine that tells none."""
    bare = deepcopy(list(payloads))
    for payload in bare:
        payload.pop("prompt_token_ids", None)
        for choice in payload["choices"]:
            choice.pop("token_ids", None)
            choice.pop("prompt_token_ids", None)
    return bare


def require_honest(recount: Recount, ask: Ask, payloads: list[Json]) -> None:
    """No count that the payloads bear is above its bound, wherever a receipt is made."""
    size = input_size(ask, recount)
    assert size is not None
    for told in (payloads, without_ids(payloads)):
        output, transcript = Output(ask, recount), Transcript(ZERO_HASH)
        for payload in told:
            output.add(payload)
            transcript.add_counts(payload)
            assert output.bound is not None
            assert transcript.output_tokens <= output.bound, (ask.fields, told)
        assert transcript.input_tokens == size, ask.fields
        if told is payloads:
            ids = sum(len(c.get("token_ids") or ()) for p in payloads for c in p["choices"])
            assert transcript.output_tokens == ids == output.bound, (ask.fields, told)
