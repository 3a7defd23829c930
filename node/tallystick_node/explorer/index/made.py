"""A market that never was: blocks of it with as many settlements as are asked for, the same for a seed each
time.

For measuring and for tests. Its events follow from one another as the contract's do, and go through the very
folding that a chain's go through. What is signed in it is signed by nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.errors import ContractError
from tallystick.chain.events import (
    CapRaised,
    ChannelClosed,
    ChannelOpened,
    CloseRequested,
    Deposited,
    Earned,
    Exited,
    ExitRequested,
    GrantSkipped,
    OfferPosted,
    OffersWithdrawn,
    OverchargeProven,
    ReceiptKeySet,
    RowSkipped,
    Settled,
    Skip,
    Slashed,
    Staked,
    UnstakeRequested,
    Withdrawn,
)
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import (
    Address,
    Atoms,
    AtomsPerMTok,
    ChannelId,
    Hash32,
    Timestamp,
    Tokens,
)
from tallystick_node.explorer.index.facts import MarketBlock, reason
from tallystick_node.explorer.index.made_block import BlockMaker, Told

DOLLAR: Final = 1_000_000
"""Atoms."""
_ROWS: Final = (5, 60)
"""Channels in one settlement."""
_TRIES: Final = 50
"""At what may find nobody to do it."""
_PACE_S: Final = 300
"""A million settlements take about three months."""
_MODELS: Final = (
    *("llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "qwen3-32b", "qwen3-235b-a22b", "mistral-small-3.2"),
    *("gemma-3-27b-it", "deepseek-v3.1", "gpt-oss-120b", "phi-4", "glm-4.5-air", "kimi-k2", "olmo-2-32b"),
)
_WEIGHTS: Final = {"settle": 68, "join": 18, "raise_cap": 4, "close": 3, "offer": 2, "withdraw": 2, "fail": 2}
_SELDOM: Final = (
    "request_close",
    "request_exit",
    "exit",
    "request_unstake",
    "skip",
    "withdraw_offers",
    "slash",
)
"""One in a hundred, all together; and each once, early."""


@dataclass(slots=True)
class _Channel:
    key: ChannelKey
    id: ChannelId
    cap: int
    settled: int = 0
    closing: bool = False


@dataclass(slots=True)
class Provider:
    address: Address
    sender: Address
    models: tuple[str, ...]
    staked: int = 0
    exiting: int = 0
    balance: int = 0
    sequence: int = 0
    withdrawn: int = 0
    offered: Offer | None = None
    """The newest."""
    channels: list[_Channel] = field(default_factory=list)
    """Open ones."""


@dataclass(slots=True)
class _Payer:
    address: Address
    free: int = 0
    exiting: int = 0


class MadeMarket(BlockMaker):
    """Providers and payers who do as they please, block after block."""

    def __init__(self, seed: int, providers: int = 6):
        super().__init__(seed, pace_s=_PACE_S)
        self.settlements = 0
        self._providers = [self._new_provider() for _ in range(providers)]
        self._popularity = [1 / (rank + 1) for rank in range(providers)]
        self._payers: list[_Payer] = []
        self._by_address: dict[Address, _Payer] = {}

    def opening(self) -> Iterator[MarketBlock]:
        """Everybody comes, and everything happens once."""
        for provider in self._providers:
            self._found(provider)
            for _ in provider.models:
                self.offer(provider)
            yield self.mined()
        for _ in range(8):
            self.join()
        yield self.mined()
        for name in (*_WEIGHTS, *_SELDOM):
            for _ in range(_TRIES):
                getattr(self, name)()
                if self.sent:
                    break
            yield self.mined()

    def traded(self) -> MarketBlock:
        names, weights = [*_WEIGHTS, "seldom"], [*_WEIGHTS.values(), 1]
        for name in self.rng.choices(names, weights, k=self.rng.randint(1, 3)):
            getattr(self, self.rng.choice(_SELDOM[:-1]) if name == "seldom" else name)()
        return self.mined()

    # ------------------------------------------------------------------------------------------- providers

    def _new_provider(self) -> Provider:
        models = tuple(self.rng.sample(_MODELS, self.rng.randint(1, 4)))
        return Provider(self.address(), self.address(), models)

    def _some_provider(self) -> Provider:
        """A few have most of the trade."""
        return self.rng.choices(self._providers, self._popularity)[0]

    def _found(self, provider: Provider) -> None:
        atoms = self.rng.randint(100, 5_000) * DOLLAR
        provider.staked = atoms
        told = {"provider": provider.address, "amount": Atoms(atoms), "staked": Atoms(atoms)}
        self.transact(provider.address, _call("stake", atoms), [(Staked, told)], gas=75_000)
        self.moves(atoms)
        named = {"provider": provider.address, "receipt_key": provider.sender}
        data = _call("setReceiptKey", provider.sender)
        self.transact(provider.address, data, [(ReceiptKeySet, named)], gas=48_000)

    def offer(self, provider: Provider | None = None) -> None:
        """A price changes, or one is named for the first time."""
        provider = provider or self._some_provider()
        provider.sequence += 1
        price = self.rng.randint(50, 900) * 1_000
        offer = Offer(
            provider=provider.address,
            sequence=provider.sequence,
            endpoint=f"https://node-{provider.address.hex()[:6]}.example",
            endpoint_key=Hash32(provider.address.ljust(32, b"\1")),
            model=provider.models[provider.sequence % len(provider.models)],
            model_hash=self.hash(),
            input_price=AtomsPerMTok(price),
            cached_input_price=AtomsPerMTok(price // 4),
            output_price=AtomsPerMTok(price * self.rng.randint(3, 6)),
            context_length=Tokens(self.rng.choice((8_192, 32_768, 131_072))),
            credit=Atoms(self.rng.randint(1, 100) * 10_000),
            valid_until=Timestamp(self.time + 30 * 86_400),
        )
        provider.offered = offer
        told = {"provider": provider.address, "sequence": offer.sequence, "offer": offer}
        told["offer_hash"] = offer.struct_hash()
        data = _call("postOffer", offer.values(), self._signature())
        self.transact(provider.sender, data, [(OfferPosted, told)], gas=64_000)

    def withdraw_offers(self) -> None:
        provider = self._some_provider()
        provider.withdrawn = provider.sequence = provider.sequence + 1
        told = {"provider": provider.address, "minimum_sequence": provider.withdrawn}
        data = _call("withdrawOffers", provider.withdrawn)
        self.transact(provider.address, data, [(OffersWithdrawn, told)], gas=46_000)

    def withdraw(self) -> None:
        provider = self._some_provider()
        if provider.balance:
            atoms, provider.balance = provider.balance, 0
            told = {"provider": provider.address, "amount": Atoms(atoms)}
            data = _call("withdraw", provider.address)
            self.transact(provider.sender, data, [(Withdrawn, told)], gas=52_000)
            self.moves(-atoms)

    def request_unstake(self) -> None:
        provider = self._some_provider()
        atoms = provider.staked // 10
        if atoms:
            provider.staked -= atoms
            provider.exiting += atoms
            told = {"provider": provider.address, "staked": provider.staked, "exiting": provider.exiting}
            told["exits_at"] = self.time + 86_400
            data = _call("requestUnstake", atoms)
            self.transact(provider.address, data, [(UnstakeRequested, told)], gas=49_000)

    def slash(self) -> None:
        """The least popular provider billed too much, and its stake is gone."""
        cheat, reporter = self._providers[-1], self.rng.choice(self._payers).address
        taken = cheat.staked + cheat.exiting
        reward = taken // 3
        cheat.staked = cheat.exiting = 0
        ends = {"provider": cheat.address, "reporter": reporter}
        hashes = {"receipt_hash": self.hash(), "offer_hash": self.hash()}
        proof = ends | hashes | {"price": Atoms(1_234), "cost": Atoms(98_765)}
        slashed = {"provider": cheat.address, "recipient": reporter, "reward": Atoms(reward)}
        slashed |= {"burnt": Atoms(taken - reward), "staked": Atoms(0), "exiting": Atoms(0)}
        earned = {"provider": reporter, "amount": Atoms(reward), "balance": Atoms(reward)}
        events: list[Told] = [(OverchargeProven, proof), (Slashed, slashed), (Earned, earned)]
        selector = contracts.market().interface.functions["slashOvercharge"][0]
        self.transact(reporter, selector + self.rng.randbytes(900), events, gas=190_000)
        self.moves(reward - taken)

    # ------------------------------------------------------------------------------------------- payers

    def join(self) -> None:
        """A payer deposits and opens channels."""
        if not self._payers or self.rng.random() < 0.4:
            newcomer = _Payer(self.address())
            self._payers.append(newcomer)
            self._by_address[newcomer.address] = newcomer
        payer = self.rng.choice(self._payers[-2_000:])
        atoms = self.rng.randint(5, 500) * DOLLAR
        payer.free += atoms
        told = {"payer": payer.address, "amount": Atoms(atoms), "free": Atoms(payer.free)}
        data = _call("deposit", payer.address, atoms)
        self.transact(payer.address, data, [(Deposited, told)], gas=70_000)
        self.moves(atoms)
        openings, events = [], []
        for _ in range(self.rng.randint(1, 4)):
            provider, cap = (
                self._some_provider(),
                self.rng.randint(1, payer.free // DOLLAR // 8 + 1) * DOLLAR,
            )
            if cap <= payer.free:
                session = self.address()
                openings.append((provider.address, session, cap))
                events.append(self._opened(payer, provider, session, cap))
        if openings:
            self.transact(payer.address, _call("openChannels", openings), events, gas=30_000 * len(openings))

    def _opened(self, payer: _Payer, provider: Provider, session: Address, cap: int) -> Told:
        payer.free -= cap
        key = ChannelKey(payer=payer.address, provider=provider.address, session_key=session)
        provider.channels.append(_Channel(key, key.id, cap))
        told = {"channel_id": key.id, "payer": payer.address, "provider": provider.address}
        return ChannelOpened, told | {"session_key": session, "epoch": 0, "cap": Atoms(cap)}

    def raise_cap(self) -> None:
        found = self._some_channel()
        payer = self.rng.choice(self._payers) if found is None else self._payer_of(found)
        if found is not None and payer.free >= DOLLAR:
            payer.free -= DOLLAR
            found.cap += DOLLAR
            told = {"channel_id": found.id, "cap": Atoms(found.cap)}
            data = _call("raiseCap", found.key.provider, found.key.session_key, found.cap)
            self.transact(payer.address, data, [(CapRaised, told)], gas=41_000)

    def request_exit(self) -> None:
        payer = self.rng.choice(self._payers)
        atoms = payer.free // 2
        if atoms:
            payer.free -= atoms
            payer.exiting += atoms
            told = {"payer": payer.address, "free": Atoms(payer.free), "exiting": Atoms(payer.exiting)}
            told["exits_at"] = Timestamp(self.time + 3_600)
            self.transact(payer.address, _call("requestExit", atoms), [(ExitRequested, told)], gas=37_000)

    def exit(self) -> None:
        payer = next((payer for payer in self._payers if payer.exiting), None)
        if payer is not None:
            atoms, payer.exiting = payer.exiting, 0
            told = {"payer": payer.address, "amount": Atoms(atoms)}
            self.transact(payer.address, _call("exit", payer.address), [(Exited, told)], gas=51_000)
            self.moves(-atoms)

    def fail(self) -> None:
        payer = self.rng.choice(self._payers)
        error = ContractError("ExitNotOver", {"exitsAt": self.time + 600, "time": self.time})
        data = _call("exit", payer.address)
        self.transact(payer.address, data, gas=26_000, error=reason(error))

    # ------------------------------------------------------------------------------------------- channels

    def _some_channel(self) -> _Channel | None:
        channels = self._some_provider().channels
        return self.rng.choice(channels) if channels else None

    def _payer_of(self, channel: _Channel) -> _Payer:
        return self._by_address[channel.key.payer]

    def settle(self, skipped: bool = False) -> None:
        """Many channels of one provider, each by a little."""
        provider = self._some_provider()
        open_ones = [channel for channel in self._sample(provider) if channel.settled < channel.cap]
        if not open_ones:
            return
        rows: list[tuple[ChannelKey, int, bytes]] = []
        events: list[Told] = []
        earned = 0
        for channel in open_ones:
            paid = min(channel.cap - channel.settled, self.rng.randint(500, DOLLAR // 3))
            channel.settled += paid
            earned += paid
            acknowledgement = self.hash()
            rows.append((channel.key, channel.settled, acknowledgement))
            told = {"channel_id": channel.id, "settled": Atoms(channel.settled)}
            events.append((Settled, told | {"acknowledgement_hash": acknowledgement}))
        if skipped:
            rows.append(rows[0])
            events.append((RowSkipped, {"channel_id": open_ones[0].id, "reason": Skip.NOT_GREATER}))
        provider.balance += earned
        told = {"provider": provider.address, "amount": Atoms(earned), "balance": Atoms(provider.balance)}
        events.append((Earned, told))
        self.transact(
            provider.sender, self._settle_data(provider, rows), events, gas=27_000 + 14_900 * len(rows)
        )
        self.settlements += len(open_ones)

    def _sample(self, provider: Provider) -> list[_Channel]:
        size = min(len(provider.channels), self.rng.randint(*_ROWS))
        return self.rng.sample(provider.channels, size)

    def _settle_data(self, provider: Provider, rows: Sequence[tuple[ChannelKey, int, bytes]]) -> bytes:
        """By hand: a million rows are many for an encoder of anything."""
        selector = contracts.market().interface.functions["settle"][0]
        words = [provider.address, b"\x40", len(rows).to_bytes(2, "big")]
        for key, amount, acknowledgement in rows:
            words += [key.payer, key.session_key, b"\0", amount.to_bytes(16, "big"), acknowledgement]
            words += [self.hash(), self.hash()]
        return selector + b"".join(word.rjust(32, b"\0") for word in words)

    def skip(self) -> None:
        """A row that was settled before, and a grant that nothing covers."""
        self.settle(skipped=True)
        payer, provider = self.rng.choice(self._payers), self._some_provider()
        told = {"payer": payer.address, "provider": provider.address, "session_key": self.address()}
        grant = (payer.address, provider.address, told["session_key"], 0, 1 << 90, 1 << 40)
        data = _call("openChannelsFor", [grant], [self._signature()])
        events: list[Told] = [(GrantSkipped, told | {"reason": Skip.INSUFFICIENT_FREE})]
        self.transact(provider.sender, data, events, gas=43_000)

    def request_close(self) -> None:
        found = self._some_channel()
        if found is not None and not found.closing:
            found.closing = True
            told = {"channel_id": found.id, "closes_at": Timestamp(self.time + 3_600)}
            data = _call("requestClose", found.key.provider, found.key.session_key)
            self.transact(found.key.payer, data, [(CloseRequested, told)], gas=34_000)

    def close(self) -> None:
        """By its payer, now and then above what was settled."""
        found = self._some_channel()
        if found is None:
            return
        provider = next(item for item in self._providers if item.address == found.key.provider)
        provider.channels.remove(found)
        last = min(found.cap - found.settled, self.rng.choice((0, 0, 12_345)))
        found.settled += last
        returned = found.cap - found.settled
        self._payer_of(found).free += returned
        told = {"channel_id": found.id, "settled": Atoms(found.settled), "returned": Atoms(returned)}
        events: list[Told] = [(ChannelClosed, told)]
        if last:
            provider.balance += last
            earned = {"provider": provider.address, "amount": Atoms(last), "balance": Atoms(provider.balance)}
            events.append((Earned, earned))
        ends = (found.key.payer, found.key.provider, found.key.session_key)
        data = _call("close", *ends, found.settled, self._signature())
        self.transact(found.key.payer, data, events, gas=47_000)

    def _signature(self) -> bytes:
        return self.rng.randbytes(65)


def _call(name: str, *values: Any) -> bytes:
    return contracts.market().interface.call(name, values)
