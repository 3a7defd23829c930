"""What a request asks for, as far as money and framing depend on it. The rest of the body is the engine's
business.

Types that bound the cost are taken strictly: an engine that reads "3" as 3 would otherwise work for free.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.length import prompts_in
from tallystick.protocol.pricing import ATTACHMENT_ALLOWANCE, attachments


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request body, read once."""

    fields: dict[str, Any]
    """The whole body."""
    size: int
    """Bytes of the body, and what it only names: no input has more tokens."""
    model: str
    streamed: bool
    max_tokens: int | None
    """Of each choice; None: as many as fit."""
    choices: int
    """Answers to be generated, over all prompts."""
    prompts: int

    @classmethod
    def read(cls, body: bytes) -> "Ask":
        """Raises MalformedMessage."""
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedMessage("The body is not JSON.") from error
        if not isinstance(fields, dict):
            raise MalformedMessage("The body is not a JSON object.")
        try:
            orjson.dumps(fields)
        except orjson.JSONEncodeError as error:
            raise MalformedMessage("The body is nested too deeply.") from error
        model = fields.get("model")
        if not isinstance(model, str):
            raise MalformedMessage("The body names no model.", required="model")
        options = fields.get("stream_options")
        if options is not None and not isinstance(options, dict):
            raise MalformedMessage("stream_options is not an object.", required="stream_options")
        limits = [_count(fields, name) for name in ("max_tokens", "max_completion_tokens")]
        prompts = prompts_in(fields.get("prompt"))
        return cls(
            fields=fields,
            size=len(body) + ATTACHMENT_ALLOWANCE * attachments(fields.get("messages")),
            model=model,
            streamed=_flag(fields, "stream"),
            max_tokens=max((limit for limit in limits if limit is not None), default=None),
            choices=prompts * max(_count(fields, "n") or 1, _count(fields, "best_of") or 1),
            prompts=prompts,
        )

    def for_engine(self, model: str) -> bytes:
        """The body as the engine gets it: its own name of the model, and asking for the counts that bills are
        made of: token ids, and in a stream the usage so far. The payer gets them too.

        It is written anew, so that what the engine reads is what was read here.
        """
        fields = self.fields | {"model": model, "return_token_ids": True}
        if self.streamed:
            options = self.fields.get("stream_options") or {}
            fields["stream_options"] = options | {"include_usage": True, "continuous_usage_stats": True}
        return orjson.dumps(fields)


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise MalformedMessage(f"{name} is neither true nor false.", required=name)
    return bool(value)


def _count(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and (type(value) is not int or value < 0):
        raise MalformedMessage(f"{name} is not a whole number.", required=name)
    return value
