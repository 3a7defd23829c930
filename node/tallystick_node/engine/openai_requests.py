"""What an engine may be asked over the OpenAI API, read from JSON and checked as vLLM checks it.

It knows no model and no server. Parameters that it does not name are accepted and ignored, as vLLM does.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

MOST_LOGPROBS = 20
MOST_CHOICES = 128
GREEDY_BELOW = 1e-5
"""A temperature under this one means the likeliest token, always."""
COMPLETION_TOKENS = 16
"""What /v1/completions generates without `max_tokens`. A chat then runs to the end of the context."""

R = TypeVar("R", bound="Request")


class RequestRefused(Exception):
    """The request cannot be served as it stands; nothing was generated."""

    def __init__(self, message: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


class StreamOptions(BaseModel):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class StructuredOutputs(BaseModel):
    """vLLM's; of its forms these engines know the one."""

    choice: list[str] | None = None


class Request(BaseModel):
    """What chat and completions have in common. `None` is the engine's default."""

    model_config = ConfigDict(allow_inf_nan=False)

    model: str | None = None
    max_tokens: int | None = None
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] = []
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    prompt_logprobs: int | None = None
    return_token_ids: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None

    @property
    def only(self) -> tuple[str, ...]:
        """The answer is one of these; empty: any text."""
        structure = self.structured_outputs
        return () if structure is None else tuple(structure.choice or ())

    @property
    def choices(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def heat(self) -> float:
        return 1.0 if self.temperature is None else self.temperature

    @property
    def stops(self) -> tuple[str, ...]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(filter(None, stop))

    @property
    def wanted_tokens(self) -> int | None:
        """The number of tokens asked for, or None for as many as the context has room for."""
        return self.max_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        """The number of alternatives to report beside each token, or None for no log-probabilities at all."""
        return None

    @property
    def wanted_prompt_logprobs(self) -> int | None:
        """The same for the tokens of the prompt."""
        return self.prompt_logprobs

    def check(self) -> None:
        """Raises RequestRefused where vLLM would."""
        for param, message in (*self._sampling_problems(), *self._shape_problems()):
            raise RequestRefused(message, param=param)

    def _sampling_problems(self) -> Iterator[tuple[str, str]]:
        if self.heat < 0:
            yield "temperature", f"temperature must be non-negative, got {self.temperature}."
        if self.top_p is not None and not 0 < self.top_p <= 1:
            yield "top_p", f"top_p must be in (0, 1], got {self.top_p}."
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            yield "min_p", f"min_p must be in [0, 1], got {self.min_p}."
        for param in ("presence_penalty", "frequency_penalty"):
            penalty = getattr(self, param)
            if not -2 <= (penalty or 0) <= 2:
                yield param, f"{param} must be in [-2, 2], got {penalty}."
        if any(not -100 <= bias <= 100 for bias in (self.logit_bias or {}).values()):
            yield "logit_bias", "logit_bias values must be in [-100, 100]."
        if self.repetition_penalty is not None and self.repetition_penalty <= 0:
            yield (
                "repetition_penalty",
                f"repetition_penalty must be greater than zero, got {self.repetition_penalty}.",
            )

    def _shape_problems(self) -> Iterator[tuple[str, str]]:
        if not 1 <= self.choices <= MOST_CHOICES:
            yield "n", f"n must be at least 1 and at most {MOST_CHOICES}, got {self.n}."
        if self.choices > 1 and self.heat < GREEDY_BELOW:
            yield "n", f"n must be 1 when using greedy sampling, got {self.n}."
        if self.wanted_tokens is not None and self.wanted_tokens < 1:
            yield "max_tokens", f"max_tokens must be at least 1, got {self.wanted_tokens}."
        if self.stream_options is not None and not self.stream:
            yield "stream_options", "Stream options can only be defined when `stream=True`."
        if self.prompt_logprobs is not None and self.stream:
            yield "prompt_logprobs", "`prompt_logprobs` are not available when `stream=True`."
        for param, count in (("logprobs", self.wanted_logprobs), ("prompt_logprobs", self.prompt_logprobs)):
            if count is not None and not 0 <= count <= MOST_LOGPROBS:
                yield param, f"Requested {param} of {count}, which is not between 0 and {MOST_LOGPROBS}"


class Function(BaseModel):
    name: str
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    function: Function


class ToolChoice(BaseModel):
    function: Function


class ChatRequest(Request):
    messages: list[dict[str, Any]]
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice = "auto"
    continue_final_message: bool = False
    """The answer goes on with the last message."""
    add_generation_prompt: bool = True

    @property
    def wanted_tokens(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def wanted_logprobs(self) -> int | None:
        return self.top_logprobs if self.logprobs else None

    def check(self) -> None:
        if self.top_logprobs and not self.logprobs:
            raise RequestRefused(
                "when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs"
            )
        if not self.messages:
            raise RequestRefused("Cannot apply chat template to an empty conversation.", param="messages")
        if self.continue_final_message and self.add_generation_prompt:
            raise RequestRefused(
                "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
                param="continue_final_message",
            )
        super().check()


class CompletionRequest(Request):
    max_tokens: int | None = COMPLETION_TOKENS
    prompt: str | list[int] | list[str] | list[list[int]] = ""
    logprobs: int | None = None
    echo: bool = False

    @property
    def wanted_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def wanted_prompt_logprobs(self) -> int | None:
        return self.logprobs if self.echo and self.prompt_logprobs is None else self.prompt_logprobs

    def check(self) -> None:
        if not all(self.prompts()):
            raise RequestRefused("A prompt must be provided and non-empty.", param="prompt")
        super().check()

    def prompts(self) -> list[str | list[int]]:
        """Each prompt, as its text or its token ids. An empty one stands for none at all."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        several = [item for item in self.prompt if not isinstance(item, int)]
        return [*several] or [[item for item in self.prompt if isinstance(item, int)]]


class TokenizeRequest(BaseModel):
    prompt: str | None = None
    messages: list[dict[str, Any]] = []


B = TypeVar("B", bound=BaseModel)


def parse(kind: type[B], body: bytes) -> B:
    """The request that `body` is.

    Raises
    ------
    RequestRefused :
        It is not JSON, or a field has the wrong type.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        # What was sent stays out of the message: it may be a prompt.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, ("body", *first["loc"])))
        raise RequestRefused(f"{place}: {first['msg']}", param=place) from None


def plain_text(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with their contents as plain text, which is all that a text model can read.

    Raises
    ------
    RequestRefused :
        A message is not text.
    """
    return [{**message, "content": _plain(message.get("content"))} for message in messages]


def checked(kind: type[R], body: bytes) -> R:
    """The request that `body` is, once nothing is left to refuse that shows without a model."""
    request = parse(kind, body)
    request.check()
    return request


def _plain(content: object) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "\n".join(_plain_part(part) for part in content)
        case _:
            raise RequestRefused("A message's content is a string or a list of parts.", param="messages")


def _plain_part(part: object) -> str:
    match part:
        case str(text) | {"type": "text", "text": str(text)}:
            return text
        case _:
            raise RequestRefused("This model reads text only.", param="messages")
