"""Grants that payers send along with requests: checked, held until the chain shows them, and handed in in
batches.

Serving on a grant that is not mined is the provider's own risk, `unsecured_limit` at most. The chain is
asked once for each grant, in a thread, after every signature is checked.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from tallystick.chain.errors import ChainError
from tallystick.crash import point
from tallystick.ports import Account as ChainAccount
from tallystick.ports import ChainReader
from tallystick.protocol.channel import Channel, ChannelKey, Status
from tallystick.protocol.errors import (
    ChannelNotOpen,
    ChannelUnknown,
    GrantExpired,
    GrantNotCovered,
    MalformedMessage,
    WrongEpoch,
)
from tallystick.protocol.grant import Grant
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.units import Address, Atoms, ChannelId, Timestamp, address, to_hex
from tallystick.protocol.wire import Credential
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.errors import ChainStale
from tallystick_node.gateway.tab import Tab

INCLUSION_S: Final = 60
"""Seconds within which a transaction should be mined: a grant or an exit that ends sooner is not relied
on."""

_POOR_S: Final = 3
"""Short, because a deposit may be on its way."""
_POOR_LIMIT: Final = 10_000

log = structlog.get_logger("tallystick.grants")


@dataclass(frozen=True, slots=True)
class GrantPolicy:
    minimum_cap: Atoms
    """Smaller grants are not worth their gas."""


class Grants:
    def __init__(self, books: Books, chain: ChainReader, policy: GrantPolicy):
        self._books = books
        self._chain = chain
        self.policy = policy
        self._one_at_a_time = asyncio.Lock()
        self.submitted: dict[ChannelId, Timestamp] = {}
        """When a grant was last handed in."""
        self._silent_until = Timestamp(0)
        self._poor: dict[Address, tuple[Atoms, Timestamp]] = {}
        """What accounts held that did not cover a grant, and until when that is believed."""

    def worth(self, tab: Tab | None, signed: Signed[Grant]) -> bool:
        """It says more than what is known already."""
        return tab is None or signed.message.cap > max(tab.channel.cap, tab.granted)

    def named(self, credential: Credential) -> tuple[ChannelKey, Signed[Grant] | None]:
        """Whose voucher it should be, and the grant that came along where it is worth being accepted; raises
        ChannelUnknown, GrantExpired or MalformedMessage."""
        channel_id = credential.voucher.message.channel_id
        tab = self._books.tabs.get(channel_id)
        grant = None if credential.fetch else credential.grant
        if grant is not None and self.worth(tab, grant):
            self._require_ours(grant, channel_id)
            return grant.message.channel, grant
        if tab is None:
            raise ChannelUnknown("This provider knows no such channel. Send a grant along.")
        return tab.channel.key, None

    async def opened(self, key: ChannelKey, grant: Signed[Grant] | None) -> Tab:
        """The tab of the channel that was `named`; raises what `accept` does."""
        return self._books.tabs[key.id] if grant is None else await self.accept(grant)

    def _require_ours(self, signed: Signed[Grant], channel_id: ChannelId) -> None:
        """It names this provider and the voucher's channel, holds long enough, and is worth its gas."""
        grant = signed.message
        if grant.provider != self._books.provider:
            raise ChannelUnknown("The grant is for another provider.", required=to_hex(self._books.provider))
        if grant.channel.id != channel_id:
            raise ChannelUnknown(
                "The grant is for another channel than the voucher.", required=to_hex(channel_id)
            )
        if grant.deadline <= self._books.now + INCLUSION_S:
            raise GrantExpired(
                "The grant expires too soon to be mined.",
                required=self._books.now + INCLUSION_S,
                actual=grant.deadline,
            )
        if grant.cap < self.policy.minimum_cap:
            raise MalformedMessage(
                "The grant's cap is below what this provider opens a channel for.",
                required=str(self.policy.minimum_cap),
            )

    async def accept(self, signed: Signed[Grant]) -> Tab:
        """The channel's tab, which holds the grant; saved so, unless it is new.

        Raises
        ------
        WrongSigner, MalformedSignature :
            The payer's own key did not sign it. Accounts that are contracts open their channels themselves.
        WrongEpoch, ChannelNotOpen, GrantNotCovered :
            The chain would not mine it.
        ChainStale :
            The chain cannot be asked.
        """
        grant = signed.message
        verify(signed, self._books.domain, signer=grant.payer)
        async with self._one_at_a_time:
            tab = self._books.tabs.get(grant.channel.id)
            if tab is not None and not self.worth(tab, signed):
                return tab
            self._require_not_poor(grant)
            account, channel = await self._asked(grant)
            self._require_minable(grant, account, channel)
            tab = self._books.open(grant.channel)
            tab.grant = signed
            self.submitted.pop(tab.id, None)
            point("grant.accepted")
            if tab.kept:
                await self._books.store.save(self._books.saved(tab))
            return tab

    async def was_receipt_key(self, key: str) -> bool:
        """Whether this `0x…` signs, or ever signed, for this provider. Raises ChainStale."""
        provider = self._books.provider
        try:
            return await asyncio.to_thread(self._chain.is_receipt_key, provider, address(key))
        except ChainError as error:
            raise ChainStale("The chain cannot be asked about this receipt.") from error

    async def drop_impossible(self, tabs: Iterable[Tab]) -> list[Tab]:
        """Of those whose grant the chain is said to have skipped, which anyone can bring about: the grant
        is dropped only where the chain's own state rules it out. Raises ChainStale."""
        dropped = []
        for tab in tabs:
            if tab.grant is None:
                continue
            grant = tab.grant.message
            account, channel = await self._asked(grant)
            try:
                self._require_minable(grant, account, channel)
            except (WrongEpoch, ChannelNotOpen, GrantNotCovered) as error:
                log.warning("grant.dropped", channel=to_hex(tab.id), code=error.code)
                tab.grant = None
                dropped.append(tab)
        return dropped

    async def _asked(self, grant: Grant) -> tuple[ChainAccount, Channel]:
        """Raises ChainStale; at once, where the chain has just been silent: payers wait in line."""
        if self._books.now < self._silent_until:
            raise ChainStale("The chain could not be asked a moment ago.")
        try:
            return await asyncio.to_thread(self._ask, grant)
        except ChainError as error:
            self._silent_until = Timestamp(self._books.now + _POOR_S)
            raise ChainStale("The chain cannot be asked about this grant.") from error

    def _require_not_poor(self, grant: Grant) -> None:
        """Raises GrantNotCovered without asking the chain, where it said lately that the account holds
        less."""
        held, until = self._poor.get(grant.payer, (Atoms(0), Timestamp(0)))
        tab = self._books.tabs.get(grant.channel.id)
        required = grant.cap - (tab.channel.cap if tab else 0)
        if self._books.now < until and held < required:
            raise GrantNotCovered(
                "The payer's account did not hold the grant a moment ago.", required=required, actual=held
            )

    def _note_poor(self, payer: Address, held: Atoms) -> None:
        if len(self._poor) >= _POOR_LIMIT:
            self._poor.clear()
        self._poor[payer] = held, Timestamp(self._books.now + _POOR_S)

    def _ask(self, grant: Grant) -> tuple[ChainAccount, Channel]:
        return self._chain.account(grant.payer), self._chain.channel(
            grant.payer, grant.provider, grant.session_key
        )

    def _require_minable(self, grant: Grant, account: ChainAccount, channel: Channel) -> None:
        if channel.key.epoch != grant.epoch:
            raise WrongEpoch(
                "The grant is for another epoch of the channel.",
                required=channel.key.epoch,
                actual=grant.epoch,
            )
        if channel.status is Status.CLOSING:
            raise ChannelNotOpen("The channel is closing and takes no more work.")
        held = account.free
        if account.exits_at > self._books.now + INCLUSION_S:
            held = Atoms(held + account.exiting)
        required = max(0, grant.cap - channel.cap) + self._pending(grant)
        if held < required:
            self._note_poor(grant.payer, held)
            raise GrantNotCovered(
                "The payer's account does not hold the grant.", required=required, actual=held
            )

    def _pending(self, grant: Grant) -> int:
        """What the payer's other grants to us, not mined yet, will take."""
        account = self._books.accounts.get(grant.payer)
        tabs = account.tabs.values() if account else ()
        return sum(
            max(0, tab.granted - tab.channel.cap)
            for tab in tabs
            if tab.id != grant.channel.id and not tab.closed
        )

    async def forget_expired(self) -> None:
        """What can no longer be mined is no longer served on."""
        expired = [
            tab
            for tab in self._books.tabs.values()
            if tab.grant is not None
            and tab.granted > tab.channel.cap
            and tab.grant.message.deadline <= self._books.now
        ]
        for tab in expired:
            tab.grant = None
        kept = [tab for tab in expired if tab.kept]
        for tab in expired:
            if not (tab.kept or tab.running):
                self._books.drop(tab)
        if kept:
            await self._books.store.save(*map(self._books.saved, kept))

    def to_submit(self) -> list[Tab]:
        """Those that the chain has not shown yet and that were not handed in lately. Of a channel that we
        signed a close of, what was acknowledged on the grant can be settled in no other way; and one that was
        lost has to be opened before it can be closed, but need not be raised. The chain would skip the grant
        of an epoch that follows one which we have yet to end."""
        return [
            tab
            for tab in self._books.tabs.values()
            if tab.grant is not None
            and tab.granted > tab.channel.cap
            and tab.kept
            and not tab.closed
            and (not (tab.refusing or tab.lost) or tab.acknowledged.amount > tab.channel.cap or tab.unopened)
            and self._books.now - self.submitted.get(tab.id, Timestamp(0)) >= INCLUSION_S
            and not self._follows_one_to_end(tab)
        ]

    def _follows_one_to_end(self, tab: Tab) -> bool:
        """We ended the epoch before, and the chain took that back."""
        key = tab.channel.key
        before = self._books.tabs.get(replace(key, epoch=key.epoch - 1).id) if key.epoch else None
        return before is not None and before.ending
