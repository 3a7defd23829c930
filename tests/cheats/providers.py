"""Providers that tell false receipts. Each is played against the real SDK in `test_providers`.

Every class says what it is after; `bound` is the most that it may be paid beyond what really came.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from tallystick.client.ask import MESSAGE_ALLOWANCE, TEMPLATE_ALLOWANCE
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.transcript import TEXTLESS_ALLOWANCE, Transcript
from tallystick.protocol.units import Atoms, Hash32, Milliseconds, Tokens
from tests.client.echo import chunks, whole
from tests.client.provider import FakeProvider
from tests.client.serving import Handler

TEXT = " ".join(f"word{index}" for index in range(24))
ASKED = {"max_tokens": 400}


class Cheat(FakeProvider):
    """A provider whose vouchers are compared with what went over the wire."""

    text: ClassVar[str] = TEXT
    options: ClassVar[dict[str, Any]] = {}
    """Of the offer and the provider."""
    streamed: ClassVar[tuple[bool, ...]] = (False, True)
    asks: ClassVar[int] = 3
    """Requests that a program makes, one after the other."""
    patience: ClassVar[float] = 60
    """Seconds for which the program waits for a byte."""
    bears: ClassVar[float] = 60
    """The same to connect, to write, and for its turn: a head has the time of all of them."""
    interim: ClassVar[bool] = False
    """It takes a stream with interim receipts to play it."""

    def bound(self) -> int:
        """Atoms."""
        return 0

    def gain(self) -> int:
        return sum(side.vouched for side in self.sides.values()) - self.fair()

    def fair(self) -> int:
        """The price of what was really sent, by words counted on the wire. Prices are whole atoms a token."""
        offer = self.offer
        return sum(
            cost_up(
                offer,
                input_tokens=record.input_tokens,
                cached_input_tokens=0,
                output_tokens=record.words,
            )
            for side in self.sides.values()
            for record in side.records.values()
            if record.words
        )

    def priced(self, receipt: Receipt, **changes: Any) -> Receipt:
        """The receipt with other counts, its cost and sum made to fit."""
        changed = replace(receipt, **changes)
        cost = cost_up(
            self.offer,
            input_tokens=changed.input_tokens,
            cached_input_tokens=changed.cached_input_tokens,
            output_tokens=changed.output_tokens,
        )
        before = receipt.cumulative_cost - receipt.cost
        return replace(changed, cost=cost, cumulative_cost=Atoms(before + cost))


class FalseReceipt(Cheat):
    """Tells `false(receipt)` where an honest one would tell `receipt`."""

    def false(self, receipt: Receipt) -> Receipt:
        raise NotImplementedError

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        return [self.signed(self.false(receipt))]


class OvercountsOutput(FalseReceipt):
    """One token more than it sent."""

    def false(self, receipt: Receipt) -> Receipt:
        return self.priced(receipt, output_tokens=Tokens(receipt.output_tokens + 1))


class OvercountsInput(FalseReceipt):
    """More input than its own engine said."""

    def false(self, receipt: Receipt) -> Receipt:
        return self.priced(receipt, input_tokens=Tokens(receipt.input_tokens + 50))


class OvercountsInputAbsurdly(Cheat):
    """More input than the request has bytes, and says so in the answer too."""

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        for payload in chunks(body):
            yield json.dumps(json.loads(payload) | {"prompt_token_ids": list(range(50_000))}).encode()

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return json.dumps(json.loads(whole(body)) | {"prompt_token_ids": list(range(50_000))}).encode()


class OvercountsCachedInput(FalseReceipt):
    """Its offer's cached input is dearer, and all of the input was cached, it says."""

    options: ClassVar[dict[str, Any]] = {"cached_input_price": 3_000_000}

    def false(self, receipt: Receipt) -> Receipt:
        return self.priced(receipt, cached_input_tokens=receipt.input_tokens)


class BillsInputTwice(FalseReceipt):
    """Bills the input on each receipt of a stream."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)
    interim: ClassVar[bool] = True

    def false(self, receipt: Receipt) -> Receipt:
        return self.priced(receipt, input_tokens=Tokens(max(receipt.input_tokens, 5)))


class ChargesAnAtomMore(FalseReceipt):
    """An atom above the price of its counts."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(
            receipt, cost=Atoms(receipt.cost + 1), cumulative_cost=Atoms(receipt.cumulative_cost + 1)
        )


class ChangesPriceInMidStream(FalseReceipt):
    """The second receipt of a stream costs twice as much a token."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)
    interim: ClassVar[bool] = True

    def false(self, receipt: Receipt) -> Receipt:
        if receipt.sequence == 0:
            return receipt
        more = receipt.cost
        return replace(
            receipt, cost=Atoms(receipt.cost + more), cumulative_cost=Atoms(receipt.cumulative_cost + more)
        )


class BillsUnderAnotherOffer(FalseReceipt):
    """The receipt names a dearer offer of its own."""

    def false(self, receipt: Receipt) -> Receipt:
        dear = replace(self.offer, sequence=2, output_price=self.offer.output_price * 3, model="other")
        cost = cost_up(
            dear,
            input_tokens=receipt.input_tokens,
            cached_input_tokens=0,
            output_tokens=receipt.output_tokens,
        )
        before = receipt.cumulative_cost - receipt.cost
        return replace(
            receipt, offer_hash=dear.struct_hash(), cost=cost, cumulative_cost=Atoms(before + cost)
        )


class CumulatesOneTooMuch(FalseReceipt):
    """`cumulativeCost` is off by an atom."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, cumulative_cost=Atoms(receipt.cumulative_cost + 1))


class HashesOtherBytes(FalseReceipt):
    """The receipt is for an answer that was not sent."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, response_hash=Hash32(b"\2" * 32))


class HashesOtherTokens(FalseReceipt):
    """The receipt commits to token ids that were not sent."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, tokens_hash=Hash32(b"\3" * 32))


class BillsAnotherChannel(FalseReceipt):
    """The receipt is of a channel that is not the request's."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, channel_id=b"\1" * 32)


class BillsAnotherRequest(FalseReceipt):
    """The receipt is for a request that was not made."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, request_hash=Hash32(b"\4" * 32))


class DropsTheLastTokens(Cheat):
    """Bills, and hashes, pieces that it never sends."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def on_the_wire(self, payload: bytes) -> bytes | None:
        return None if b"word22" in payload or b"word23" in payload else payload


class SendsOtherBytes(Cheat):
    """A cheaper answer goes over the wire than the one it hashes."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def on_the_wire(self, payload: bytes) -> bytes | None:
        return payload.replace(b"word", b"x")


class BillsInCrumbs(Cheat):
    """A receipt a token, so that rounding up pays an atom for a thousandth of one. The price of an output
    token is a thousandth of an atom; of the input, nothing."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)
    options: ClassVar[dict[str, Any]] = {"price": 1_000, "input_price": 0}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.interim_at = 1


class SkipsASequence(FalseReceipt):
    """The first receipt is numbered 1: the gap can never be filled."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, sequence=receipt.sequence + 1)


class Equivocates(FalseReceipt):
    """Every receipt is number 0, and starts the sum anew."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(
            receipt,
            sequence=0,
            cumulative_cost=receipt.cost,
            finished_at=Milliseconds(receipt.finished_at + self.worked),
        )


class RepeatsAReceipt(Cheat):
    """Tells the same one twice."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        return [self.signed(receipt)] * 2


class TellsTwoLastReceipts(Cheat):
    """The second one bills the answer again."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        again = replace(
            receipt,
            sequence=receipt.sequence + 1,
            cumulative_cost=Atoms(receipt.cumulative_cost + receipt.cost),
        )
        return [self.signed(receipt), self.signed(again)]


class EndsUnknownly(FalseReceipt):
    """The last receipt has a reason to end that there is not."""

    def false(self, receipt: Receipt) -> Receipt:
        return replace(receipt, finish=77)


class SignsWithAKeyNeverNamed(Cheat):
    """The chain never saw the key: what it signs could not be held against anybody's stake."""

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        self.signing_key = Key.generate()
        return super().told(receipt)


class BillsBeforeAnyToken(Cheat):
    """The input is read, it says, and billed; the answer never begins."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        prompt = 3 + len(body["messages"][-1]["content"].split())
        usage = {"prompt_tokens": prompt, "completion_tokens": 0, "total_tokens": prompt}
        yield json.dumps({"id": "x", "model": "echo", "choices": [], "usage": usage}).encode()

    def bills(self, transcript: Transcript, billed: list[int]) -> bool:
        return True


class PadsTokenIds(Cheat):
    """Ids without text behind them, up to the tokens asked for. The payer has no tokenizer."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        *said, last, _ = chunks(body)
        yield from said
        padded = json.loads(last)
        padded["choices"][0]["token_ids"] = [7] * (ASKED["max_tokens"] - len(self.text.split()))
        yield json.dumps(padded).encode()

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        limit = ASKED["max_tokens"]
        return [self.signed(self.priced(receipt, output_tokens=Tokens(limit)))]

    def bound(self) -> int:
        each = ASKED["max_tokens"] * self.offer.output_price // 1_000_000
        words = sum(record.words for side in self.sides.values() for record in side.records.values())
        return each * self.worked - words * self.offer.output_price // 1_000_000


class PadsUsage(Cheat):
    """A usage far beyond the text, and no ids. What no text bears out is not counted: a token has a byte at
    least, and 64 may leave no text."""

    streamed: ClassVar[tuple[bool, ...]] = (True, False)

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        for payload in chunks(body):
            yield self._padded(payload)

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return self._padded(whole(body))

    def _padded(self, payload: bytes) -> bytes:
        data = json.loads(payload)
        for choice in data["choices"]:
            choice.pop("token_ids", None)
        if data.get("usage"):
            data["usage"]["completion_tokens"] = 100_000
        return json.dumps(data).encode()

    def bound(self) -> int:
        each = len(self.text) + 1 + TEXTLESS_ALLOWANCE - len(self.text.split())
        return self.worked * each * self.offer.output_price // 1_000_000


class PadsAnAnswerOfNothing(PadsUsage):
    """The same, without a word of text."""

    def _padded(self, payload: bytes) -> bytes:
        data = json.loads(super()._padded(payload))
        for choice in data["choices"]:
            choice |= {"delta": {"content": ""}} if "delta" in choice else {"message": {"content": ""}}
        return json.dumps(data).encode()

    def bound(self) -> int:
        return 0


class CountsInputByTheByte(Cheat):
    """As much input as the request has bytes, and a template's allowance. The payer has no tokenizer."""

    claimed = 0
    allowed = 0

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        self.claimed = len(self.text) + TEMPLATE_ALLOWANCE
        self.allowed += len(raw) + TEMPLATE_ALLOWANCE + MESSAGE_ALLOWANCE
        return False

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        for payload in chunks(body):
            yield self._claiming(payload)

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return self._claiming(whole(body))

    def _claiming(self, payload: bytes) -> bytes:
        return json.dumps(json.loads(payload) | {"prompt_token_ids": list(range(self.claimed))}).encode()

    def bound(self) -> int:
        true = sum(record.input_tokens for side in self.sides.values() for record in side.records.values())
        return (self.allowed - true) * self.offer.input_price // 1_000_000
