"""Who sees all that goes over the wire and on chain, believes nobody's books, and says what does not add up.

Its counts come from the words of the answers, its sums from the receipts as they were sent.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

import orjson

from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import MTOK, Atoms, ChannelId, Hash32
from tallystick.protocol.voucher import Tally, require_acknowledges
from tallystick.protocol.wire import (
    RECEIPT,
    RECEIPT_COMMENT,
    RESYNC_PATH,
    read_receipt_text,
    signed_from_json,
)
from tallystick_node.gateway.gateway import Gateway
from tests.machine.chain import ModelChain
from tests.machine.engine import input_tokens, tokens_in
from tests.machine.wire import Line

_RECEIPTS = re.compile(re.escape(RECEIPT_COMMENT) + rb"(\S+)\n")
_PAYLOADS = re.compile(rb"^data: (\{.*\})\n", re.MULTILINE)


@dataclass
class Asked:
    """One request body under one offer, on one channel."""

    offer_hash: Hash32
    input_tokens: int
    most_tokens: int
    delivered: int = 0
    """Output tokens that left the gateway, in the longest answer."""
    received: int = 0
    """The same that reached the payer."""


@dataclass
class Witness:
    receipts: dict[ChannelId, dict[int, Receipt]] = field(default_factory=lambda: defaultdict(dict))
    """All that left the gateway."""
    received: set[tuple[ChannelId, int]] = field(default_factory=set)
    """Those of them that reached the payer."""
    signed: dict[ChannelId, Atoms] = field(default_factory=lambda: defaultdict(lambda: Atoms(0)))
    """The largest voucher that left the payer."""
    asked: dict[tuple[ChannelId, Hash32], Asked] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    # ---- what it sees

    def request(self, line: Line) -> None:
        """A request leaves the payer: its voucher pays for nothing but receipts that it got, for words that
        it got."""
        voucher = line.credential.voucher.message
        channel, count = voucher.channel_id, voucher.acknowledgement.receipt_count
        known = self.receipts[channel]
        tally = Tally()
        output: dict[Hash32, int] = defaultdict(int)
        for sequence in range(count):
            assert (channel, sequence) in self.received, "a receipt is acknowledged that never arrived"
            receipt = known[sequence]
            tally = tally.append(receipt)
            output[receipt.request_hash] += receipt.output_tokens
        require_acknowledges(voucher, tally)
        for hashed, tokens in output.items():
            assert tokens <= self.asked[channel, hashed].received, "words are paid for that never arrived"
        self.signed[channel] = max(self.signed[channel], voucher.cumulative_amount)
        body = orjson.loads(line.request.body or b"{}")
        if "messages" in body:
            key = channel, voucher.acknowledgement.request_hash
            fresh = Asked(line.credential.offer_hash, input_tokens(body), body["max_tokens"])
            self.asked.setdefault(key, fresh)

    def left(self, line: Line, _: bytes) -> None:
        """Something leaves the gateway."""
        assert line.head is not None
        status, headers = line.head
        if line.sent == b"":
            self.statuses[status] += 1
            assert status != 500, line
        if status != 200:
            return
        for signed in self._receipts_in(line, line.sent, headers):
            receipt = signed.message
            known = self.receipts[receipt.channel_id].setdefault(receipt.sequence, receipt)
            assert known == receipt, "two receipts with one channel and sequence"
        if asked := self._asked_on(line):
            asked.delivered = max(asked.delivered, _tokens(line.sent, headers))

    def got(self, line: Line, _: bytes) -> None:
        """Something reaches the payer."""
        assert line.head is not None
        status, headers = line.head
        if status != 200 or line.process is None:
            return
        for signed in self._receipts_in(line, line.got, headers):
            self.received.add((signed.message.channel_id, signed.message.sequence))
        if asked := self._asked_on(line):
            asked.received = max(asked.received, _tokens(line.got, headers))

    def _asked_on(self, line: Line) -> Asked | None:
        voucher = line.credential.voucher.message
        return self.asked.get((voucher.channel_id, voucher.acknowledgement.request_hash))

    def _receipts_in(self, line: Line, body: bytes, headers: dict[str, str]) -> list[Signed[Receipt]]:
        if headers["content-type"].startswith("text/event-stream"):
            return [read_receipt_text(text.decode()) for text in _RECEIPTS.findall(body)]
        found = []
        if (text := headers.get(RECEIPT.lower())) is not None:
            found.append(read_receipt_text(text))
        if line.request.path == RESYNC_PATH and len(body) == len(line.sent) and body:
            found += [signed_from_json(Receipt, item) for item in orjson.loads(body)["receipts"]]
        return found

    # ---- what it asks after every step

    def check(self, gateway: Gateway, chain: ModelChain, offers: dict[Hash32, Offer], credit: int) -> None:
        books = gateway.books
        for account in books.accounts.values():
            assert account.exposure <= credit, "more is under way than the credit"
        for running in gateway.running.values():
            asked = self.asked[running.tab.id, running.request_hash]
            sent = _cost(offers[asked.offer_hash], asked, asked.delivered)
            billed = sum(
                receipt.cost
                for receipt in self.receipts[running.tab.id].values()
                if receipt.request_hash == running.request_hash
            )
            assert sent - billed <= running.reservation.held, "more was sent than was reserved"
        for tab in books.tabs.values():
            known = self.receipts[tab.id]
            tally = Tally()
            for sequence in range(tab.acknowledged.count):
                tally = tally.append(known[sequence])
            assert tally == tab.acknowledged, "what is acknowledged is not the sum of a prefix"
            assert tab.acknowledged.amount <= tab.issued.amount
            assert tab.acknowledged.amount <= self.signed[tab.id], "nobody signed so much"
        for channel in chain.channels.values():
            assert channel.settled <= self.signed[channel.id], "more is settled than was signed"
        self._check_charges(offers)

    def _check_charges(self, offers: dict[Hash32, Offer]) -> None:
        for channel, known in self.receipts.items():
            output: dict[Hash32, int] = defaultdict(int)
            for receipt in known.values():
                asked = self.asked[channel, receipt.request_hash]
                output[receipt.request_hash] += receipt.output_tokens
                if receipt.input_tokens:
                    assert receipt.input_tokens == asked.input_tokens
                    output[receipt.request_hash] += 1_000_000
            for hashed, tokens in output.items():
                times_input, words = divmod(tokens, 1_000_000)
                assert times_input <= 1, "the input is charged twice"
                assert words <= self.asked[channel, hashed].delivered, "words are charged twice"

    def paid(self) -> int:
        """The most that everything signed so far can cost the payer."""
        return sum(self.signed.values())


def _tokens(body: bytes, headers: dict[str, str]) -> int:
    if headers["content-type"].startswith("text/event-stream"):
        return sum(map(tokens_in, _PAYLOADS.findall(body)))
    try:
        return tokens_in(body)
    except orjson.JSONDecodeError:
        return 0  # The half of one.


def _cost(offer: Offer, asked: Asked, output: int) -> int:
    """Rounded down, nothing cached dearer than it is: the least that this must have been worth."""
    if not output:
        return 0
    price = min(offer.input_price, offer.cached_input_price)
    return (asked.input_tokens * price + output * offer.output_price) // MTOK
