"""A payer's duels on a real chain: known verdicts are revealed, and what a payer thinks wrong is appealed,
within its budget and whatever dies in between. The judges vote as a test says; only the way to them is
short."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tallystick.chain.duels import Duels, Status
from tallystick.chain.errors import ChainUnavailable, ContractError
from tallystick.chain.verdicts import rulings
from tallystick.client.budget import Budget
from tallystick.client.duel import Duel
from tallystick.client.errors import PurseError, TotalBudgetExceeded
from tallystick.client.flow import Flow
from tallystick.client.judges import Heard, Vote
from tallystick.client.pairs import Pair
from tallystick.client.pools import Pools
from tallystick.client.purse import Purse
from tallystick.client.trials import Trials
from tallystick.protocol.case import Case, checked
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32, Milliseconds
from tallystick.protocol.vote import Choice, appeal_id, hidden_hash
from tests.quality.making import case, exhibit, streamed

DOLLAR = 1_000_000
STAKE = 400 * DOLLAR
FEE = Atoms(150_000)
JUDGEMENT = Atoms(10)
"""What each costs."""
SALT = Hash32(b"\x05" * 32)
ON_CHAIN = ("duel.begun", "duel.heard", "appeal.begun")
"""Points of `tallystick.crash`."""
SECOND, FIRST, TIE = Choice.SECOND, Choice.FIRST, Choice.TIE


class Panels:
    """`Judges` of the client, of whom every one is at hand."""

    def __init__(self, court: "Court"):
        self._court = court
        self.says: list[Choice] = []
        """In the order of the seats; the rest say the last one."""
        self.signs: Callable[[Key], Key] = lambda key: key
        """With what each signs."""
        self.once_heard: Callable[[Sequence[Address]], object] = lambda panel: None
        self.heard = 0
        """Panels that were paid."""
        self.shunned: list[frozenset[str]] = []
        """By whom they were asked for, whom not to ask."""

    def worst(self, case: Case, seats: int) -> Flow[Atoms]:
        return Atoms(2 * JUDGEMENT * seats)
        yield

    def hear(self, case: Case, panel: Sequence[Address], most: Atoms, shuns: frozenset[str]) -> Flow[Heard]:
        self.shunned.append(shuns)
        if most == 0:
            return Heard(commitments={}, votes={}, cost=Atoms(0))
        assert most >= JUDGEMENT * len(panel)
        found = checked(case, self._court.domain)
        votes = {}
        for seat, judge in enumerate(panel):
            if judge != ZERO_ADDRESS:
                choice = self.says[min(seat, len(self.says) - 1)]
                ballot = found.ballot(judge, choice, SALT)
                key = self.signs(self._court.judges[judge].key)
                signed = sign(ballot.commitment, self._court.domain, key).signed
                votes[judge] = Vote(commitment=signed, ballot=ballot)
        self.heard += 1
        commitments = {judge: vote.commitment for judge, vote in votes.items()}
        self.once_heard(panel)
        return Heard(commitments=commitments, votes=votes, cost=Atoms(JUDGEMENT * len(votes)))
        yield


class Court:
    """A challenger, two duellists, and judges enough for an appeal."""

    def __init__(self, party: Any, staked_provider: Any, mine: Callable[[int], None], folder: Path):
        self.challenger = party(10 * DOLLAR)
        self.first, self.second = staked_provider(STAKE), staked_provider(STAKE)
        self.judges = {one.address: one for one in (staked_provider(STAKE) for _ in range(12))}
        for judge in self.judges.values():
            Duels(judge.market).enlist()
        self.domain = self.challenger.market.deployment.domain
        self.duels = Duels(self.challenger.market)
        self.mine = mine
        self.folder = folder
        self.purses: list[Purse] = []
        self.panels = Panels(self)
        self.start()

    def start(self, **wanted: Any) -> None:
        """A payer's process, over the purse that the last one left."""
        for purse in self.purses:
            purse.close()
        self.purse = self.opened()
        self.purses = [self.purse]
        self.purse.pairs.take_over("held", "opened", "appealed")
        self.wanted = Duel(**{"share": 1, "budget": 10**9, "fee": FEE, "appeals": True} | wanted)
        self.trials = Trials(Pools(), self.duels, self.wanted)
        payer: Any = SimpleNamespace(purse=self.purse)
        self.trials._payer = payer
        judges: Any = self.panels
        self.trials._judges = judges

    def opened(self) -> Purse:
        return Purse(
            self.folder,
            wallet=self.challenger.key,
            domain=self.domain,
            budget=Budget(total=10**9, per_request=10**9),
            now=lambda: Milliseconds(1),
        )

    def pair(self, known: Choice = Choice.NONE, budget: int = 10**9) -> Pair:
        """Held, of two answers that cost nothing beside."""
        keys = [
            ChannelKey(
                payer=self.challenger.address, provider=one.address, session_key=Key.generate().address
            )
            for one in (self.first, self.second)
        ]
        first, second = (
            exhibit(one.key, streamed(text), domain=self.domain, channel_id=key.id)
            for one, text, key in zip((self.first, self.second), ("Yes.", "No."), keys, strict=True)
        )
        number = self.purse.pairs.begin(Atoms(0), budget)
        pair = Pair(
            number=number,
            case=replace(
                case(),
                challenger=self.challenger.address,
                hidden=hidden_hash(known, SALT),
                first=first,
                second=second,
            ),
            channels=(keys[0], keys[1]),
            known=known,
            salt=SALT,
            state="held",
            cost=Atoms(0),
            shuns=frozenset({"0xignored"}),
        )
        self.purse.pairs.hold(pair)
        return pair

    def held(self, number: int) -> Pair:
        return next(pair for pair in self.purse.pairs.held() if pair.number == number)

    def status(self, pair: Pair, *, appeal: bool = False) -> Status:
        return self.duels.duel(appeal_id(pair.duel) if appeal else pair.duel).status


@pytest.fixture
def mine(local_chain: Any) -> Callable[[int], None]:
    return lambda blocks: local_chain.rpc.call("anvil_mine", hex(blocks))


@pytest.fixture
def court(
    party: Any,
    staked_provider: Any,
    mine: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Court]:
    def passes(_: float) -> None:
        mine(3)

    monkeypatch.setattr("tallystick.client.trials.time.sleep", passes)
    made = Court(party, staked_provider, mine, tmp_path)
    yield made
    made.purse.close()


def test_a_known_verdict_is_revealed_with_the_decision(court: Court) -> None:
    pair = court.pair(SECOND)
    court.panels.says = [SECOND]
    court.trials.run(pair)

    (ruling,) = rulings(court.duels, pair.duel)
    over = court.held(pair.number)
    assert court.panels.shunned == [pair.shuns] == [{"0xignored"}]
    assert ruling.known is SECOND
    assert (over.state, over.verdict, over.cost) == ("over", SECOND, FEE + 3 * JUDGEMENT)
    assert court.purse.pairs.cost() == over.cost


def test_a_duel_takes_two_transactions_and_an_appeal_two_more(court: Court) -> None:
    """After one that lets the contract take fees up to the duels' budget."""
    challenger = court.challenger.market
    own = "0x" + challenger.sender.address.hex()

    def sent(run: Callable[[], object]) -> int:
        before = int(challenger.rpc.call("eth_getTransactionCount", own, "latest"), 16)
        run()
        return int(challenger.rpc.call("eth_getTransactionCount", own, "latest"), 16) - before

    court.start(budget=DOLLAR)
    court.panels.says = [FIRST]
    pairs = [court.pair(budget=DOLLAR) for _ in range(2)]
    assert [sent(lambda pair=pair: court.trials.run(pair)) for pair in pairs] == [3, 2]
    court.panels.says = [FIRST, FIRST, SECOND, SECOND]
    appealed = court.pair(SECOND, budget=DOLLAR)
    assert sent(lambda: court.trials.run(appealed)) == 4
    assert court.held(appealed.number).state == "over"


def test_judges_who_contradict_what_is_known_are_appealed(court: Court) -> None:
    pair = court.pair(SECOND)
    court.panels.says = [FIRST, FIRST, SECOND, SECOND]  # Of seven, two say the first.
    court.trials.run(pair)

    (before,) = rulings(court.duels, pair.duel)
    (after,) = rulings(court.duels, appeal_id(pair.duel))
    over = court.held(pair.number)
    assert (len(before.judges), len(after.judges)) == (3, 7)
    assert court.status(pair) is Status.ENDED
    assert (over.state, over.verdict) == ("over", SECOND)
    assert over.cost == FEE + 3 * JUDGEMENT + 7 * (FEE // 3) + 7 * JUDGEMENT == court.purse.pairs.cost()


def test_nobody_appeals_what_it_does_not_think_wrong(court: Court) -> None:
    pair = court.pair(FIRST)
    court.panels.says = [FIRST, FIRST, SECOND]
    court.trials.run(pair)
    assert court.status(pair) is Status.APPEALABLE
    assert court.held(pair.number).verdict is FIRST


def test_a_payer_s_own_judgement_appeals_too(court: Court) -> None:
    asked = []

    def thinks(question: str, first: str, second: str, verdict: Choice) -> bool:
        asked.append((question, first, second, verdict))
        return True

    court.start(appeals=thinks)
    pair = court.pair()
    court.panels.says = [FIRST, FIRST, TIE, TIE]
    court.trials.run(pair)
    assert asked == [("Why?", "Yes.", "No.", FIRST)]
    assert court.held(pair.number).verdict is TIE


def test_an_appeal_stays_within_the_budget(court: Court) -> None:
    court.start(budget=FEE + 2 * 3 * JUDGEMENT)
    pair = court.pair(SECOND)
    court.panels.says = [FIRST, FIRST, SECOND]
    court.trials.run(pair)
    assert court.status(pair) is Status.APPEALABLE
    over = court.held(pair.number)
    assert (over.state, over.verdict, over.cost) == ("over", FIRST, FEE + 3 * JUDGEMENT)


def test_one_mind_is_not_appealed(court: Court) -> None:
    """Its money has moved."""
    pair = court.pair(SECOND)
    court.panels.says = [FIRST]
    court.trials.run(pair)
    assert court.status(pair) is Status.ENDED
    assert court.held(pair.number).verdict is FIRST


# ------------------------------------------------------------------------------------------- where it dies


class Dies:
    """The chain, for one transaction."""

    def __init__(self, duels: Duels, name: str, *, after: bool):
        self._name, self._inner, self._after = name, getattr(duels, name), after

    def __call__(self, *values: Any, **named: Any) -> Any:
        if self._after:
            self._inner(*values, **named)
        raise ChainUnavailable(f"Dead at {self._name}.")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", ["open", "decide", "appeal", "decide_appeal"])
def test_whatever_dies_the_next_process_goes_on_and_nothing_is_spent_twice(
    court: Court, monkeypatch: pytest.MonkeyPatch, at: str, after: bool
) -> None:
    pair = court.pair(SECOND)
    court.panels.says = [FIRST, FIRST, SECOND, SECOND]
    with monkeypatch.context() as patched:
        patched.setattr(court.duels, at, Dies(court.duels, at, after=after))
        with pytest.raises(ChainUnavailable):
            court.trials.run(pair)
    goes_on(court, pair)


@pytest.mark.parametrize("name", ON_CHAIN)
def test_what_is_begun_and_never_sent_is_sent_by_the_next_process(
    court: Court, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def dies(at: str) -> None:
        if at == name:
            raise KeyboardInterrupt

    pair = court.pair(SECOND)
    court.panels.says = [FIRST, FIRST, SECOND, SECOND]
    with monkeypatch.context() as patched:
        patched.setattr("tallystick.client.pairs.point", dies)
        with pytest.raises(KeyboardInterrupt):
            court.trials.run(pair)
    goes_on(court, pair)


def goes_on(court: Court, pair: Pair) -> None:
    """To its end, in processes that come after, and costs what it would have: no judge is paid twice."""
    for _ in range(4):
        court.start()
        state = court.held(pair.number).state
        if state == "over":
            break
        court.mine(3)
        court.trials.go_on(court.held(pair.number))

    over = court.held(pair.number)
    assert (over.state, over.verdict) == ("over", SECOND)
    cost = FEE + 3 * JUDGEMENT + 7 * (FEE // 3) + 7 * JUDGEMENT
    assert court.purse.pairs.cost() == over.cost == cost
    assert court.panels.heard == 2
    spent = 10 * DOLLAR - court.duels.market.asset_balance(court.challenger.address)
    assert spent == FEE + 7 * (FEE // 3)


# ------------------------------------------------------------------------------------------------- the budget


def test_a_duel_that_was_never_opened_is_opened_within_the_budget_of_today(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = court.pair()
    with monkeypatch.context() as patched:
        patched.setattr(court.duels, "open", Dies(court.duels, "open", after=False))
        with pytest.raises(ChainUnavailable):
            court.trials.run(pair)
    reserved = court.purse.pairs.cost()
    court.start(fee=Atoms(10 * FEE), budget=reserved)
    with pytest.raises(TotalBudgetExceeded):
        court.trials.go_on(court.held(pair.number))
    assert court.status(pair) is Status.NONE
    assert court.purse.pairs.cost() == reserved

    court.start(fee=Atoms(FEE - 30), budget=reserved)
    court.trials.go_on(court.held(pair.number))
    assert court.duels.duel(pair.duel).fee == FEE - 30
    assert court.purse.pairs.cost() == reserved - 30


def test_judges_are_paid_once_however_often_the_decision_fails(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = court.pair()
    court.panels.says = [FIRST]
    with monkeypatch.context() as patched:
        patched.setattr(court.duels, "decide", Dies(court.duels, "decide", after=False))
        with pytest.raises(ChainUnavailable):
            court.trials.run(pair)
        for _ in range(3):
            with pytest.raises(ChainUnavailable):
                court.trials.go_on(court.held(pair.number))
    assert (court.panels.heard, court.purse.pairs.cost()) == (1, FEE + 3 * JUDGEMENT)
    court.trials.go_on(court.held(pair.number))
    assert court.status(pair) is Status.ENDED
    assert (court.panels.heard, court.purse.pairs.cost()) == (1, FEE + 3 * JUDGEMENT)


@pytest.mark.parametrize("room", [0, 10**6])
def test_a_panel_of_which_nobody_knows_what_it_was_paid_is_paid_once_more_at_most(
    court: Court, room: int
) -> None:
    """Within the budget; then those that judged say on chain what they found."""

    def dies(_: Sequence[Address]) -> None:
        raise ChainUnavailable("Dead as it asked.")

    pair = court.pair()
    court.panels.says, court.panels.once_heard = [FIRST], dies
    with pytest.raises(ChainUnavailable):
        court.trials.run(pair)
    reserved = court.purse.pairs.cost()
    court.start(budget=reserved + room)
    if room:
        with pytest.raises(ChainUnavailable):
            court.trials.go_on(court.held(pair.number))
    beside = 2 * 3 * JUDGEMENT if room else 0
    court.trials.go_on(court.held(pair.number))
    assert court.status(pair) is Status.COMMITTING
    assert court.purse.pairs.cost() == reserved + beside


def test_what_a_living_process_is_busy_with_is_no_other_one_s(court: Court) -> None:
    pair = court.pair()
    court.panels.says = [FIRST]
    other = court.opened()
    assert other.pairs.take_over("held", "opened", "appealed") == []
    for change in (other.pairs.end, lambda pair: other.pairs.open(pair, FEE, Atoms(0), 10**9)):
        with pytest.raises(PurseError):
            change(pair)
    other.close()
    court.trials.run(pair)
    assert court.held(pair.number).verdict is FIRST

    dead = court.pair()
    court.start()
    assert court.purse.pairs.mine("held") == [dead.number]


def test_a_wallet_that_has_deposited_all_it_has_opens_nothing_and_buys_no_second(
    court: Court, caplog: pytest.LogCaptureFixture
) -> None:
    market = court.duels.market
    assert court.trials.can_pay()
    pair = court.pair()
    market.deposit(Atoms(market.asset_balance(court.challenger.address) - FEE + 1))
    assert not court.trials.can_pay()
    for _ in range(2):
        with pytest.raises(ContractError):
            court.trials.run(court.held(pair.number))
        left = court.held(pair.number)
        assert (left.state, left.cost, court.purse.pairs.cost()) == ("held", 0, 0)
    warned = [one for one in caplog.records if one.message.startswith("duel.unaffordable")]
    assert [one.levelname for one in warned] == ["WARNING"]

    market.mint(FEE, court.challenger.address)
    court.panels.says = [FIRST]
    court.trials.run(court.held(pair.number))
    assert court.held(pair.number).verdict is FIRST


# ------------------------------------------------------------------------------------ what the chain refuses


def test_votes_that_the_chain_will_never_take_have_their_panel_summoned(court: Court) -> None:
    """And are not sent again at each look, until the duel lapses."""
    pair = court.pair()
    court.panels.says = [FIRST]
    court.panels.signs = lambda _: Key.generate()
    court.trials.run(pair)
    assert court.status(pair) is Status.COMMITTING
    court.trials.go_on(court.held(pair.number))
    assert court.held(pair.number).state == "opened"


def test_a_case_that_the_chain_will_never_take_is_given_up(
    court: Court, caplog: pytest.LogCaptureFixture
) -> None:
    """No receipt duels twice."""
    first = court.pair()
    court.panels.says = [FIRST]
    court.trials.run(first)
    number = court.purse.pairs.begin(Atoms(0), 10**9)
    case = replace(first.case, hidden=hidden_hash(SECOND, SALT))
    court.purse.pairs.hold(replace(first, number=number, case=case, known=SECOND))
    court.trials.run(court.held(number))
    given_up = court.held(number)
    assert (given_up.state, given_up.verdict) == ("over", Choice.NONE)
    assert court.duels.duel(given_up.duel).status is Status.OPEN
    refused = [one.message for one in caplog.records if one.message.startswith("duel.refused")]
    assert [one.split("error=")[1] for one in refused] == ["ReceiptUsed", "ReceiptUsed"]


def test_what_the_chain_refuses_for_now_is_sent_again(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise ContractError("GasTooLow", {"required": 2, "actual": 1})

    pair = court.pair()
    court.panels.says = [FIRST]
    with monkeypatch.context() as patched:
        patched.setattr(court.duels, "decide", refuses)
        with pytest.raises(ContractError):
            court.trials.run(pair)
    court.trials.go_on(court.held(pair.number))
    assert court.held(pair.number).verdict is FIRST


def test_a_judge_that_changes_its_key_once_it_has_voted_stops_nothing(court: Court) -> None:
    pair = court.pair()
    court.panels.says = [FIRST]

    def changes(panel: Sequence[Address]) -> None:
        court.judges[panel[1]].market.set_receipt_key(Key.generate().address)

    court.panels.once_heard = changes
    court.trials.run(pair)
    assert court.status(pair) is Status.ENDED
