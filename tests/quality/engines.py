"""Engines that judge by a rule of their own: they read the question as a model would, by its lines."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.gateway.stub_engine import StubEngine

Rule = Callable[[str, str, str], str]
"""From the question, A and B to a letter, or to whatever the engine says instead."""


def better(wanted: str) -> Rule:
    """Whichever answer says the wanted word; neither where both do, or none."""

    def rule(_: str, a: str, b: str) -> str:
        says = wanted in a, wanted in b
        return {(True, False): "A", (False, True): "B"}.get(says, "C")

    return rule


def always(letter: str) -> Rule:
    return lambda *_: letter


class JudgingEngine(StubEngine):
    """Judges where it is asked to choose, and answers as a stub does otherwise."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.judged: list[dict[str, Any]] = []

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if "structured_outputs" not in body or self.refuse is not None:
            return await super()._complete(request)
        self.judged.append(body)
        question, a, b = quotations(body["messages"][0]["content"])
        said = self.rule(question, a, b)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": said},
            "token_ids": [7],
            "finish_reason": "length",
        }
        usage = {"prompt_tokens": 100 + len(a) + len(b), "completion_tokens": 1}
        return web.json_response({"id": "1", "choices": [choice], "usage": usage})


def quotations(prompt: str) -> tuple[str, str, str]:
    """The texts behind each mark, as whoever reads lines finds them."""
    found: dict[str, list[str]] = {"Q>": [], "A>": [], "B>": []}
    for line in prompt.splitlines():
        if line[:2] in found:
            found[line[:2]].append(line[3:])
    question, a, b = ("\n".join(lines) for lines in found.values())
    return question, a, b
