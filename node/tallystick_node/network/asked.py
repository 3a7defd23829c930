"""What an own user asks for, read once: as far as it matters who answers it, and how long that takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.length import Length, prompts_in
from tallystick.protocol.pricing import ATTACHMENT_ALLOWANCE, attachments
from tallystick.protocol.units import Tokens
from tallystick_node.network.policies import Request

_FOR_WHO_BUYS: Final = ("provider", "models", "tallystick")
"""Fields that say whom to buy from, and how: an engine may refuse what it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a body says of whom to buy from."""

    models: tuple[str, ...]
    """That will do, the best first."""
    steering: object = None
    """For whoever buys: nothing here depends on it."""


ReadWishes = Callable[[Mapping[str, Any]], Wishes]
"""Of a body; raises MalformedMessage."""
Estimate = Callable[[str, int], Tokens]
"""(model, size of a body) → its tokens, as `InputLength` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An own user's request, read once."""

    user: str
    path: str
    body: bytes
    size: int
    """Bytes of the body, and what it only names."""
    fields: Mapping[str, Any]
    request: Request
    """For the first of the models."""
    length: Length
    wishes: Wishes
    streamed: bool
    wants_usage: bool
    """At the end of a stream."""
    headers: Mapping[str, str]
    """What says that it is a repetition."""

    def of(self, model: str, typical_output: Tokens) -> "Asked":
        """Of this model alone."""
        request = replace(self.request, model=model, typical_output=typical_output)
        return replace(self, request=request, wishes=replace(self.wishes, models=(model,)))

    def for_engine(self, model: str) -> bytes:
        """The body, with the engine's own name of the model; a stream ends with its usage, from which the
        node learns how fast its engine is."""
        kept = {name: value for name, value in self.fields.items() if name not in _FOR_WHO_BUYS}
        options = kept.get("stream_options") or {}
        if self.streamed and isinstance(options, dict):
            kept["stream_options"] = options | {"include_usage": True}
        return orjson.dumps({**kept, "model": model})

    @classmethod
    def read(
        cls,
        user: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        read_wishes: ReadWishes,
        estimate: Estimate,
    ) -> "Asked":
        """Raises MalformedMessage."""
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedMessage("The body is not JSON.") from error
        if not isinstance(fields, dict):
            raise MalformedMessage("The body is not an object that names a model.", required="model")
        wishes = read_wishes(fields)
        try:
            orjson.dumps(fields)
        except orjson.JSONEncodeError as error:
            raise MalformedMessage("The body is nested too deeply.") from error
        prompts, attached = prompts_in(fields.get("prompt")), attachments(fields.get("messages"))
        answers = prompts * (_count(fields.get("n")) or 1)
        limit = _count(fields.get("max_completion_tokens")) or _count(fields.get("max_tokens"))
        most = None if limit is None else Tokens(limit * answers)
        model, size = wishes.models[0], len(body) + ATTACHMENT_ALLOWANCE * attached
        guess = estimate(model, size)
        options = fields.get("stream_options")
        return cls(
            user=user,
            path=path,
            body=body,
            size=size,
            fields=fields,
            request=Request(model=model, input_tokens=guess, output_tokens=most, own=True, answers=answers),
            length=Length.of(size, guess, prompts=prompts, limit=limit, attached=attached > 0),
            wishes=wishes,
            streamed=fields.get("stream") is True,
            wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
            headers=headers,
        )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
