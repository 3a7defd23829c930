"""What an auditor asks an engine about somebody else's answer, and how it reads the reply: stock vLLM's API.

Two plain requests. The first is the audited one again: it says what the prompt's token ids are, and, where
the answer is to be the same, repeats it. The second is a completion of prompt and answer with
`prompt_logprobs`: one prefill, which says of each token how likely the model finds it, and how far it is
behind the likeliest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.evidence import MILLION
from tallystick.protocol.sample import Sample

PREFILL_PATH: Final = "/v1/completions"
_DROPPED: Final = ("stream", "stream_options", "logprobs", "top_logprobs", "max_completion_tokens")
FARTHEST: Final = 1_000
"""Nats. No distance counts for more."""


@dataclass(frozen=True, slots=True)
class Replayed:
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    """Of the answer, as somebody else gives it."""


@dataclass(frozen=True, slots=True)
class Forced:
    """What the model makes of one token of the answer, all before it being given."""

    logprob: float
    best: float
    """Log-probability of the likeliest token there."""

    @property
    def gap(self) -> int:
        """How far the token is behind, in millionths of a nat; zero: it is the likeliest."""
        return _micro(self.best - self.logprob)


def replay_body(sample: Sample, model: str) -> bytes:
    """The request again, of whoever serves the model as `model`: of as many tokens as the answer has where it
    is to be repeated, else of one: what greedy answers have is held against the model's likeliest tokens by
    the prefill. Raises MalformedMessage."""
    fields = {name: value for name, value in sample.fields.items() if name not in _DROPPED}
    wanted = len(sample.ids) if sample.is_seeded and not sample.is_greedy else 1
    try:
        return orjson.dumps(fields | {"model": model, "max_tokens": wanted, "return_token_ids": True})
    except orjson.JSONEncodeError as error:
        raise MalformedMessage("The request is nested too deeply.") from error


def read_replay(reply: bytes) -> Replayed:
    """Raises MalformedMessage."""
    body = _object(reply)
    choice = _only_choice(body)
    prompt = body.get("prompt_token_ids") or choice.get("prompt_token_ids")
    return Replayed(_ids(prompt), _ids(choice.get("token_ids")))


def prefill_body(prompt_ids: Sequence[int], ids: Sequence[int], model: str) -> bytes:
    """One prefill. Its one token more is what a completion has at least."""
    asked = {"model": model, "prompt": [*prompt_ids, *ids], "max_tokens": 1, "temperature": 0}
    return orjson.dumps(asked | {"prompt_logprobs": 1, "return_token_ids": True})


def read_prefill(reply: bytes, ids: Sequence[int]) -> tuple[Forced, ...]:
    """Of each of the answer's tokens; raises MalformedMessage."""
    entries = _only_choice(_object(reply)).get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) <= len(ids):
        raise MalformedMessage("The engine gave no prompt_logprobs.", required="prompt_logprobs")
    return tuple(_forced(entry, token) for entry, token in zip(entries[-len(ids) :], ids, strict=True))


def replay_distances(ids: Sequence[int], again: Sequence[int]) -> list[int]:
    """Zeros while the answers agree, and one where they part: behind that nothing can be compared."""
    distances = []
    for one, other in zip(ids, again, strict=False):
        distances.append(int(one != other))
        if one != other:
            return distances
    if len(again) < len(ids):
        distances.append(1)  # The other one ended here.
    return distances


def rank_distances(forced: Sequence[Forced]) -> list[int]:
    return [token.gap for token in forced]


def logprob_distances(said: Sequence[float], forced: Sequence[Forced]) -> list[int]:
    """Between what the provider said of its tokens and what the auditor's model does, in millionths of a
    nat."""
    return [_micro(abs(one - other.logprob)) for one, other in zip(said, forced, strict=True)]


def _micro(nats: float) -> int:
    return round(min(max(nats, 0.0), FARTHEST) * MILLION)


def _forced(entry: object, token: int) -> Forced:
    if isinstance(entry, dict):
        own = entry.get(str(token))
        told: list[Any] = [item.get("logprob") for item in entry.values() if isinstance(item, dict)]
        if isinstance(own, dict) and all(type(item) in (int, float) for item in told):
            return Forced(own["logprob"], max(told))
    raise MalformedMessage("The engine says nothing of a token.", required=str(token))


def _object(reply: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(reply)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage("The engine's answer is not JSON.") from error
    if not isinstance(body, dict):
        raise MalformedMessage("The engine's answer is not an object.")
    return body


def _only_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise MalformedMessage("The engine did not give one answer.")
    return choices[0]


def _ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(item) is not int for item in value):
        raise MalformedMessage("The engine gave no token ids.", required="return_token_ids")
    return tuple(value)
