"""A made market whose providers also duel and judge: every event of the duels' contract, and what it moves.

Its money goes by the very rules that the contract is held to. As in `made`, nothing is signed by anybody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.duel_events import (
    Appealed,
    Committed,
    Consented,
    Credited,
    Decided,
    Ended,
    Enlisted,
    Lapsed,
    Opened,
    Penalised,
    Revealed,
    Sealed,
    Summoned,
    Weighed,
    Withdrawn,
)
from tallystick.chain.duels import Ruling
from tallystick.chain.events import Awarded, Slashed
from tallystick.protocol.duel import Moved, Panel, Vote, moved, verdict
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp
from tallystick.protocol.vote import Choice, appeal_id, choice_of, vote_of_choice
from tallystick_node.explorer.index.made import MadeMarket, Provider
from tallystick_node.explorer.index.made_block import DUELS, Told

_SEATS: Final = 3
_SHARE: Final = 50_000
_DUEL_WEIGHTS: Final = {
    **{"enlist": 3, "open_duel": 8, "decide": 6, "settle_duel": 4, "appeal": 3, "decide_appeal": 3},
    **{"summon": 2, "lapse": 2, "withdraw_fees": 2, "seal": 1, "reweigh": 2},
}


@dataclass(slots=True)
class _Made:
    """A duel that is not over."""

    id: Hash32
    challenger: Address
    fee: Atoms
    ruling: Ruling | None = None
    appeal_fee: Atoms = Atoms(0)
    appellant: Address = Address(bytes(20))


@dataclass(slots=True)
class _Bench:
    """Who judges, and what it has with the duels."""

    weights: dict[Address, int] = field(default_factory=dict)
    """In the order of their slots."""
    owners: dict[Address, Address] = field(default_factory=dict)
    balances: dict[Address, int] = field(default_factory=dict)


class DuellingMarket(MadeMarket):
    def __init__(self, seed: int, providers: int = 6):
        super().__init__(seed, providers)
        self._open: list[_Made] = []
        self._bench = _Bench()

    def traded(self) -> Any:
        names = list(_DUEL_WEIGHTS)
        for name in self.rng.choices(names, list(_DUEL_WEIGHTS.values()), k=self.rng.randint(0, 2)):
            getattr(self, name)()
        return super().traded()

    # ------------------------------------------------------------------------------------------- judges

    def enlist(self) -> None:
        bench = self._bench.weights
        new = [one for one in self._providers if one.address not in bench and one.staked]
        if not new:
            return
        judge = self.rng.choice(new)
        bench[judge.address] = judge.staked
        owner = self._bench.owners[judge.address] = self.address()
        told = {"judge": judge.address, "owner": owner, "slot": len(bench)}
        self._tell(
            owner, "consent", [judge.address], [(Consented, {"owner": owner, "provider": judge.address})]
        )
        self._tell(judge.address, "enlist", [owner], [(Enlisted, told), self._weighed(judge.address)])

    def reweigh(self) -> None:
        bench = self._bench.weights
        changed = [one for one in self._providers if bench.get(one.address, one.staked) != one.staked]
        for judge in changed[:1]:
            bench[judge.address] = judge.staked
            self._tell(judge.sender, "refresh", [judge.address], [self._weighed(judge.address)])

    def _weighed(self, judge: Address) -> Told:
        bench = self._bench.weights
        return Weighed, {"judge": judge, "weight": Atoms(bench[judge]), "total": Atoms(sum(bench.values()))}

    # ------------------------------------------------------------------------------------------- duels

    def open_duel(self) -> None:
        challenger, fee = self.address(), Atoms(_SEATS * self.rng.randint(_SHARE, 2 * _SHARE))
        made = _Made(self.hash(), challenger, fee)
        self._open.append(made)
        data = [self.hash(), _SEATS, fee]
        self._tell(challenger, "open", data, [self._duel_opened(made.id, challenger, fee, _SEATS)])
        self.duels_move(fee)

    def _duel_opened(self, duel: Hash32, challenger: Address, fee: int, seats: int) -> Told:
        told = {"duel": duel, "challenger": challenger, "fee": Atoms(fee), "seats": seats}
        number = self._number + 1
        return Opened, told | {"draw_block": number + 2, "decide_by": Timestamp(self.time + 3_600)}

    def seal(self) -> None:
        for made in self._open[:1]:
            self._tell(made.challenger, "seal", [made.id], [(Sealed, {"duel": made.id, "seed": self.hash()})])

    def summon(self) -> None:
        """One commits and reveals, and another declines."""
        waiting = [made for made in self._open if made.ruling is None]
        if not waiting or not self._bench.weights:
            return
        made, judges = self.rng.choice(waiting), self._judges(_SEATS)
        events: list[Told] = [
            (Summoned, {"duel": made.id, "judges": judges, "reveal_from": Timestamp(self.time + 600)})
        ]
        for number, judge in enumerate(judge for judge in judges if any(judge)):
            ballot_hash = self.hash() if number else Hash32(bytes(32))
            events.append((Committed, {"duel": made.id, "judge": judge, "ballot_hash": ballot_hash}))
            if number:
                events.append((Revealed, {"duel": made.id, "judge": judge, "choice": Choice.FIRST}))
        self._tell(made.challenger, "seal", [made.id], events)

    def decide(self) -> None:
        waiting = [made for made in self._open if made.ruling is None]
        duellists = [one for one in self._providers if one.staked]
        if not waiting or len(duellists) < 2 or not self._bench.weights:
            return
        made = self.rng.choice(waiting)
        first, second = self.rng.sample(duellists, 2)
        made.ruling = self._ruling(made.id, first.address, second.address, _SEATS)
        choices = {
            choice
            for choice, judge in zip(made.ruling.choices, made.ruling.judges, strict=True)
            if any(judge)
        }
        shared = len(choices) == 1 and not choices & {Choice.NONE, Choice.DECLINED}
        events = [self._decided(made.ruling, 0 if shared else self.time + 600)]
        self._conclude(made.challenger, events, [made] if shared else [], "seal", [made.id])

    def settle_duel(self) -> None:
        ready = [made for made in self._open if made.ruling is not None and not made.appeal_fee]
        ready = ready[: self.rng.randint(0, 3)]
        if ready:
            rulings = [made.ruling.values() for made in ready if made.ruling is not None]
            self._conclude(ready[0].challenger, [], ready, "settle", [rulings])

    def appeal(self) -> None:
        ready = [made for made in self._open if made.ruling is not None and not made.appeal_fee]
        for made in ready[:1]:
            assert made.ruling is not None
            seats = 2 * _SEATS + 1
            made.appeal_fee, made.appellant = Atoms(seats * (made.fee // _SEATS)), self.address()
            appeal = appeal_id(made.id)
            appealed = {"duel": made.id, "appeal": appeal, "appellant": made.appellant}
            opened = self._duel_opened(appeal, made.appellant, made.appeal_fee, seats)
            data = [made.ruling.values(), made.appeal_fee]
            self._tell(made.appellant, "appeal", data, [opened, (Appealed, appealed)])
            self.duels_move(made.appeal_fee)

    def decide_appeal(self) -> None:
        appealed = [made for made in self._open if made.appeal_fee]
        for made in appealed[:1]:
            assert made.ruling is not None
            last = self._ruling(appeal_id(made.id), made.ruling.first, made.ruling.second, 2 * _SEATS + 1)
            self._conclude(made.appellant, [self._decided(last, 0)], [made], "seal", [made.id], last)

    def lapse(self) -> None:
        """Of an appeal the first verdict stands."""
        ready = [made for made in self._open if made.ruling is None or made.appeal_fee]
        for made in ready[:1]:
            burnt, duel = made.fee, made.id
            if made.appeal_fee:
                burnt, duel, made.appeal_fee = made.appeal_fee, appeal_id(made.id), Atoms(0)
            else:
                self._open.remove(made)
            self._tell(self.address(), "expire", [made.id], [(Lapsed, {"duel": duel, "burnt": burnt})])
            self.duels_move(-burnt)

    def _judges(self, seats: int) -> list[Address]:
        found = self.rng.sample(sorted(self._bench.weights), min(seats, len(self._bench.weights)))
        return [*found, *[Address(bytes(20))] * (seats - len(found))]

    def _ruling(self, duel: Hash32, first: Address, second: Address, seats: int) -> Ruling:
        judges = self._judges(seats)
        common = self.rng.choice((Choice.FIRST, Choice.SECOND, Choice.TIE))
        odd = (*[common] * 6, Choice.FIRST, Choice.SECOND, Choice.TIE, Choice.NONE, Choice.DECLINED)
        choices = [self.rng.choice(odd) if any(judge) else Choice.NONE for judge in judges]
        return Ruling(
            duel=duel,
            first=first,
            second=second,
            price=Atoms(self.rng.randint(1_000, 90_000)),
            known=Choice.NONE,
            judges=judges,
            choices=choices,
        )

    def _decided(self, ruling: Ruling, appeal_by: int) -> Told:
        said = choice_of(verdict([vote_of_choice(choice) for choice in ruling.choices]))
        told: dict[str, Any] = {"duel": ruling.duel, "verdict": said, "appeal_by": Timestamp(appeal_by)}
        hashes = {"first_receipt_hash": self.hash(), "second_receipt_hash": self.hash()}
        return Decided, told | hashes | {"ruling": ruling}

    # ------------------------------------------------------------------------------------------- money

    def _conclude(
        self,
        sender: Address,
        events: list[Told],
        over: Iterable[_Made],
        name: str,
        data: Sequence[Any],
        last: Ruling | None = None,
    ) -> None:
        """One transaction that ends some duels."""
        transfers: list[tuple[str, int]] = []
        for made in over:
            self._open.remove(made)
            events += self._end(made, last, transfers)
        self._tell(sender, name, data, events)
        for what, atoms in transfers:
            getattr(self, what)(atoms)

    def _end(self, made: _Made, last: Ruling | None, transfers: list[tuple[str, int]]) -> list[Told]:
        assert made.ruling is not None
        rulings = [made.ruling] if last is None else [made.ruling, last]
        fees = [made.fee, made.appeal_fee]
        panels = [self._panel(ruling, fee) for ruling, fee in zip(rulings, fees, strict=False)]
        done = self._moved(made.ruling, panels)
        if last is not None:  # Who judges twice has less at stake the second time, where it lost the first.
            lost = dict(zip(made.ruling.judges, done.judges, strict=False))
            stakes = [
                Atoms(stake + min(0, lost.get(judge, 0)))
                for judge, stake in zip(last.judges, panels[1].stakes, strict=True)
            ]
            done = self._moved(made.ruling, [panels[0], replace(panels[1], stakes=stakes)])
        said = verdict(panels[-1].votes)
        events: list[Told] = []
        prize, gained = -min(done.first, done.second, 0), max(done.first, done.second, 0)
        if said is not Vote.TIE:
            events.append(self._award(made.ruling, said, gained, prize - gained))
            if prize > gained:
                transfers.append(("awarded", prize - gained))
        amounts = iter(done.judges)
        overturned = verdict(panels[0].votes) is not said
        for ruling, panel, owner in zip(rulings, panels, (made.challenger, made.appellant), strict=False):
            own = [
                (judge, vote, next(amounts)) for judge, vote in zip(ruling.judges, panel.votes, strict=True)
            ]
            for judge, _, amount in own:
                events += self._paid(judge, amount, ruling.duel, transfers)
            rest = panel.fee - sum(
                panel.share if vote is Vote.DECLINED else min(panel.share, max(0, amount))
                for _, vote, amount in own
            )
            if rest:
                events.append(self._credited(made.appellant if overturned else owner, rest))
        burnt = done.burnt - sum(-amount for amount in done.judges if amount < 0)
        told = {"duel": made.id, "first": made.ruling.first, "second": made.ruling.second}
        sums = {"prize": Atoms(prize), "to_winner": Atoms(gained), "burnt": Atoms(burnt)}
        events.append((Ended, told | sums | {"verdict": choice_of(said)}))
        if burnt:
            transfers.append(("duels_move", -burnt))
        return events

    def _moved(self, ruling: Ruling, panels: Sequence[Panel]) -> Moved:
        stakes = [Atoms(self._staked(address)) for address in (ruling.first, ruling.second)]
        return moved(
            panels[0],
            price=ruling.price,
            first_stake=stakes[0],
            second_stake=stakes[1],
            appeal=panels[1] if len(panels) > 1 else None,
        )

    def _panel(self, ruling: Ruling, fee: Atoms) -> Panel:
        votes = [vote_of_choice(choice) for choice in ruling.choices]
        return Panel(votes=votes, fee=fee, stakes=[Atoms(self._staked(judge)) for judge in ruling.judges])

    def _by_name(self, address: Address) -> Provider | None:
        return next((one for one in self._providers if one.address == address), None)

    def _staked(self, address: Address) -> int:
        found = self._by_name(address)
        return 0 if found is None else found.staked + found.exiting

    def _take(self, provider: Provider, atoms: int) -> None:
        from_staked = min(provider.staked, atoms)
        provider.staked -= from_staked
        provider.exiting -= atoms - from_staked

    def _award(self, ruling: Ruling, said: Vote, gained: int, rest: int) -> Told:
        pair = (ruling.second, ruling.first) if said is Vote.FIRST else (ruling.first, ruling.second)
        loser, winner = map(self._by_name, pair)
        assert loser is not None
        assert winner is not None
        self._take(loser, gained + rest)
        winner.staked += gained
        told = {"loser": loser.address, "winner": winner.address, "to_winner": Atoms(gained)}
        told |= {"to_arbiter": Atoms(rest), "staked": Atoms(loser.staked), "exiting": Atoms(loser.exiting)}
        return Awarded, told | {"winner_staked": Atoms(winner.staked)}

    def _paid(
        self, judge: Address, amount: int, panel: Hash32, transfers: list[tuple[str, int]]
    ) -> list[Told]:
        if amount > 0:
            return [self._credited(judge, amount)]
        provider = self._by_name(judge)
        if not amount or provider is None:
            return []
        self._take(provider, -amount)
        transfers.append(("moves", amount))
        slashed = {
            "provider": judge,
            "recipient": Address(bytes(20)),
            "reward": Atoms(0),
            "burnt": Atoms(-amount),
        }
        slashed |= {"staked": Atoms(provider.staked), "exiting": Atoms(provider.exiting)}
        penalised = {"duel": panel, "judge": judge, "amount": Atoms(-amount)}
        return [(Penalised, penalised), (Slashed, slashed)]

    def _credited(self, owner: Address, atoms: int) -> Told:
        balances = self._bench.balances
        balances[owner] = balances.get(owner, 0) + atoms
        told = {"owner": owner, "amount": Atoms(atoms), "balance": Atoms(balances[owner])}
        return Credited, told

    def withdraw_fees(self) -> None:
        owners = sorted(self._bench.balances)
        if owners:
            owner = self.rng.choice(owners)
            atoms = self._bench.balances.pop(owner)
            self._tell(owner, "withdraw", [owner], [(Withdrawn, {"owner": owner, "amount": Atoms(atoms)})])
            self.duels_move(-atoms)

    def _tell(self, sender: Address, name: str, data: Sequence[Any], events: Sequence[Told]) -> None:
        called = contracts.duels().interface.call(name, tuple(data))
        self.transact(sender, called, events, gas=90_000, to=DUELS)
