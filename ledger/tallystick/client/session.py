"""Everything one process needs to pay with one wallet; transports and clients are faces of it."""

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import anyio.to_thread

from tallystick.chain.audits import Audits as Auditors
from tallystick.chain.deployment import Deployment
from tallystick.chain.duels import Duels
from tallystick.chain.history import opened_by
from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender as TransactionSender
from tallystick.chain.timeline import Timeline
from tallystick.client.auditing import Auditing
from tallystick.client.audits import Audits
from tallystick.client.budget import Budget
from tallystick.client.choose import Candidate, Rule, Wanted
from tallystick.client.clerk import Clerk, Closer
from tallystick.client.duel import Duel
from tallystick.client.duelling import Duelling
from tallystick.client.listing import Listing
from tallystick.client.outcome import OutcomeListener
from tallystick.client.payer import Payer
from tallystick.client.pools import Pools
from tallystick.client.purse import Purse
from tallystick.client.rules import quoted
from tallystick.client.sending import Sender
from tallystick.client.sight import Sight, Unsighted
from tallystick.client.striking import Striking
from tallystick.client.tables import Durability
from tallystick.client.tokenizers import load_tokenizers
from tallystick.home import Home
from tallystick.ports import ChainReader, Directory, Outlook, PostedOffer, Recount, Signer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.lottery import BlockAt
from tallystick.protocol.units import Address, Milliseconds, Tokens


def open_session(
    wallet: Signer,
    *,
    rpc: str,
    deployment: Deployment | Path | str | None = None,
    budget: Budget,
    home: Path | str | None = None,
    rule: Rule = quoted,
    on_outcome: OutcomeListener | None = None,
    transactions: bool = False,
    durability: Durability = "process",
    tokenizers: Mapping[str, Path | str] = MappingProxyType({}),
    outlook: Outlook | None = None,
    continues: bool = False,
    hedges: bool = False,
    duel: Duel | None = None,
    audits: Audits | None = None,
    avoids: frozenset[Address] = frozenset(),
    hands: Market | None = None,
) -> "Session":
    """What `transport` and the clients share; arguments and errors as of `transport`. `outlook`: what is
    heard of providers, for who hears it anyway. Of `avoids` nothing is bought, whatever a request wishes.
    `hands`: sends the wallet's transactions for whoever has it at hand: a key has one sender."""
    recounts = load_tokenizers(tokenizers)
    folder = Home.at(home)
    if not isinstance(deployment, Deployment):
        deployment = Deployment.load(folder.deployment if deployment is None else deployment)
    node = Rpc(rpc)
    market = Market(node, deployment, TransactionSender(node, deployment.chain_id, wallet))
    sending = hands or (market if transactions else None)
    return Session(
        wallet,
        chain=market,
        directory=market,
        domain=deployment.domain,
        budget=budget,
        home=folder,
        rule=rule,
        on_outcome=on_outcome,
        closing=node.close,
        closer=sending,
        opened=lambda: opened_by(market, wallet.address),
        durability=durability,
        tokenizers=recounts,
        outlook=outlook,
        continues=continues,
        hedges=hedges,
        duel=duel,
        duels=Duels(sending) if sending is not None and deployment.duels is not None else None,
        audits=audits,
        block_at=Timeline(node).block_at,
        auditors=None if deployment.audits is None else Auditors(sending or market),
        avoids=avoids,
        sighted=True,
    )


class Session:
    """One wallet, one market, one purse. Closed when it is dropped, or at the end of the program."""

    def __init__(
        self,
        wallet: Signer,
        *,
        chain: ChainReader,
        directory: Directory,
        domain: Domain,
        budget: Budget,
        home: Home,
        rule: Rule = quoted,
        on_outcome: OutcomeListener | None = None,
        pools: Pools | None = None,
        now: Callable[[], Milliseconds] | None = None,
        closing: Callable[[], None] | None = None,
        closer: Closer | None = None,
        durability: Durability = "process",
        opened: Callable[[], Sequence[ChannelKey]] = lambda: (),
        tokenizers: Mapping[str, Recount] = MappingProxyType({}),
        continues: bool = False,
        hedges: bool = False,
        duel: Duel | None = None,
        duels: Duels | None = None,
        audits: Audits | None = None,
        block_at: BlockAt | None = None,
        auditors: Auditors | None = None,
        outlook: Outlook | None = None,
        avoids: frozenset[Address] = frozenset(),
        sighted: bool = False,
    ):
        """`sighted`: what gateways tell of one another is looked up, where no other `outlook` is given.
        `block_at`: wherever there are `audits`; `auditors`: the contract that says who audits, if there is
        one; strikes are filed where there is a `closer`."""
        now = now or _now
        self.pools = pools or Pools()
        self.purse = Purse(
            home.purse, wallet=wallet, domain=domain, budget=budget, now=now, durability=durability
        )
        self.closer = closer
        self.opened = opened
        """All channels that the chain says this wallet ever opened."""
        self.clerk = Clerk(self.pools, closer=closer)
        self.duelling = None if duel is None else Duelling(self.pools, duel, duels)
        self.auditing = None
        if audits is not None and audits.budget:
            assert block_at is not None
            striking = None
            if auditors is not None and closer is not None:
                striking = Striking(auditors, block_at)
            self.auditing = Auditing(
                self.pools, audits, block_at=block_at, panels=auditors, striking=striking
            )
        listing = Listing(directory, now)
        self.sight = sight = self._sight(listing, chain, domain) if sighted and outlook is None else None
        self.payer = Payer(
            purse=self.purse,
            listing=listing,
            sender=Sender(purse=self.purse, wallet=wallet, chain=chain, listing=listing, now=now),
            clerk=self.clerk,
            rule=rule,
            outlook=outlook or sight or Unsighted(),
            now=now,
            on_outcome=on_outcome,
            tokenizers=tokenizers,
            continues=continues,
            hedges=hedges,
            duelling=self.duelling,
            auditing=self.auditing,
            avoids=avoids,
        )
        self.clerk.attend(self.payer)
        if self.duelling is not None:
            self.duelling.attend(self.payer)
        if self.auditing is not None:
            self.auditing.attend(self.payer)
        behind = [item for item in (self.duelling, self.auditing) if item is not None]
        self._finalizer = weakref.finalize(
            self, _close, behind, self.clerk, self.purse, self.pools, closing, sight
        )

    def _sight(self, listing: Listing, chain: ChainReader, domain: Domain) -> Sight:
        local = domain.chain_id in LOCAL_CHAIN_IDS
        return Sight(pools=self.pools, listing=listing, chain=chain, domain=domain, local=local)

    def in_order(self, offers: Sequence[PostedOffer], model: str | None) -> list[PostedOffer]:
        """Those of the model, or of each, as the rule orders them for a short question."""
        ordered: list[PostedOffer] = []
        for name in sorted({posted.offer.model for posted in offers} if model is None else {model}):
            same = [Candidate(posted=posted) for posted in offers if posted.offer.model == name]
            question = Wanted(model=name, input_tokens=Tokens(256), output_tokens=None, seed=0)
            ordered += [choice.posted for choice in self.payer.prospects.rule(same, question)]
        return ordered

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Acknowledges what is left to acknowledge, gives the channels back, closes the connections."""
        self._finalizer()

    async def aclose(self) -> None:
        """As `close`, and the event loop's own connections too."""
        await self.pools.aclose()
        await anyio.to_thread.run_sync(self.close)


def _now() -> Milliseconds:
    return Milliseconds(time.time_ns() // 1_000_000)


def _close(
    behind: Sequence[Duelling | Auditing],
    clerk: Clerk,
    purse: Purse,
    pools: Pools,
    closing: Callable[[], None] | None,
    sight: Sight | None,
) -> None:
    for item in behind:
        item.close()
    clerk.close()
    if sight is not None:
        sight.close()
    purse.close()
    pools.close()
    if closing is not None:
        closing()
