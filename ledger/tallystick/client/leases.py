"""The channels of a purse that this process has leased, and how it comes by another.

A lease is an OS lock, so a process that is dead leases nothing. The purse's own lock guards what is here.
"""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock

from sqlalchemy import ColumnElement

from tallystick.client.books import Books, free_for
from tallystick.client.holdings import OpenChannel
from tallystick.client.lease import Lease
from tallystick.client.sealing import SLOTS, Seal
from tallystick.crash import point
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, ChannelId, Milliseconds


class Leases:
    """Of one purse and one process."""

    def __init__(
        self,
        books: Books,
        folder: Path,
        *,
        payer: Address,
        seal: Seal,
        lock: RLock,
        now: Callable[[], Milliseconds],
    ):
        self._books = books
        self._folder = folder
        self._payer = payer
        self._seal = seal
        self._lock = lock
        self._now = now
        self.channels: dict[ChannelId, OpenChannel] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def channel_to(self, provider: Address) -> OpenChannel:
        """One that is leased here already, else one that nobody leases, else a new one without a grant."""
        with self._lock:
            for channel in self.channels.values():
                if channel.key.provider == provider and channel.usable:
                    return channel
            return self._adopt(free_for(provider)) or self._create(provider)

    def adopt_every(self, conditions: tuple[ColumnElement[bool], ...]) -> list[OpenChannel]:
        """All such channels that nobody leases."""
        adopted: list[OpenChannel] = []
        with self._lock:
            while (channel := self._adopt(conditions)) is not None:
                adopted.append(channel)
        return adopted

    def take_back(self, keys: Sequence[ChannelKey]) -> list[OpenChannel]:
        """Those channels that are ours and that the purse does not know, leased, and empty. All epochs of one
        session key are under its one lease."""
        known = {key.id for key, *_ in self._books.grants()}
        strange = [key for key in keys if key.payer == self._payer and key.id not in known]
        sessions = self._seal.find_sessions({key.session_key for key in strange})
        taken = []
        with self._lock:
            leases = {address: self._lease(address) for address in sessions}
            for key in strange:
                lease, session = leases.get(key.session_key), sessions.get(key.session_key)
                if lease is None or session is None:
                    continue
                channel = OpenChannel(key=key, id=key.id, session=session, lease=lease, confirmed=False)
                self._books.add_channel(channel, self._now())
                self.channels[channel.id] = channel
                point("channel.taken-back")
                taken.append(channel)
        return taken

    def close(self) -> None:
        """Gives them back."""
        for channel in self.channels.values():
            channel.lease.release()
        self.channels.clear()

    def _create(self, provider: Address) -> OpenChannel:
        session = self._draw_session()
        key = ChannelKey(payer=self._payer, provider=provider, session_key=session.address)
        lease = Lease.take(self._path(session.address))
        assert lease is not None, "somebody has the lease of a key made just now"
        channel = OpenChannel(key=key, id=key.id, session=session, lease=lease)
        self._books.add_channel(channel, self._now())
        self.channels[channel.id] = channel
        point("channel.made")
        return channel

    def _draw_session(self) -> Key:
        used = {key.session_key for key, *_ in self._books.grants()}
        while (session := self._seal.session_key(secrets.randbelow(SLOTS))).address in used:
            pass
        return session

    def _adopt(self, conditions: tuple[ColumnElement[bool], ...]) -> OpenChannel | None:
        """The first such channel that nobody leases."""
        for channel_id, session_key in self._books.keys_where(*conditions):
            if channel_id in self.channels:
                continue
            lease = self._lease(session_key)
            if lease is not None:
                if not self._books.fulfils(channel_id, *conditions):  # since it was looked up
                    if lease is not self._held(session_key):
                        lease.release()
                    continue
                channel = self._books.load_channel(channel_id, lease)
                self.channels[channel.id] = channel
                return channel
        return None

    def _lease(self, session_key: Address) -> Lease | None:
        """None: another process has it."""
        return self._held(session_key) or Lease.take(self._path(session_key))

    def _held(self, session_key: Address) -> Lease | None:
        """Ours already, for another epoch of the same key."""
        channels = self.channels.values()
        return next((item.lease for item in channels if item.key.session_key == session_key), None)

    def _path(self, session_key: Address) -> Path:
        return self._folder / session_key.hex()
