"""What the market needs of the world, each as a Protocol of one to four methods. Adapters do not inherit.

Chain access is synchronous and slow: asynchronous callers run it in a thread, and on a request's way only
when a channel is new.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.lottery import Block
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.stake import Stake
from tallystick.protocol.status import Status
from tallystick.protocol.units import Address, Atoms, Hash32, Milliseconds, Timestamp
from tallystick.protocol.value import value
from tallystick.protocol.voucher import Close, Voucher


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest block that is acted on."""

    number: int
    timestamp: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A payer's pooled deposit."""

    free: Atoms
    exiting: Atoms
    """On the way out; still covers grants until it is paid."""
    exits_at: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedOffer:
    """An offer that the contract has accepted, and who stands behind it."""

    offer: Offer
    offer_hash: Hash32
    stake: Stake


class Signer(Protocol):
    """A key, wherever it is kept."""

    @property
    def address(self) -> Address: ...

    def sign_hash(self, digest: Hash32) -> bytes:
        """65 bytes, low s."""


class Clock(Protocol):
    def milliseconds(self) -> Milliseconds: ...


class ChainReader(Protocol):
    """The contract's state, read at the newest block. Raises `chain.errors.ChainUnavailable`."""

    def head(self) -> Head: ...

    def account(self, payer: Address) -> Account: ...

    def stake(self, provider: Address) -> Stake: ...

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        """Whether `key` signs, or ever signed, for the provider."""

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        """In its current epoch, whatever epoch the caller has in mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTerms:
    """Of a market, for good."""

    minimum_stake: Atoms
    """What one must have staked to post an offer."""
    unit: Atoms
    """Of one whole asset."""


class Directory(Protocol):
    """Where offers are found, and whose word binds those who made them."""

    def terms(self) -> MarketTerms: ...

    def offers(self) -> Sequence[PostedOffer]:
        """Those that hold now: newest of each provider and model, not withdrawn, not expired, staked."""

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        """Whether the provider ever named it: what it signed binds the provider's stake for good."""


@value(kw_only=False)
class Seen:
    """What is known, now, of whoever stands behind one offer."""

    status: Status | None
    """The newest that its provider signed; None: nothing was heard of this offer."""
    age_ms: int
    """Since it was heard, by one's own clock; zero where nothing was."""
    suspected: bool
    """It is said not to answer."""
    ratio: float
    """Observed over quoted time as others found it; 1.0 where nothing is known."""


UNSEEN: Final = Seen(status=None, age_ms=0, suspected=False, ratio=1.0)


class Outlook(Protocol):
    """What is heard of providers beside the chain: hints that somebody signed, never a reason to pay."""

    def seen(self, posted: PostedOffer) -> Seen: ...


class Recount(Protocol):
    """A model's tokenizer in a payer's hands, as far as a count can be checked with it. Pure."""

    def shown(self, token: int) -> bytes:
        """What a reader sees of a token: nothing of a special one, or of an id that names none."""

    def text_size(self, text: str) -> int:
        """Tokens of `text`, nothing added. A model may have written it in others, and in more."""

    def prompt_size(self, text: str) -> int:
        """Tokens of `text` as a completion's prompt; no honest engine counts more."""

    def chat_size(self, messages: Sequence[Mapping[str, Any]]) -> int | None:
        """Tokens of the conversation as the model reads it; None where its template leaves that open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What a settlement brought."""

    atoms: Atoms
    """What the provider's balance gained."""
    block: int
    """In which it was mined, the last of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What became of transactions whose outcome was not known."""

    in_flight: bool
    """One may still be mined."""
    found: int
    """The newest block in which one turned up; zero: none did."""


class Settlement(Protocol):
    """What a provider sends to the chain. Each call returns when the transaction is mined."""

    def open_channels(self, grants: Sequence[Signed[Grant]]) -> int:
        """The block in which they were mined, the last of them."""

    def settle(
        self,
        vouchers: Sequence[tuple[ChannelKey, Signed[Voucher]]],
        *,
        highest_gas_price: int | None = None,
    ) -> Gain:
        """At no more than so many wei a gas."""

    def close(self, key: ChannelKey, signed: Signed[Close]) -> object:
        """Ends a channel's epoch, at a total that is settled already."""

    def gas_price(self) -> int:
        """Wei a gas, in the next block."""

    def look_up(self, *, recheck: bool = False) -> Look:
        """`recheck`: the chain took blocks back, and perhaps what was mined in them."""


class Panels(Protocol):
    """Who judges duels."""

    def panel(self, duel: Hash32, first: Address, second: Address) -> Sequence[Address]:
        """In the order of the seats, zero where one could not be filled; empty where there is no such duel,
        or nobody is drawn yet. Raises `chain.errors.ChainError`."""


class AuditPanels(Protocol):
    """Who audits."""

    def auditors(self, receipt_hash: Hash32, provider: Address, block: Block) -> Sequence[Address]:
        """Drawn by the block that drew the provider's receipt; empty where nobody can be. Raises
        `chain.errors.ChainError`."""
