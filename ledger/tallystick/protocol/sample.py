"""One answer as an auditor gets it: the request, the tokens that came, and the receipt that binds both.

Whoever paid for the answer has all of it. Only what the receipt binds is believed: the request's bytes, the
output's ids and log-probabilities. What the prompt's ids are an auditor finds out from its own engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage, ReceiptMismatch
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import attachments
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Signed, Verified, verify
from tallystick.protocol.transcript import tokens_hash
from tallystick.protocol.units import Address
from tallystick.protocol.voucher import request_hash
from tallystick.protocol.wire import signed_from_json, signed_to_json

SAMPLE: Final = "sample/1"
PATHS: Final = ("/v1/chat/completions", "/v1/completions")
_HARMLESS: Final = frozenset(
    {
        *("model", "messages", "prompt", "max_tokens", "max_completion_tokens", "stream", "stream_options"),
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "user", "logprobs", "top_logprobs"),
        "return_token_ids",
    }
)
"""Members of a request that leave the likeliest token the likeliest."""
_ENDERS: Final = ("stop", "stop_token_ids", "tools", "functions", "structured_outputs", "response_format")
"""Members by which an answer may end without a token that ends it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An answer to one prompt, alone in its request."""

    path: str
    body: bytes
    """Of the request, as it was sent."""
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """One for each id, or none."""
    offer: Offer
    """Under which it was bought: it names the provider."""
    receipt: Signed[Receipt]
    """The last of the request's."""

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """Of the body; raises MalformedMessage."""
        try:
            fields = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise MalformedMessage("The request is not JSON.") from error
        if not isinstance(fields, dict):
            raise MalformedMessage("The request is not an object.")
        return fields

    @property
    def size(self) -> int:
        """Bytes, roughly, that it takes to keep."""
        return len(self.body) + 36 * len(self.ids) + 36 * len(self.logprobs)

    def require_bound(self, domain: Domain, receipt_key: Address) -> Verified[Receipt]:
        """The receipt, once it is proven that the provider of this receipt key signed it for just this.

        Raises
        ------
        SignatureError :
            It is somebody else's.
        ReceiptMismatch :
            The receipt is of another offer, request or answer.
        """
        verified = verify(self.receipt, domain, signer=receipt_key)
        receipt, offer_hash = self.receipt.message, self.offer.struct_hash()
        for name, bound, shown in (
            ("offer", receipt.offer_hash, offer_hash),
            ("request", receipt.request_hash, request_hash(offer_hash, self.body)),
            ("tokens", receipt.tokens_hash, tokens_hash(self.ids, self.logprobs)),
        ):
            if bound != shown:
                raise ReceiptMismatch(
                    f"The receipt binds another {name} than the sample shows.",
                    required="0x" + bound.hex(),
                    actual="0x" + shown.hex(),
                )
        return verified

    @property
    def is_single(self) -> bool:
        """One prompt of text or token ids, one answer: what can be audited. A prefill is of ids alone: an
        image or a sound would be missing in it, and an honest answer far off for everybody."""
        prompt = self.fields.get("prompt")
        several = isinstance(prompt, list) and any(isinstance(item, str | list) for item in prompt)
        if several or self.fields.get("prompt_embeds") or attachments(self.fields.get("messages")):
            return False
        return all(self.fields.get(name) in (None, 1) for name in ("n", "best_of"))

    @property
    def is_greedy(self) -> bool:
        """Each token is to be the likeliest one: temperature zero, and nothing that bends the model's
        word."""
        return self.fields.get("temperature") == 0 and not self.is_bent

    @property
    def is_bent(self) -> bool:
        """The request has tools, penalties, constraints or the like: what an engine says of a token may be of
        what they made of the model's word, and not of that."""
        return bool(self.fields.keys() - _HARMLESS - {"n", "best_of"})

    @property
    def is_seeded(self) -> bool:
        """Somebody else's answer to the same request is to be the same."""
        return self.fields.get("temperature") == 0 or type(self.fields.get("seed")) is int

    def miscounted(self, *, prompt_tokens: int, ends: tuple[int, ...]) -> str | None:
        """Why the receipt's output count or its end are not the answer's, whatever the model; None: they
        are."""
        receipt = self.receipt.message
        if receipt.output_tokens > len(self.ids):
            return f"{receipt.output_tokens} output tokens are billed, and {len(self.ids)} came"
        ended = self.ids[-1] in ends or any(self.fields.get(name) for name in _ENDERS)
        if receipt.finish == Finish.STOP and not ended:
            return "it stops where no token ends it"
        if receipt.finish == Finish.LENGTH and len(self.ids) < self._limit(prompt_tokens):
            return f"it ends by length after {len(self.ids)} of {self._limit(prompt_tokens)} tokens"
        return None

    def _limit(self, prompt_tokens: int) -> int:
        """Output tokens after which an answer ends by length."""
        left = self.offer.context_length - prompt_tokens
        limits = [self.fields.get(name) for name in ("max_completion_tokens", "max_tokens")]
        return min([left, *(limit for limit in limits if type(limit) is int)])


def sample_to_json(sample: Sample) -> dict[str, Any]:
    return {
        "tallystick": SAMPLE,
        "path": sample.path,
        "body": sample.body.decode(),
        "ids": list(sample.ids),
        "logprobs": list(sample.logprobs),
        "offer": sample.offer.to_json(),
        **signed_to_json(sample.receipt),
    }


def sample_from_json(data: object) -> Sample:
    """The sample that `sample_to_json` wrote; raises MalformedMessage."""
    if not isinstance(data, dict) or data.get("tallystick") != SAMPLE or data.get("path") not in PATHS:
        raise MalformedMessage("This is no sample.", required=SAMPLE)
    ids, logprobs, body = (data.get(name) for name in ("ids", "logprobs", "body"))
    if not isinstance(body, str) or not isinstance(ids, list) or not isinstance(logprobs, list):
        raise MalformedMessage("A sample has a body, ids and logprobs.")
    if not ids or any(type(item) is not int or not 0 <= item < 1 << 32 for item in ids):
        raise MalformedMessage("The ids of a sample are token ids.")
    if len(logprobs) not in (0, len(ids)) or any(type(item) not in (int, float) for item in logprobs):
        raise MalformedMessage("A sample has a log-probability for each id, or none.")
    try:
        encoded, floats = body.encode(), tuple(map(float, logprobs))
    except (UnicodeEncodeError, OverflowError) as error:
        raise MalformedMessage("A sample's body is text, and its log-probabilities are doubles.") from error
    return Sample(
        path=data["path"],
        body=encoded,
        ids=tuple(ids),
        logprobs=floats,
        offer=Offer.from_json(data.get("offer")),
        receipt=signed_from_json(Receipt, data),
    )
