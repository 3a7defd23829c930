"""A payer whose requests become duels, and what these cost it: counted in the atoms that left its hands.

It judges nothing, and knows no grade.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from tallystick.chain.duels import Duels
from tallystick.chain.market import Market
from tallystick.client.budget import Budget
from tallystick.client.duel import Duel
from tallystick.client.session import Session, open_session
from tallystick.protocol.receipt import Finish
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms
from tallystick_node.local.market import LocalMarket

DEPOSIT: Final = Atoms(1_000_000_000)
FEES: Final = Atoms(1_000_000_000)
"""In its wallet, for judges."""
_UNBOUNDED: Final = Atoms(10**15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Atoms that duels came to, beside the requests that they were made of."""

    requests: int
    duels: int
    first: Atoms
    """What the callers' own requests cost."""
    second: Atoms
    """Answers of who was asked second."""
    judged: Atoms
    """Judgements."""
    fees: Atoms
    """That judges earned, or that were burnt: what came back is not among them."""
    seats: int
    """Judges of one duel."""
    posted: Atoms
    """Fee of one duel, as it was put up."""

    @property
    def factor(self) -> float:
        """All of it, over what the requests cost without."""
        return (self.first + self.second + self.judged + self.fees) / self.first

    @property
    def share(self) -> float:
        """Of the requests, that did become duels."""
        return self.duels / self.requests

    @property
    def judge_share(self) -> float:
        """What one judge costs, its part of the fee included, over what a request costs."""
        if not self.duels:
            return 0.0
        judge = self.judged / (self.duels * self.seats) + self.posted / self.seats
        return judge / (self.first / self.requests)

    def foretold(self, judge_share: float) -> float:
        """1 + p·(1 + k·j), p being the share that chance drew."""
        wanted = Duel(share=self.share, budget=0, judges=self.seats, fee=self.posted)
        return wanted.cost_factor(judge_share)

    def __add__(self, other: Self) -> Self:
        assert (self.seats, self.posted) == (other.seats, other.posted)
        return replace(
            self,
            requests=self.requests + other.requests,
            duels=self.duels + other.duels,
            first=Atoms(self.first + other.first),
            second=Atoms(self.second + other.second),
            judged=Atoms(self.judged + other.judged),
            fees=Atoms(self.fees + other.fees),
        )

    def to_json(self) -> dict[str, Any]:
        names = ("requests", "duels", "first", "second", "judged", "fees", "seats", "posted", "factor")
        return {name: getattr(self, name) for name in names} | {"judge_share": self.judge_share}


@dataclass(slots=True, kw_only=True)
class Challenger:
    """One wallet, its purse, and its duels."""

    key: Key
    wanted: Duel
    market: Market
    session: Session

    def wait(self, seconds: float) -> bool:
        """Whether all its duels are done, or left to the chain, within so many seconds."""
        assert self.session.duelling is not None
        return self.session.duelling.wait(seconds)

    def costs(self, judges: Collection[Address]) -> Costs:
        """Of all that it has bought; `judges` sell it judgements alone."""
        purse, duels = self.session.purse, Duels(self.market)
        pairs = purse.pairs.held()
        seconds = {pair.case.second.receipt.message.struct_hash() for pair in pairs}
        paid = {"first": 0, "second": 0, "judged": 0}
        requests = 0
        for held in purse.held_receipts():
            message = held.receipt.message
            second = message.struct_hash() in seconds
            judged = held.provider in judges
            paid["judged" if judged else "second" if second else "first"] += message.cost
            requests += not judged and not second and message.finish != Finish.INTERIM
        left = self.market.asset_balance(self.key.address) + duels.balance_of(self.key.address)
        return Costs(
            requests=requests,
            duels=len(pairs),
            first=Atoms(paid["first"]),
            second=Atoms(paid["second"]),
            judged=Atoms(paid["judged"]),
            fees=Atoms(FEES - left),
            seats=self.wanted.judges,
            posted=Atoms(self.wanted.fee),
        )


def summed(costs: Sequence[Costs]) -> Costs:
    """Of several challengers that wish the same."""
    whole, *others = costs
    for other in others:
        whole = whole + other
    return whole


def open_challenger(market: LocalMarket, name: str, wanted: Duel) -> Challenger:
    """A new wallet with a deposit, and atoms for its judges; its purse is in a folder of that name."""
    key = Key.generate()
    on_chain = market.fund(key, Atoms(DEPOSIT + FEES))
    on_chain.deposit_with_permit(DEPOSIT)
    session = open_session(
        key,
        rpc=market.chain.url,
        deployment=market.deployment,
        home=market.folder / name,
        budget=Budget(total=_UNBOUNDED, per_request=_UNBOUNDED),
        transactions=True,
        duel=wanted,
    )
    return Challenger(key=key, wanted=wanted, market=on_chain, session=session)
