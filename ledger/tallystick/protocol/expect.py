"""What a payer says of the time that a request may take: the header `Tallystick-Expect`, and the question to
`QUOTES_PATH`. Whether a provider's own prediction will do is one rule for all.

It knows no load, and makes no prediction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.message import read_value
from tallystick.protocol.quote import TOLERATED, TOLERATED_MS
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Hash32, Tokens, to_hex
from tallystick.protocol.value import value

EXPECT_LIMIT: Final = 160
"""Characters of the header's value."""
TOKENS_LIMIT: Final = 1 << 32
MICROSECONDS_LIMIT: Final = 1 << 50
"""Some thirty years: above, arithmetic is no prediction any more."""


@value()
class Size:
    """Of one request, as far as time depends on it."""

    input_tokens: Tokens
    output_tokens: Tokens


@value()
class Expected:
    """The payer's own prediction, for a request of this size."""

    size: Size
    pace: Pace

    def tolerates(self, fresh: Pace) -> bool:
        """Whether a provider that finds `fresh` now takes the request, and does not bounce it."""
        output = self.size.output_tokens
        return fresh.total_s(output) <= TOLERATED * self.pace.total_s(output) + TOLERATED_MS / 1000


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The payer sends the request for which a quote holds room."""

    quote: Hash32
    """Its struct hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """The question to `QUOTES_PATH`: how long would it take now?"""

    offer_hash: Hash32
    size: Size

    def to_json(self) -> dict[str, str]:
        return {
            "offerHash": to_hex(self.offer_hash),
            "inputTokens": str(self.size.input_tokens),
            "outputTokens": str(self.size.output_tokens),
        }

    @classmethod
    def from_json(cls, data: object) -> "Inquiry":
        """Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("An inquiry is an object.")
        return cls(
            offer_hash=read_value("bytes32", data.get("offerHash"), "offerHash"),
            size=Size(
                input_tokens=_tokens(data.get("inputTokens"), "inputTokens"),
                output_tokens=_tokens(data.get("outputTokens"), "outputTokens"),
            ),
        )


def microseconds_up(seconds: float) -> int:
    """As a quote and the header have it: never less than what was predicted."""
    return min(MICROSECONDS_LIMIT - 1, -int(-seconds * 1e6 // 1))


def expect_text(said: Expected | Redeemed) -> str:
    """The header's value."""
    if isinstance(said, Redeemed):
        return f"quote={to_hex(said.quote)}"
    first, token = microseconds_up(said.pace.first_s), microseconds_up(said.pace.token_s)
    size = f"input={said.size.input_tokens}, output={said.size.output_tokens}"
    return f"first-us={first}, token-us={token}, {size}"


def read_expect(text: str) -> Expected | Redeemed:
    """What `expect_text` wrote; raises MalformedMessage."""
    found = None if len(text) > EXPECT_LIMIT else _EXPECT(text)
    if found is None:
        raise MalformedMessage(
            "The expectation is not in its form.",
            required="first-us=…, token-us=…, input=…, output=… or quote=0x…",
        )
    if (quote := found["quote"]) is not None:
        return Redeemed(read_value("bytes32", quote, "quote"))
    return Expected(
        size=Size(
            input_tokens=_tokens(found["input"], "input"), output_tokens=_tokens(found["output"], "output")
        ),
        pace=Pace(_seconds(found["first"], "first-us"), _seconds(found["token"], "token-us")),
    )


_EXPECT: Final = re.compile(
    r"first-us=(?P<first>[0-9]+), ?token-us=(?P<token>[0-9]+), "
    r"?input=(?P<input>[0-9]+), ?output=(?P<output>[0-9]+)"
    r"|quote=(?P<quote>0x[0-9a-fA-F]{64})"
).fullmatch


def _tokens(value: Any, where: str) -> Tokens:
    return Tokens(_bounded(value, where, TOKENS_LIMIT))


def _seconds(value: Any, where: str) -> float:
    return _bounded(value, where, MICROSECONDS_LIMIT) / 1e6


def _bounded(value: Any, where: str, limit: int) -> int:
    number: int = read_value("uint64", value, where)
    if number >= limit:
        raise MalformedMessage(f"{where} is too large.", required=limit - 1, actual=number)
    return number
