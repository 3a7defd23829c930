"""What the test provider's engine says: the words of the last message, a token each, in OpenAI's shapes."""

import json
from collections.abc import Iterator
from typing import Any

MODEL = "echo"


def answer(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The echo engine: for each choice its pieces, one token each."""
    text = str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 1_000
    said = 0
    if body.get("continue_final_message"):
        assert body["add_generation_prompt"] is False
        text, said = str(body["messages"][-2]["content"]), len(text.split())
    words = text.split()[said:][:limit]
    return [
        [{"content": word + " ", "id": hash(word) % 1000} for word in words] for _ in range(body.get("n", 1))
    ]


def prompt_ids(body: dict[str, Any]) -> list[int]:
    return list(range(3 + len(str(body.get("messages", body.get("prompt"))).split())))


def whole(body: dict[str, Any]) -> bytes:
    """The answer in one piece."""
    chat = "messages" in body
    pieces, prompts = answer(body), prompt_ids(body)
    choices = []
    for index, choice in enumerate(pieces):
        text = "".join(piece["content"] for piece in choice)
        shown = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        ids = [piece["id"] for piece in choice]
        choices.append({"index": index, **shown, "finish_reason": "stop", "token_ids": ids})
    count = sum(map(len, pieces))
    total = len(prompts) + count
    usage = {"prompt_tokens": len(prompts), "completion_tokens": count, "total_tokens": total}
    kind = "chat.completion" if chat else "text_completion"
    return json.dumps(
        {"id": "x", "object": kind, "created": 1, "model": MODEL, "choices": choices, "usage": usage}
    ).encode()


def chunks(body: dict[str, Any]) -> Iterator[bytes]:
    """The answer as OpenAI streams it: one token a chunk, usage last."""
    chat = "messages" in body
    prompts = prompt_ids(body)
    count = 0
    first = True

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        kind = "chat.completion.chunk" if chat else "text_completion"
        return json.dumps(
            {"id": "x", "object": kind, "created": 1, "model": MODEL, "choices": choices, **more}
        ).encode()

    if body.get("tools"):
        call = {"index": 0, "id": "call", "type": "function", "function": {"name": "look", "arguments": ""}}
        yield chunk(
            [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}, "token_ids": [1]}],
            prompt_token_ids=prompts,
        )
        for part in ('{"at":', ' "sea"}'):
            piece = {"index": 0, "function": {"arguments": part}}
            yield chunk([{"index": 0, "delta": {"tool_calls": [piece]}, "token_ids": [2]}])
        yield chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
        count = 3
    else:
        for index, choice in enumerate(answer(body)):
            for piece in choice:
                delta = {"delta": {"content": piece["content"]}} if chat else {"text": piece["content"]}
                more = {"prompt_token_ids": prompts} if first else {}
                first = False
                count += 1
                yield chunk(
                    [{"index": index, **delta, "finish_reason": None, "token_ids": [piece["id"]]}], **more
                )
            end = {"delta": {}} if chat else {"text": ""}
            yield chunk([{"index": index, **end, "finish_reason": "stop"}])
    if (body.get("stream_options") or {}).get("include_usage"):
        total = len(prompts) + count
        usage = {"prompt_tokens": len(prompts), "completion_tokens": count, "total_tokens": total}
        yield chunk([], usage=usage)
