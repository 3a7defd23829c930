"""A made market whose providers are audited too: every event of the audits' contract, and what it moves.

Draws go by the hashes of its blocks, receipts, findings and ballots are signed, and money goes by the very
rules that the contract is held to: who checks an accusation of it again finds nothing wrong.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.audit_events import (
    Accused,
    Answered,
    Committed,
    Concluded,
    Credited,
    Penalised,
    Revealed,
    Sealed,
    Struck,
    Summoned,
    Withdrawn,
)
from tallystick.chain.audits import Exhibit, Status
from tallystick.chain.draws import Drawing
from tallystick.chain.events import Earned, Slashed, Staked
from tallystick.chain.events import Withdrawn as EarningsWithdrawn
from tallystick.protocol import strikes as rules
from tallystick.protocol.lottery import DELAY_S, Block
from tallystick.protocol.panel import DRAW_BLOCKS, Candidate, drawn, seed_of
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.strikes import MOST, SEATS, Opinion, Outcome, Reaudit, ballot_hash
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32, Timestamp
from tallystick.protocol.vote import VoteCommitment
from tallystick_node.explorer.index.facts import MarketBlock
from tallystick_node.explorer.index.made import DOLLAR, Provider
from tallystick_node.explorer.index.made_block import AUDITS, DEPLOYMENT, Told
from tallystick_node.explorer.index.made_duels import DuellingMarket
from tallystick_node.explorer.index.made_strikes import (
    PERIOD_S,
    Case,
    Filed,
    drawn_auditors,
    exhibit,
    made_receipt,
)

_SUSPECTS: Final = 3
"""Providers that are ever struck."""
_SHARE: Final = 20_000
"""Of a fee for each seat, at least."""
_TRIES: Final = 60
"""At a receipt that is drawn: of a channel's first, one in five is."""
_STAKE: Final = 300 * DOLLAR
"""Put behind itself again by who has less than a dollar left."""


@dataclass(slots=True)
class _Ending:
    """What concludes an accusation: its events, and the transfers that come behind them."""

    case: Case
    done: rules.Concluded
    events: list[Told] = field(default_factory=list)
    transfers: list[tuple[str, int]] = field(default_factory=list)


class AuditedMarket(DuellingMarket):
    """Its first providers are struck again and again, in turns cheats and honest ones."""

    def __init__(self, seed: int, providers: int = 16):
        super().__init__(seed, providers)
        self._secrets: dict[Address, Hash32] = {}
        for provider in self._providers:
            secret = self._secrets[provider.address] = self.hash()
            provider.sender = Key(secret).address
        self._cases = [Case(provider.address) for provider in self._providers[:_SUSPECTS]]
        self._benches: deque[tuple[Candidate, ...]] = deque(maxlen=2)
        """At the end of the newest blocks."""
        self._fees: dict[Address, int] = {}
        """What each has with the audits."""

    def opening(self) -> Iterator[MarketBlock]:
        yield from super().opening()
        for _ in self._providers:
            self.enlist()
        yield self.mined()

    def traded(self) -> Any:
        for case in self._cases:
            if self.rng.random() < 0.6:
                self._go_on(case)
            elif self.rng.random() < 0.05:
                self._strike(case)
        if self.rng.random() < 0.05:
            self._withdraw_fees(self.rng.choice(sorted(self._fees))) if self._fees else self._seal()
        return super().traded()

    def mined(self) -> MarketBlock:
        block = super().mined()
        bench = self._bench
        self._benches.append(
            tuple(
                Candidate(provider=judge, owner=bench.owners[judge], weight=Atoms(weight))
                for judge, weight in bench.weights.items()
            )
        )
        for case in self._cases:
            if case.draw_block == block.number + DRAW_BLOCKS:
                case.candidates = self._benches[-1]
            elif case.draw_block == block.number:
                case.draw_hash = Hash32(block.hash)
        return block

    def _go_on(self, case: Case) -> None:
        match case.status(self.coming):
            case Status.NONE:
                self._strike(case)
            case Status.ACCUSED if case.answers:
                self._answer(case)
            case Status.COMMITTING if case.draw_hash is not None:
                self._commit(case) if case.seats else self._summon(case)
            case Status.REVEALING:
                self._reveal(case)
            case Status.DUE:
                self._conclude_case(case)

    def _key(self, provider: Address) -> Key:
        return Key(self._secrets[provider])

    def _ask(self, sender: Address, name: str, data: Sequence[Any], events: Sequence[Told]) -> None:
        called = contracts.audits().interface.call(name, tuple(data))
        self.transact(self._providers_own(sender), called, events, gas=120_000, to=AUDITS)

    def _providers_own(self, address: Address) -> Address:
        found = self._by_name(address)
        return address if found is None else found.sender

    # ------------------------------------------------------------------------------------------- strikes

    def _strike(self, case: Case) -> None:
        provider = self._by_name(case.provider)
        assert provider is not None
        if provider.staked < DOLLAR:
            self._stake_anew(provider)
        case.age(self.coming)
        found = None if len(case.strikes) == MOST else self._exhibit(case, provider)
        if found is None:
            return
        auditor, receipt_hash = found.finding.message.auditor, found.receipt.message.struct_hash()
        staked = self._by_name(auditor)
        assert staked is not None
        case.strikes.append(
            Filed(receipt_hash=receipt_hash, auditor=auditor, at=self.coming, staked=Atoms(staked.staked))
        )
        told: dict[str, Any] = {"provider": case.provider, "auditor": auditor, "receipt_hash": receipt_hash}
        told |= {"owner": self._bench.owners[auditor], "draw_block": found.drawing.block.number}
        told |= {"finding": found.finding.message, "count": len(case.strikes)}
        self._ask(auditor, "strike", [found.values()], [(Struck, told), *self._accused(case)])

    def _accused(self, case: Case) -> list[Told]:
        """Where its strikes are enough."""
        if not case.accuse(self.coming, self.rng):
            return []
        told = {"id": case.id, "provider": case.provider, "auditors": case.accusers}
        return [(Accused, told | {"answer_by": Timestamp(self.coming + PERIOD_S)})]

    def _exhibit(self, case: Case, provider: Provider) -> Exhibit | None:
        """For a receipt that the newest block draws, by one of its auditors whose owner has not struck."""
        if len(self._benches) < 2 or not provider.channels or provider.offered is None:
            return None
        block = Block(number=self._number, hash=self._parent)
        drawing = Drawing(block=block, header=self._headers[1], parent=self._headers[0])
        counted = {self._bench.owners[strike.auditor] for strike in case.strikes}
        for _ in range(_TRIES):
            channel = self.rng.choice(provider.channels)
            finished_at = self.time - DELAY_S
            receipt = made_receipt(provider.offered, channel.id, channel.settled, finished_at, self.rng)
            for auditor in drawn_auditors(drawing, receipt, self._benches[0], provider.address):
                its = self._by_name(auditor)
                if its is not None and its.staked and self._bench.owners[auditor] not in counted:
                    return exhibit(
                        channel.key,
                        receipt,
                        drawing,
                        auditor,
                        keys=(self._key(provider.address), self._key(auditor)),
                        domain=DEPLOYMENT.domain,
                        found_at=self.time,
                        rng=self.rng,
                    )
        return None

    def _stake_anew(self, provider: Provider) -> None:
        provider.staked += _STAKE
        told = {"provider": provider.address, "amount": Atoms(_STAKE), "staked": Atoms(provider.staked)}
        data = contracts.market().interface.call("stake", (_STAKE,))
        self.transact(provider.address, data, [(Staked, told)], gas=75_000)
        self.moves(_STAKE)

    def _seal(self) -> None:
        told = {"block_number": self._number, "block_hash": self._parent}
        self._ask(self._providers[0].address, "seal", [self._number], [(Sealed, told)])

    # ------------------------------------------------------------------------------------------- re-audits

    def _answer(self, case: Case) -> None:
        """By the accused itself, out of nothing that the audits owe it."""
        if case.provider in self._fees:
            self._withdraw_fees(case.provider)
        case.fee = Atoms(SEATS * self.rng.randint(_SHARE, 3 * _SHARE) + self.rng.randint(0, SEATS - 1))
        case.answered_at, case.draw_block = self.coming, self._number + 1 + DRAW_BLOCKS
        told = {"id": case.id, "provider": case.provider, "answerer": case.provider, "fee": case.fee}
        told |= {"draw_block": case.draw_block, "reveal_from": Timestamp(case.reveal_from)}
        self._ask(case.provider, "answer", [case.provider, case.fee], [(Answered, told)])
        self.audits_move(case.fee)

    def _summon(self, case: Case) -> None:
        assert case.draw_hash is not None
        parties = [case.provider, *case.accusers]
        case.seats = drawn(seed_of(case.draw_hash, case.id), SEATS, case.candidates, parties)
        told = {"id": case.id, "provider": case.provider, "auditors": list(case.seats)}
        self._ask(case.provider, "summon", [case.provider], [(Summoned, told)])

    def _commit(self, case: Case) -> None:
        rows, events = [], list[Told]()
        for seat, auditor in enumerate(case.seats):
            if not any(auditor) or auditor in case.ballots or self.rng.random() < 0.1:
                continue
            opinions, salt = [self._opinion(case) for _ in case.accusers], self.hash()
            case.ballots[auditor] = opinions, salt
            opened = ballot_hash(case.id, auditor, opinions, salt)
            commitment = VoteCommitment(duel=case.id, judge=auditor, ballot_hash=opened)
            signed = sign(commitment, DEPLOYMENT.domain, self._key(auditor)).signed
            rows.append((seat, opened, signed.signature))
            events.append((Committed, {"id": case.id, "auditor": auditor, "ballot_hash": opened}))
        if rows:
            self._ask(case.provider, "commit", [case.provider, rows], events)

    def _opinion(self, case: Case) -> Opinion:
        true, false = (Opinion.UPHOLD, Opinion.CLEAR) if case.is_cheat else (Opinion.CLEAR, Opinion.UPHOLD)
        return self.rng.choices((true, false, Opinion.NONE), (90, 8, 2))[0]

    def _reveal(self, case: Case) -> None:
        rows, events = [], list[Told]()
        for seat, auditor in enumerate(case.seats):
            if auditor not in case.ballots or auditor in case.revealed:
                continue
            opinions, salt = case.ballots[auditor]
            if not any(opinions):
                continue  # It is silent instead.
            case.revealed.add(auditor)
            rows.append((seat, list(map(int, opinions)), salt))
            events.append((Revealed, {"id": case.id, "auditor": auditor, "opinions": list(opinions)}))
        if rows:
            self._ask(case.provider, "reveal", [case.provider, rows], events)

    # ------------------------------------------------------------------------------------------- money

    def _conclude_case(self, case: Case) -> None:
        accusing = case.strikes[: case.accusing]
        reaudit = None
        if case.answered_at:
            stakes = [Atoms(self._staked(seat)) for seat in case.seats]
            reaudit = Reaudit(fee=case.fee, said=case.said, stakes=stakes)
        given: dict[str, Any] = {
            "provider_stake": Atoms(self._staked(case.provider)),
            "striker_stakes": [Atoms(self._staked(strike.auditor)) for strike in accusing],
            "struck_with": [strike.staked for strike in accusing],
        }
        done = rules.concluded(**given, reaudit=reaudit)
        ending = _Ending(case, done)
        earned = 0
        if reaudit is not None:
            unbounded = replace(reaudit, stakes=[Atoms(0)] * len(reaudit.stakes))
            gains = rules.concluded(**given, reaudit=unbounded).reauditors
            earned = sum(gains)
            self._pay_reauditors(ending, gains)
        burnt = self._return_rest(ending, earned)
        rewarded = self._slash_accused(ending)
        self._penalise_strikers(ending, earned)
        sums = {"slashed": Atoms(-done.provider), "rewarded": Atoms(rewarded)}
        self._end_case(ending, sums | {"earned": Atoms(earned), "burnt": Atoms(burnt)})

    def _end_case(self, ending: _Ending, sums: dict[str, Atoms]) -> None:
        case, done = ending.case, ending.done
        told = {"id": case.id, "provider": case.provider, "outcome": done.outcome}
        kept = [strike for strike, stands in zip(case.strikes, done.standing, strict=False) if stands]
        waiting = case.strikes[case.accusing :]
        slashes = done.outcome in (Outcome.UNANSWERED, Outcome.UPHELD)
        case.end([] if slashes else [*kept, *waiting])
        case.age(self.coming)
        told |= {"outcomes": list(done.outcomes), "count": len(case.strikes)}
        ending.events += [(Concluded, told | sums), *self._accused(case)]
        if sums["burnt"]:
            ending.transfers.append(("audits_move", -sums["burnt"]))
        self._ask(case.provider, "conclude", [case.provider], ending.events)
        for what, atoms in ending.transfers:
            getattr(self, what)(atoms)

    def _pay_reauditors(self, ending: _Ending, gains: Sequence[int]) -> None:
        for auditor, gain, net in zip(ending.case.seats, gains, ending.done.reauditors, strict=True):
            if gain:
                ending.events.append(self._owed(auditor, gain))
            if blame := gain - net:
                ending.events.append((Penalised, self._penalty(ending, auditor, blame)))
                self._slashed(ending, auditor, blame)

    def _return_rest(self, ending: _Ending, earned: int) -> int:
        """Of the fee; what is burnt of it."""
        case, done = ending.case, ending.done
        if not case.answered_at:
            return 0
        made_good = sum(shared // 2 for _, _, shared in self._penalties(ending, earned))
        kept = made_good - done.answerer
        if kept < case.fee:
            ending.events.append(self._owed(case.provider, case.fee - kept))
        return kept - earned

    def _slash_accused(self, ending: _Ending) -> int:
        """What of it goes to who struck."""
        case, done = ending.case, ending.done
        if not done.provider:
            return 0
        rewards = [
            gain * (outcome is done.outcome)
            for gain, outcome in zip(done.strikers, done.outcomes, strict=True)
        ]
        ending.events += [
            self._owed(auditor, reward)
            for auditor, reward in zip(case.accusers, rewards, strict=True)
            if reward
        ]
        rewarded = sum(rewards)
        self._slashed(ending, case.provider, -done.provider - 2 * rewarded)
        if rewarded:
            self._slashed(ending, case.provider, 2 * rewarded, AUDITS)
            told = {"provider": AUDITS, "amount": Atoms(rewarded)}
            ending.events += [(Earned, told | {"balance": Atoms(rewarded)}), (EarningsWithdrawn, told)]
            ending.transfers.append(("rewarded", rewarded))
        return rewarded

    def _penalties(self, ending: _Ending, earned: int) -> list[tuple[Address, int, int]]:
        """Of each who loses by its strike: who it is, how much, and twice what of that makes good."""
        case, done = ending.case, ending.done
        cleared = done.outcomes.count(Outcome.CLEARED)
        spent = 0 if Outcome.UPHELD in done.outcomes else earned
        return [
            (auditor, -gain, min(-gain, 2 * (spent // cleared)) if outcome is Outcome.CLEARED else 0)
            for auditor, gain, outcome in zip(case.accusers, done.strikers, done.outcomes, strict=True)
            if gain < 0
        ]

    def _penalise_strikers(self, ending: _Ending, earned: int) -> None:
        for auditor, loss, shared in self._penalties(ending, earned):
            ending.events.append((Penalised, self._penalty(ending, auditor, loss)))
            if shared:
                self._slashed(ending, auditor, shared, ending.case.provider)
                provider = self._by_name(ending.case.provider)
                assert provider is not None
                if shared // 2:
                    provider.balance += shared // 2
                    told = {"provider": provider.address, "amount": Atoms(shared // 2)}
                    ending.events.append((Earned, told | {"balance": Atoms(provider.balance)}))
            if loss != shared:
                self._slashed(ending, auditor, loss - shared)

    def _penalty(self, ending: _Ending, auditor: Address, atoms: int) -> dict[str, Any]:
        return {"id": ending.case.id, "auditor": auditor, "amount": Atoms(atoms)}

    def _slashed(
        self, ending: _Ending, provider: Address, atoms: int, recipient: Address = ZERO_ADDRESS
    ) -> None:
        """Half of it is the recipient's, if there is one; the rest is burnt."""
        its = self._by_name(provider)
        assert its is not None
        self._take(its, atoms)
        reward = atoms // 2 if any(recipient) else 0
        told = {"provider": provider, "recipient": recipient, "reward": Atoms(reward)}
        told |= {"burnt": Atoms(atoms - reward), "staked": Atoms(its.staked), "exiting": Atoms(its.exiting)}
        ending.events.append((Slashed, told))
        if atoms - reward:
            ending.transfers.append(("moves", reward - atoms))

    def _owed(self, owner: Address, atoms: int) -> Told:
        self._fees[owner] = self._fees.get(owner, 0) + atoms
        told = {"owner": owner, "amount": Atoms(atoms), "balance": Atoms(self._fees[owner])}
        return Credited, told

    def _withdraw_fees(self, owner: Address) -> None:
        atoms = self._fees.pop(owner)
        self._ask(owner, "withdraw", [owner], [(Withdrawn, {"owner": owner, "amount": Atoms(atoms)})])
        self.audits_move(-atoms)
