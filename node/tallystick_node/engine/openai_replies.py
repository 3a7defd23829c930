"""What an engine answers over the OpenAI API, in the very shapes of vLLM.

An engine yields pieces; a `Reply` lays them out, as one body or as the chunks of a stream. It knows neither
where pieces come from nor how bytes leave.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from tallystick_node.engine.openai_requests import ChatRequest, CompletionRequest, Request, RequestRefused

DONE = b"data: [DONE]\n\n"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scored:
    """A token with its log-probability before any temperature, and its rank (the likeliest has 1)."""

    id: int
    text: str
    data: bytes
    logprob: float | None
    """None for the first token of a prompt, which nothing comes before."""
    rank: int
    likeliest: tuple["Scored", ...] = ()
    """The alternatives that were asked for, likeliest first. Theirs are empty."""


@dataclass(frozen=True, slots=True)
class Call:
    """A part of a tool call: its beginning, which has id and name, or more of its arguments."""

    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step adds to one choice."""

    text: str
    token_ids: tuple[int, ...]
    scores: tuple[Scored, ...] = ()
    """One a token where log-probabilities were asked for."""
    call: Call | None = None
    finish: str | None = None
    """`stop`, `length` or `tool_calls` on the last piece."""
    stop_reason: str | int | None = None
    """The stop string or stop token id that ended it, where one did."""
    prompt_scores: tuple[Scored, ...] = ()
    """On a choice's first piece, one a prompt token where those were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    token_ids: tuple[int, ...]
    text: str
    cached: int | None = None
    """How many of the tokens were not computed again; None where the engine does not say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All the pieces of one choice as one."""

    whole: Piece
    calls: tuple[Call, ...]


def joined(pieces: Sequence[Piece]) -> Answer:
    calls: list[Call] = []
    for call in (piece.call for piece in pieces if piece.call is not None):
        if call.id is None:
            calls[-1] = replace(calls[-1], arguments=calls[-1].arguments + call.arguments)
        else:
            calls.append(call)
    last = pieces[-1]
    return Answer(
        Piece(
            "".join(piece.text for piece in pieces),
            tuple(token for piece in pieces for token in piece.token_ids),
            tuple(score for piece in pieces for score in piece.scores),
            finish=last.finish,
            stop_reason=last.stop_reason,
            prompt_scores=pieces[0].prompt_scores,
        ),
        tuple(calls),
    )


class Reply(Protocol):
    """One request's answer. Choice `i` belongs to prompt `i // n`."""

    def opening(self, choice: int) -> Json | None:
        """The chunk that a stream's choice begins with, before any token."""

    def chunk(self, choice: int, piece: Piece) -> Json: ...

    def last_chunk(self) -> Json:
        """The one without choices that tells the usage."""

    def body(self, answers: Sequence[Answer]) -> Json: ...


class _Reply:
    """Identity and usage, which both kinds tell alike."""

    def __init__(
        self, request: Request, prompts: Sequence[Prompt], model: str, *, id: str, kind: str
    ) -> None:
        self._head: Json = {"id": id, "object": kind, "created": int(time.time()), "model": model}
        self._request = request
        self._prompts = prompts
        self._counts = [0] * (len(prompts) * request.choices)
        options = request.stream_options
        self._usage_always = options is not None and options.include_usage and options.continuous_usage_stats

    def _prompt_of(self, choice: int) -> Prompt:
        return self._prompts[choice // self._request.choices]

    def _usage(self, prompt_tokens: int, completion_tokens: int) -> Json:
        return {
            "prompt_tokens": prompt_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "completion_tokens": completion_tokens,
        }

    def _total_usage(self) -> Json:
        usage = self._usage(sum(len(prompt.token_ids) for prompt in self._prompts), sum(self._counts))
        cached = [prompt.cached for prompt in self._prompts if prompt.cached is not None]
        usage["prompt_tokens_details"] = {"cached_tokens": sum(cached)} if cached else None
        return usage

    def _chunk(self, choice: int, body: Json, piece: Piece | None) -> Json:
        chunk = {**self._head, "choices": [body]}
        if piece is not None:
            self._counts[choice] += len(piece.token_ids)
            if piece.finish is not None:
                body["stop_reason"] = piece.stop_reason
        if self._usage_always:
            chunk["usage"] = self._usage(len(self._prompt_of(choice).token_ids), self._counts[choice])
        return chunk

    def _ids(self, token_ids: tuple[int, ...]) -> tuple[int, ...] | None:
        return token_ids if self._request.return_token_ids else None

    def last_chunk(self) -> Json:
        return {**self._head, "choices": [], "usage": self._total_usage()}


class ChatReply(_Reply):
    def __init__(self, request: ChatRequest, prompt: Prompt, model: str) -> None:
        kind = "chat.completion.chunk" if request.stream else "chat.completion"
        super().__init__(request, (prompt,), model, id=f"chatcmpl-{secrets.token_hex(8)}", kind=kind)
        self._logprobs = request.logprobs

    def opening(self, choice: int) -> Json | None:
        body = {
            "index": choice,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
        return {
            **self._chunk(choice, body, None),
            "prompt_token_ids": self._ids(self._prompt_of(choice).token_ids),
        }

    def chunk(self, choice: int, piece: Piece) -> Json:
        delta = {"content": piece.text} if piece.call is None else {"tool_calls": [_call(piece.call)]}
        body = {
            "index": choice,
            "delta": delta,
            "logprobs": self._scores(piece.scores),
            "finish_reason": piece.finish,
            "token_ids": self._ids(piece.token_ids),
        }
        return self._chunk(choice, body, piece)

    def body(self, answers: Sequence[Answer]) -> Json:
        choices = []
        for choice, answer in enumerate(answers):
            whole = answer.whole
            message: Json = {
                "role": "assistant",
                "content": None if answer.calls else whole.text,
                "refusal": None,
            }
            if answer.calls:
                message["tool_calls"] = [_call(call, i) for i, call in enumerate(answer.calls)]
            choices.append(
                {
                    "index": choice,
                    "message": message,
                    "logprobs": self._scores(whole.scores),
                    "finish_reason": whole.finish,
                    "stop_reason": whole.stop_reason,
                    "token_ids": self._ids(whole.token_ids),
                }
            )
            self._counts[choice] = len(whole.token_ids)
        return {
            **self._head,
            "choices": choices,
            "usage": self._total_usage(),
            "prompt_logprobs": _prompt_logprobs(answers[0].whole),
            "prompt_token_ids": self._ids(self._prompts[0].token_ids),
        }

    def _scores(self, scores: tuple[Scored, ...]) -> Json | None:
        if not self._logprobs:
            return None
        return {
            "content": [
                {**_score(score), "top_logprobs": [_score(other) for other in score.likeliest]}
                for score in scores
            ]
        }


class CompletionReply(_Reply):
    def __init__(self, request: CompletionRequest, prompts: Sequence[Prompt], model: str) -> None:
        super().__init__(request, prompts, model, id=f"cmpl-{secrets.token_hex(8)}", kind="text_completion")
        self._logprobs = request.logprobs is not None
        self._echo = request.echo
        self._lengths = [0] * len(self._counts)

    def opening(self, choice: int) -> Json | None:
        return None

    def chunk(self, choice: int, piece: Piece) -> Json:
        first = not self._counts[choice]
        prompt = self._prompt_of(choice)
        text = prompt.text + piece.text if first and self._echo else piece.text
        body = {
            "index": choice,
            "text": text,
            "logprobs": self._scores(piece, self._lengths[choice]),
            "finish_reason": piece.finish,
            "stop_reason": None,
            "prompt_token_ids": self._ids(prompt.token_ids) if first else None,
            "token_ids": self._ids(piece.token_ids),
        }
        self._lengths[choice] += len(text)
        return self._chunk(choice, body, piece)

    def body(self, answers: Sequence[Answer]) -> Json:
        choices = []
        for choice, answer in enumerate(answers):
            whole, prompt = answer.whole, self._prompt_of(choice)
            choices.append(
                {
                    "index": choice,
                    "text": prompt.text + whole.text if self._echo else whole.text,
                    "logprobs": self._scores(whole, 0),
                    "finish_reason": whole.finish,
                    "stop_reason": whole.stop_reason,
                    "token_ids": self._ids(whole.token_ids),
                    "prompt_logprobs": _prompt_logprobs(whole),
                    "prompt_token_ids": self._ids(prompt.token_ids),
                }
            )
            self._counts[choice] = len(whole.token_ids)
        return {**self._head, "choices": choices, "usage": self._total_usage()}

    def _scores(self, piece: Piece, offset: int) -> Json | None:
        if not self._logprobs:
            return None
        scores = (*piece.prompt_scores, *piece.scores) if self._echo else piece.scores
        offsets = []
        for score in scores:
            offsets.append(offset)
            offset += len(score.text)
        return {
            "text_offset": offsets,
            "token_logprobs": [score.logprob for score in scores],
            "tokens": [score.text for score in scores],
            "top_logprobs": [
                None
                if score.logprob is None
                else {other.text: other.logprob for other in (score, *score.likeliest)}
                for score in scores
            ],
        }


def event(chunk: Json) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def error_body(message: str, *, status: int, param: str | None = None) -> Json:
    kind = {400: "BadRequestError", 404: "NotFoundError"}.get(status, "InternalServerError")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def refusal_body(refused: RequestRefused) -> Json:
    return error_body(str(refused), status=refused.status, param=refused.param)


def _score(score: Scored) -> Json:
    return {"token": score.text, "logprob": score.logprob, "bytes": list(score.data)}


def _call(call: Call, index: int = 0) -> Json:
    if call.id is None:
        return {"index": index, "function": {"arguments": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments}
    return {"index": index, "id": call.id, "type": "function", "function": function}


def _prompt_logprobs(piece: Piece) -> list[Json | None] | None:
    if not piece.prompt_scores:
        return None
    return [
        None
        if score.logprob is None
        else {
            str(told.id): {"logprob": told.logprob, "rank": told.rank, "decoded_token": told.text}
            for told in (score, *score.likeliest)
        }
        for score in piece.prompt_scores
    ]
