"""What a provider says of itself right now, and what others say of its silence. Gossiped, never on chain.

The highest sequence of a provider and model holds; a sender's clock decides nothing. See docs/network.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from tallystick.protocol.message import Message
from tallystick.protocol.speed import Load, Speed
from tallystick.protocol.units import Address, Hash32, Tokens

PARAMETERS: Final = (
    *("max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "n"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "logprobs"),
    *("top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "response_format"),
    *("structured_outputs", "reasoning", "reasoning_effort", "prompt_logprobs", "ignore_eos", "min_tokens"),
)
"""Of a request's body, as OpenAI, OpenRouter and vLLM name them. What is new comes last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Message):
    """Signed with the provider's receipt key; one for each model that it offers."""

    TYPE: ClassVar[str] = (
        "Status(address provider,bytes32 offerHash,uint64 sequence,uint32 room,uint32 running,uint32 waiting,"
        "uint64 context,uint64 queued,uint64 parameters,string quantization,Speed speed)" + Speed.TYPE
    )
    NESTED: ClassVar[Mapping[str, type[Message]]] = {"Speed": Speed}
    provider: Address
    offer_hash: Hash32
    """The posted offer that is in force for the model: the prices of now."""
    sequence: int
    """Grows with each status of one provider, whatever the model."""
    room: int
    """Requests that would be taken now beside those that run; zero: none."""
    running: int
    waiting: int
    context: Tokens
    queued: Tokens
    """These four: see `Load`."""
    parameters: int
    """What the engine understands; bit i: `PARAMETERS[i]`."""
    quantization: str
    """As OpenRouter names them: `bf16`, `fp8`, `int4`, …; empty: not said."""
    speed: Speed

    @property
    def load(self) -> Load:
        return Load(self.running, self.waiting, self.context, self.queued)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion(Message):
    """Signed with the receipt key of a provider that got no answer from another."""

    TYPE: ClassVar[str] = "Suspicion(address accuser,address provider,uint64 sequence)"
    accuser: Address
    provider: Address
    sequence: int
    """The last of the provider's that the accuser knows: a higher one refutes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(Message):
    """What a payer found of a provider's promises, signed with a channel's session key. It counts only beside
    a receipt of that channel: who never paid rates nobody."""

    TYPE: ClassVar[str] = (
        "Rating(address payer,address provider,address sessionKey,uint24 epoch,uint64 sequence,uint64 ratio,"
        "uint64 count,bytes32 receiptHash)"
    )
    payer: Address
    provider: Address
    session_key: Address
    epoch: int
    """These four name the channel."""
    sequence: int
    ratio: int
    """Observed time over quoted time, a geometric moving average, in millionths."""
    count: int
    """Observations that it comes from: of answers that began, and that ended."""
    receipt_hash: Hash32
    """Of a receipt of this channel that goes with it."""
