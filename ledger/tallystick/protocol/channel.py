"""A channel: the part of one account reserved for one provider and spendable by one session key.

            CapRaised, Settled     Settled
                  ┌────┐           ┌────┐
   ChannelOpened  ▼    │           ▼    │
 NONE ─────────▶ OPEN ──────────▶ CLOSING
  ▲               │ CloseRequested  │
  └───────────────┴─────────────────┘
    ChannelClosed, with the epoch raised by one: an old voucher can never revive.

On chain the status is derived from fields and the clock; here it is this table, whose events are the
contract's. It knows no voucher, no receipt and no block.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.errors import ChannelNotOpen, MalformedMessage
from tallystick.protocol.message import read_value
from tallystick.protocol.units import Address, Atoms, ChannelId, Timestamp, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelKey:
    """Who pays whom, by which key, in which life."""

    payer: Address
    provider: Address
    session_key: Address
    epoch: int = 0

    @property
    def id(self) -> ChannelId:
        """keccak256(abi.encode(payer, provider, sessionKey, epoch))."""
        words = (self.payer, self.provider, self.session_key, self.epoch.to_bytes(3, "big"))
        assert all(len(address) == 20 for address in words[:3]), self
        return ChannelId(keccak(b"".join(word.rjust(32, b"\0") for word in words)))

    def to_json(self) -> dict[str, str]:
        return {
            "payer": to_hex(self.payer),
            "provider": to_hex(self.provider),
            "sessionKey": to_hex(self.session_key),
            "epoch": str(self.epoch),
        }

    @classmethod
    def from_json(cls, data: object) -> "ChannelKey":
        """What `to_json` wrote; other members are ignored. Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("A channel is an object.")
        return cls(
            payer=read_value("address", data.get("payer"), "channel.payer"),
            provider=read_value("address", data.get("provider"), "channel.provider"),
            session_key=read_value("address", data.get("sessionKey"), "channel.sessionKey"),
            epoch=read_value("uint24", data.get("epoch"), "channel.epoch"),
        )


class Status(Enum):
    NONE = "none"
    """Never opened in this epoch."""
    OPEN = "open"
    """Vouchers may be relied on."""
    CLOSING = "closing"
    """The payer asked for the rest back; the provider may still settle, and accepts nothing new."""


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    cap: Atoms


@dataclass(frozen=True, slots=True)
class CapRaised:
    cap: Atoms


@dataclass(frozen=True, slots=True)
class Settled:
    settled: Atoms


@dataclass(frozen=True, slots=True)
class CloseRequested:
    closes_at: Timestamp


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    settled: Atoms


Event = ChannelOpened | CapRaised | Settled | CloseRequested | ChannelClosed

TRANSITIONS: Final[Mapping[Status, Mapping[type[Event], Status]]] = {
    Status.NONE: {ChannelOpened: Status.OPEN},
    Status.OPEN: {
        CapRaised: Status.OPEN,
        Settled: Status.OPEN,
        CloseRequested: Status.CLOSING,
        ChannelClosed: Status.NONE,
    },
    Status.CLOSING: {Settled: Status.CLOSING, ChannelClosed: Status.NONE},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What the chain says of one channel in its current epoch. `settled <= cap`, always."""

    key: ChannelKey
    cap: Atoms = Atoms(0)
    """Atoms reserved in this epoch, in total."""
    settled: Atoms = Atoms(0)
    """Atoms paid in this epoch, in total."""
    closes_at: Timestamp = Timestamp(0)
    """First second at which the rest may be returned; zero while not closing."""

    @property
    def status(self) -> Status:
        if self.cap == 0:
            return Status.NONE
        return Status.CLOSING if self.closes_at else Status.OPEN

    @property
    def id(self) -> ChannelId:
        return self.key.id


def apply(channel: Channel, event: Event) -> Channel:
    """The channel after `event`.

    Raises
    ------
    ChannelNotOpen :
        The contract emits no such event in this status: the events are not a true chain's.
    """
    if type(event) not in TRANSITIONS[channel.status]:
        raise ChannelNotOpen(
            f"{type(event).__name__} does not happen to a channel that is {channel.status.value}."
        )
    match event:
        case ChannelOpened(cap) | CapRaised(cap):
            return replace(channel, cap=cap)
        case Settled(settled):
            return replace(channel, settled=settled)
        case CloseRequested(closes_at):
            return replace(channel, closes_at=closes_at)
        case ChannelClosed():
            return Channel(key=replace(channel.key, epoch=channel.key.epoch + 1))
