"""One answer as it comes in, and whether its receipts speak of it.

Pure: bytes and receipts come in, verified receipts come out, or the reason why one is refused. It knows no
channel total: that receipts follow each other without a gap is the purse's to see.
"""

from collections.abc import Mapping
from struct import unpack
from typing import Any, Final

import orjson

from tallystick.client.ask import Ask
from tallystick.client.recount import Output, input_size
from tallystick.ports import PostedOffer, Recount
from tallystick.protocol.audit import require_price
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import ReceiptDoesNotAddUp, ReceiptMismatch
from tallystick.protocol.pricing import MINIMUM_INTERIM_COST
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Signed, Verified, verify
from tallystick.protocol.transcript import TEXTLESS_ALLOWANCE, Transcript
from tallystick.protocol.units import Atoms, ChannelId, Hash32, Tokens, to_hex

_FINISHES: Final = frozenset(Finish)
_CUT: Final = frozenset({Finish.CANCELLED, Finish.ENGINE_FAILED, Finish.OUT_OF_CREDIT, Finish.DRAINED})


class Reception:
    """What was received for one request, and what its receipts claim of it, counted together."""

    def __init__(
        self,
        *,
        domain: Domain,
        posted: PostedOffer,
        channel_id: ChannelId,
        request_hash: Hash32,
        ask: Ask,
        worst: Atoms,
        recount: Recount | None = None,
    ):
        self._domain = domain
        self.receipt_key = posted.stake.receipt_key
        """Whose signature counts."""
        self._posted = posted
        self._channel_id = channel_id
        self._request_hash = request_hash
        self._ask = ask
        self._worst = worst
        self._recounted = None if recount is None else Output(ask, recount)
        exact = None if recount is None else input_size(ask, recount)
        self._input_bound = ask.input_bound if exact is None else min(exact, ask.input_bound)
        self.transcript = Transcript(request_hash)
        self._ids, self._logprobs = bytearray(), bytearray()
        self.payloads = 0
        self.final: Verified[Receipt] | None = None
        """The receipt that ends the answer, once it came and was accepted."""
        self._unproven: list[Verified[Receipt]] = []
        self._input = self._cached = self._output = 0
        self._cost = 0
        self._billed_input = False

    def add(self, data: bytes) -> Mapping[str, Any]:
        """The next payload, or the one body; returned parsed, empty where it is no JSON object."""
        self.payloads += 1
        self.transcript.add_payload(data)
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return {}
        if not isinstance(chunk, dict):
            return {}
        said = self.transcript.add_counts(chunk)
        self._ids += said.ids
        self._logprobs += said.logprobs
        if self._recounted is not None:
            self._recounted.add(chunk)
        return chunk

    @property
    def tokens(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Output ids so far, and their log-probabilities, as far as they came."""
        count, scored = len(self._ids) // 4, len(self._logprobs) // 8
        return unpack(f">{count}I", self._ids), unpack(f">{scored}d", self._logprobs)

    def check(self, signed: Signed[Receipt]) -> list[Verified[Receipt]]:
        """What may be acknowledged now that `signed` came: usually it alone.

        An interim receipt that bills the input before the engine has said its size waits for the proof.

        Raises
        ------
        SignatureError :
            It is not the provider's.
        ReceiptMismatch :
            It speaks of other bytes or counts than those received, or of more than was asked for.
        ReceiptDoesNotAddUp :
            Its cost is not the price of its counts, or an interim one is too small.
        """
        receipt = signed.message
        verified = verify(signed, self._domain, signer=self.receipt_key)
        self._require_same_answer(receipt)
        self._require_counts(receipt)
        self._require_cost(receipt)
        self._unproven.append(verified)
        if receipt.finish != Finish.INTERIM:
            self.final = verified
        elif self._input and not self.transcript.input_tokens:
            return []
        self._require_input()
        proven, self._unproven = self._unproven, []
        return proven

    def _require_same_answer(self, receipt: Receipt) -> None:
        for name, required in (
            ("channel_id", self._channel_id),
            ("offer_hash", self._posted.offer_hash),
            ("request_hash", self._request_hash),
            ("response_hash", self.transcript.response_hash),
            ("tokens_hash", self.transcript.tokens_hash),
        ):
            actual = getattr(receipt, name)
            if actual != required:
                raise ReceiptMismatch(
                    f"The receipt's {name} is not that of what was received.",
                    required=to_hex(required),
                    actual=to_hex(actual),
                )

    def _require_counts(self, receipt: Receipt) -> None:
        if receipt.finish not in _FINISHES or self.final is not None:
            raise ReceiptMismatch(
                "The receipt ends the answer in no known way, or again.", actual=receipt.finish
            )
        if self._billed_input and receipt.input_tokens:
            raise ReceiptMismatch("The input is billed twice.", required=0, actual=receipt.input_tokens)
        if receipt.cached_input_tokens > receipt.input_tokens:
            raise ReceiptMismatch(
                "More input is billed as cached than there was.",
                required=receipt.input_tokens,
                actual=receipt.cached_input_tokens,
            )
        self._billed_input = self._billed_input or receipt.input_tokens > 0
        self._input += receipt.input_tokens
        self._cached += receipt.cached_input_tokens
        self._output += receipt.output_tokens
        received = self.transcript.output_tokens
        if not received:
            raise ReceiptMismatch(
                "A receipt for an answer that holds no output token.", required=0, actual=receipt.cost
            )
        recounted = None if self._recounted is None else self._recounted.bound
        bounds = (received, self._ask.output_limit, recounted)
        allowed = min(bound for bound in bounds if bound is not None)
        if self._output > allowed:
            raise ReceiptMismatch(
                "The receipts count more output tokens than were received, or asked for.",
                required=allowed,
                actual=self._output,
            )

    def _require_input(self) -> None:
        allowed = Tokens(min(self.transcript.input_tokens, self._input_bound))
        if self._input > allowed:
            raise ReceiptMismatch(
                "The receipts count more input tokens than the request can have.",
                required=allowed,
                actual=self._input,
            )
        cached = min(self.transcript.cached_input_tokens, self._input)
        offer = self._posted.offer
        if offer.cached_input_price > offer.input_price and self._cached > cached:
            raise ReceiptMismatch(
                "More input is billed as cached, and dearer, than the answer says.",
                required=cached,
                actual=self._cached,
            )
        alone = self.final is not None and len(self._unproven) == 1 and self._unproven[0].message.input_tokens
        if alone and offer.cached_input_price < offer.input_price and self._cached < cached:
            raise ReceiptMismatch(
                "Cached input is billed at the full price.", required=cached, actual=self._cached
            )

    def _require_cost(self, receipt: Receipt) -> None:
        require_price(receipt, self._posted.offer)
        if receipt.finish == Finish.INTERIM and receipt.cost < MINIMUM_INTERIM_COST:
            raise ReceiptDoesNotAddUp(
                "An interim receipt is too small.", required=MINIMUM_INTERIM_COST, actual=receipt.cost
            )
        self._cost += receipt.cost
        if self._cost > self._worst:
            raise ReceiptMismatch(
                "The receipts cost more than the request could in the worst case.",
                required=self._worst,
                actual=self._cost,
            )

    @property
    def runs_over(self) -> bool:
        """More came than was asked for: it is not paid, and need not be read."""
        limit = self._ask.output_limit
        if limit is None:
            limit = Tokens(self._posted.offer.context_length * self._ask.answers)
        return self.transcript.output_tokens > limit + TEXTLESS_ALLOWANCE

    @property
    def cut(self) -> bool:
        """Whether the answer, as far as it came, ends before its end."""
        if self.final is not None:
            return self.final.message.finish in _CUT
        return self.transcript.finish is None

    @property
    def delivered(self) -> bool:
        """Whether any output token came: without one there is nothing to pay."""
        return self.transcript.output_tokens > 0
