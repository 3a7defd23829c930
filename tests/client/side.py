"""The test provider's half of a channel."""

from dataclasses import dataclass, field

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.errors import MarketError
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Hash32
from tallystick.protocol.voucher import Tally, Voucher
from tallystick.protocol.wire import Terms


@dataclass
class Record:
    """One request under its nonce."""

    request_hash: Hash32
    stream: bool
    input_tokens: int
    """Of its engine's count."""
    lines: list[bytes] = field(default_factory=list)
    body: bytes = b""
    receipt: Signed[Receipt] | None = None
    done: bool = False
    words: int = 0
    """Output tokens that really went over the wire: the engine says one a word."""


@dataclass
class Side:
    """A provider's half of one channel."""

    key: ChannelKey
    cap: int
    tallies: list[Tally] = field(default_factory=lambda: [Tally()])
    receipts: list[Signed[Receipt]] = field(default_factory=list)
    acknowledged: int = 0
    voucher: Signed[Voucher] | None = None
    vouched: int = 0
    """The largest total that the session key ever signed: what the chain would pay."""
    records: dict[int, Record] = field(default_factory=dict)
    closed: bool = False

    @property
    def owed(self) -> int:
        return self.tallies[-1].amount - self.tallies[self.acknowledged].amount


class RequestsRunning(MarketError):
    code = "requests-running"
    retryable = True


class Refused(Exception):
    def __init__(self, status: int, error: MarketError, terms: Terms | None = None):
        self.status, self.error, self.terms = status, error, terms
