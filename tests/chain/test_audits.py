"""Strikes on a real chain, from Python: a block draws answers and auditors, three of these strike, and the
nodes of all who are concerned bring it to the end that `protocol.strikes` computes."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.chain.audits import Audits, Exhibit, Status
from tallystick.chain.build import built, compare
from tallystick.chain.draws import Drawing, drawing
from tallystick.chain.duels import Duels
from tallystick.chain.errors import ChainError, ChainUnavailable, ContractError, RpcError
from tallystick.chain.market import Opening
from tallystick.chain.timeline import Timeline
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.finding import Check, Finding, Verdict
from tallystick.protocol.lottery import draws_at, is_drawn
from tallystick.protocol.merkle import root
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.strikes import (
    MOST,
    SEATS,
    STRIKES,
    Concluded,
    Opinion,
    Outcome,
    Reaudit,
    concluded,
    fee_up,
)
from tallystick.protocol.units import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Atoms,
    Milliseconds,
    Tokens,
    to_hex,
)
from tallystick.protocol.voucher import Acknowledgement, Voucher
from tallystick_node import striking
from tallystick_node.quality.accusations import DEAREST_PARTS, PLACE_S, Accusations, commitment
from tallystick_node.striking import StrikeRefused, exhibit_of, reaudit
from tests.chain.test_duels import mine

__all__ = ["mine"]  # a fixture

DOLLAR = 1_000_000
STAKE = Atoms(400 * DOLLAR)
FEE = Atoms(SEATS * 20_000)


class World:
    """A provider, a payer of its, and auditors of equal stake."""

    def __init__(
        self,
        party: Callable[..., Any],
        staked_provider: Callable[..., Any],
        mine: Callable[[int], None],
        pass_time: Callable[[int], None],
    ):
        self.payer, self.provider = party(10 * DOLLAR), staked_provider(STAKE)
        self.payer.market.deposit(Atoms(10 * DOLLAR))
        self.provider.market.mint(Atoms(DOLLAR))
        # So many that hardly a seat stays empty.
        self.auditors = {one.address: one for one in (staked_provider(STAKE) for _ in range(20))}
        for auditor in self.auditors.values():
            Duels(auditor.market).enlist()
        self.mine, self.pass_time = mine, pass_time
        self.audits = Audits(self.payer.market)
        self.period = Duels(self.payer.market).terms().period_s
        self.accused = self.provider.address
        self.nodes = {name: self.node(name) for name in (self.accused, *self.auditors)}
        self.drawing, self.receipts = self.draw(4)

    def node(self, name: Address, answer: Atoms | None = FEE) -> Accusations:
        party = self.auditors.get(name, self.provider)
        audits = Audits(party.market)
        return Accusations(provider=name, key=party.key, audits=audits, purse=audits, answer=answer)

    def draw(self, wanted: int) -> tuple[Drawing, list[tuple[ChannelKey, Signed[Receipt]]]]:
        """So many receipts that one block draws, each the first of its channel: one in five is."""
        finished_at = Milliseconds(1_000 * self.audits.market.head().timestamp)
        self.pass_time(60)
        self.mine(2)
        block = Timeline(self.audits.market.rpc).block_at(draws_at(finished_at))
        assert block is not None
        found = []
        while len(found) < wanted:
            channel = ChannelKey(
                payer=self.payer.address, provider=self.accused, session_key=Key.generate().address
            )
            receipt = self.receipt(channel, finished_at)
            if is_drawn(block.hash, receipt.message.struct_hash(), 0):
                found.append((channel, receipt))
        return drawing(self.audits.market.rpc, block), found

    def receipt(self, channel: ChannelKey, finished_at: Milliseconds) -> Signed[Receipt]:
        receipt = Receipt(
            channel_id=channel.id,
            sequence=0,
            offer_hash=keccak(b"offer"),
            request_hash=keccak(b"request"),
            response_hash=keccak(b"response"),
            tokens_hash=keccak(b"tokens"),
            input_tokens=100,
            cached_input_tokens=0,
            output_tokens=100,
            finish=Finish.STOP,
            received_at=finished_at - 2,
            first_token_at=finished_at - 1,
            finished_at=finished_at,
            cost=30_000,
            cumulative_cost=30_000,
        )
        return sign(receipt, self.provider.market.deployment.domain, self.provider.key).signed

    def finding(self, auditor: Address, receipt: Signed[Receipt]) -> Signed[Finding]:
        receipt_hash = receipt.message.struct_hash()
        finding = Finding(
            auditor=auditor,
            provider=self.accused,
            receipt_hash=receipt_hash,
            receipts_root=root([receipt_hash]),
            receipt_count=1,
            scales_hash=keccak(b"scales"),
            check=Check.RANK,
            verdict=Verdict.STRIKE,
            tokens=Tokens(100),
            evidence=17_000_000,
            found_at=Milliseconds(1),
        )
        party = self.auditors[auditor]
        return sign(finding, party.market.deployment.domain, party.key).signed

    def drawn_for(self, receipt: Signed[Receipt]) -> list[Address]:
        return list(self.audits.auditors(receipt.message.struct_hash(), self.accused, self.drawing.block))

    def exhibit(self, number: int, *, but: list[Address]) -> Exhibit:
        """For the receipt of that number, by one of its auditors who is none of these."""
        channel, receipt = self.receipts[number]
        auditor = next(one for one in self.drawn_for(receipt) if one not in but)
        return Exhibit(
            channel=channel, receipt=receipt, drawing=self.drawing, finding=self.finding(auditor, receipt)
        )

    def strike(self) -> list[Address]:
        """Three times; who did."""
        strikers: list[Address] = []
        for number in range(STRIKES):
            exhibit = self.exhibit(number, but=strikers)
            strikers.append(exhibit.finding.message.auditor)
            Audits(self.auditors[strikers[-1]].market).strike(exhibit)
        return strikers

    def step(self) -> None:
        for node in self.nodes.values():
            node.step()

    def held(self) -> dict[Address, int]:
        """Atoms at stake, and with audits and market."""
        market = self.audits.market
        return {
            one: market.stake(one).staked + self.audits.balance_of(one) + market.balance_of(one)
            for one in (self.accused, *self.auditors)
        }

    def reaudited(self, *opinions: Opinion) -> Reaudit:
        """By all who were drawn, one for each strike or one for all; the accusation is due afterwards."""
        accusation, drawn = self.audits.accusation(self.accused), list(self.audits.reauditors(self.accused))
        said = opinions if len(opinions) > 1 else opinions * accusation.accusing
        for seat, name in enumerate(drawn):
            party = self.auditors[name]
            committed = commitment(
                party.key,
                party.market.deployment.domain,
                accusation.id,
                auditor=name,
                seat=seat,
                opinions=said,
            )
            Audits(party.market).commit(self.accused, [committed])
        self.pass_time(2 * self.period)
        self.step()
        self.pass_time(self.period)
        return Reaudit(fee=FEE, said=[said] * SEATS, stakes=[STAKE] * SEATS)

    def require(self, before: dict[Address, int], strikers: list[Address], done: Concluded) -> None:
        after = self.held()
        gained = {one: after[one] - before[one] for one in before}
        assert [gained[striker] for striker in strikers] == list(done.strikers)
        if done.reauditors:
            assert gained[self.accused] == done.provider + FEE + done.answerer
        else:
            assert gained[self.accused] == done.provider


@pytest.fixture
def world(party: Any, staked_provider: Any, mine: Any, pass_time: Any) -> World:
    return World(party, staked_provider, mine, pass_time)


def test_three_strikes_are_answered_and_cleared(world: World) -> None:
    before = world.held()
    with capture_logs() as logs:
        strikers = world.strike()
        assert world.audits.accusation(world.accused).status is Status.ACCUSED
        world.step()
    assert [entry["event"] for entry in logs if entry["event"].startswith("audits.")] == [
        *["audits.struck"] * STRIKES,
        "audits.accused",
        "audits.answered",
    ]
    assert world.audits.accusation(world.accused).status is Status.COMMITTING
    world.mine(3)
    world.step()
    drawn = world.audits.reauditors(world.accused)
    assert len(set(drawn) - {ZERO_ADDRESS}) == SEATS
    assert not set(drawn) & {*strikers, world.accused}
    reaudit = world.reaudited(Opinion.CLEAR)
    assert world.audits.accusation(world.accused).status is Status.DUE
    world.step()

    assert world.audits.accusation(world.accused).status is Status.NONE
    done = concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=reaudit)
    assert done.strikers == (-(STAKE // 50),) * STRIKES
    world.require(before, strikers, done)
    after = world.held()
    assert [after[name] - before[name] for name in drawn] == list(done.reauditors)
    assert not world.audits.strikes(world.accused)


def test_three_strikes_are_upheld(world: World) -> None:
    before, strikers = world.held(), world.strike()
    world.step()
    world.mine(3)
    world.step()
    reaudit = world.reaudited(Opinion.UPHOLD)
    world.step()

    done = concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=reaudit)
    assert done.provider == -(STAKE * 2 // 3)
    world.require(before, strikers, done)


def test_each_strike_is_spoken_of_by_itself(world: World) -> None:
    """Or not at all. What somebody upholds counts on, with what was filed meanwhile, and nothing else."""
    before, strikers = world.held(), world.strike()
    world.step()
    world.mine(3)
    world.step()
    reaudit = world.reaudited(Opinion.UPHOLD, Opinion.CLEAR, Opinion.NONE)
    fourth = world.exhibit(3, but=strikers)
    Audits(world.payer.market).strike(fourth)
    assert world.audits.accusation(world.accused).accusing == STRIKES
    world.step()

    done = concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=reaudit)
    assert done.outcomes == (Outcome.UPHELD, Outcome.CLEARED, Outcome.OPEN)
    world.require(before, strikers, done)
    accusation = world.audits.accusation(world.accused)
    assert (accusation.status, accusation.accusing) == (Status.NONE, 0)
    counting = [strike.auditor for strike in world.audits.strikes(world.accused)]
    assert counting == [strikers[0], fourth.finding.message.auditor]


def test_who_does_not_answer_is_slashed_once_somebody_concludes(world: World) -> None:
    world.nodes[world.accused] = world.node(world.accused, answer=Atoms(0))
    before, strikers = world.held(), world.strike()
    with capture_logs() as logs:
        world.step()
        world.step()
    assert [entry["event"] for entry in logs].count("audits.accused") == 1
    world.pass_time(world.period)
    world.step()
    assert world.audits.accusation(world.accused).status is Status.NONE
    world.require(
        before,
        strikers,
        concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=None),
    )


def test_others_conclude_where_the_first_striker_is_gone(world: World) -> None:
    world.nodes[world.accused] = world.node(world.accused, answer=Atoms(0))
    first, *_ = world.strike()
    del world.nodes[first]
    world.pass_time(world.period)
    world.step()
    assert world.audits.accusation(world.accused).status is Status.DUE
    world.pass_time(PLACE_S)
    world.step()
    assert world.audits.accusation(world.accused).status is Status.NONE


@pytest.mark.parametrize(
    "answer", [None, RpcError("Too many blocks.", number=-32005)], ids=["none", "refused"]
)
def test_a_node_that_gives_no_logs_keeps_nobody_from_its_own_defence(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: RpcError | None
) -> None:
    """From the answer on to the end: that it is accused it is told by calls, whatever its chain's node
    forgets."""
    before, strikers = world.held(), world.strike()
    rpc = world.audits.market.rpc
    call = rpc.call

    def without_logs(method: str, *params: Any) -> Any:
        if method != "eth_getLogs":
            return call(method, *params)
        if answer is not None:
            raise answer
        return None

    monkeypatch.setattr(rpc, "call", without_logs)
    own = world.nodes[world.accused]
    with pytest.raises(ChainError):
        own.step()
    assert world.audits.accusation(world.accused).status is Status.COMMITTING
    world.mine(3)
    with pytest.raises(ChainError):
        own.step()
    assert any(world.audits.seat(world.accused, seat) for seat in range(SEATS))
    monkeypatch.undo()
    reaudit = world.reaudited(Opinion.CLEAR)
    world.step()
    world.require(
        before,
        strikers,
        concluded(provider_stake=STAKE, striker_stakes=[STAKE] * STRIKES, reaudit=reaudit),
    )


class Evasive(Audits):
    """Does not say of one provider what it is struck with."""

    def __init__(self, party: Any, of: Address):
        super().__init__(party.market)
        self._of = of

    def strikes(self, provider: Address) -> Any:
        if provider == self._of:
            raise ChainUnavailable("Not now.")
        return super().strikes(provider)


def test_who_cannot_see_to_itself_sees_to_others_all_the_same(world: World) -> None:
    world.nodes[world.accused] = world.node(world.accused, answer=Atoms(0))
    first, *_ = world.strike()
    party = world.auditors[first]
    audits = Evasive(party, first)
    node = Accusations(provider=first, key=party.key, audits=audits, purse=audits, answer=FEE)
    world.pass_time(world.period)
    with pytest.raises(ChainUnavailable):
        node.step()
    assert world.audits.accusation(world.accused).status is Status.NONE


class Forgetful(Audits):
    """Whose chain no longer knows the block that draws."""

    def reauditors(self, provider: Address) -> Any:
        del provider
        return ()

    def summon(self, provider: Address) -> Any:
        del provider
        raise ContractError("NoSeed", {})


def test_who_cannot_be_drawn_any_more_is_not_summoned(world: World) -> None:
    first, *_ = world.strike()
    world.step()
    world.mine(3)
    audits = Forgetful(world.auditors[first].market)
    node = Accusations(provider=first, key=world.auditors[first].key, audits=audits, purse=audits, answer=FEE)
    assert world.audits.accusation(world.accused).status is Status.COMMITTING
    node.step()
    assert world.audits.seat(world.accused, 0) is None


def test_a_node_that_died_reveals_what_it_committed_to(world: World) -> None:
    world.strike()
    world.step()
    world.mine(3)
    world.step()
    world.nodes = {name: world.node(name) for name in world.nodes}
    world.reaudited(Opinion.UPHOLD)
    drawn = world.audits.reauditors(world.accused)
    seats = [world.audits.seat(world.accused, seat) for seat in range(len(drawn))]
    assert all(seat is not None and set(seat.opinions) == {Opinion.UPHOLD} for seat in seats)


@pytest.mark.parametrize("unsaid", [1, STRIKES])
def test_an_operator_says_nothing_of_what_it_cannot_audit(
    world: World, monkeypatch: pytest.MonkeyPatch, unsaid: int
) -> None:
    strikers = world.strike()
    world.step()
    world.mine(3)
    world.step()
    drawn = world.audits.reauditors(world.accused)
    party = world.auditors[drawn[0]]
    monkeypatch.setattr(striking, "checked", lambda config: nullcontext(party))
    nothing = [striking.ALL] if unsaid == STRIKES else [to_hex(one) for one in strikers[:unsaid]]
    config: Any = None
    with pytest.raises(StrikeRefused, match="not both"):
        reaudit(
            config, accused=to_hex(world.accused), uphold=True, but=[to_hex(strikers[0])], nothing=nothing
        )
    said = reaudit(config, accused=to_hex(world.accused), uphold=True, nothing=nothing)
    assert ("nothing of any" in said) is (unsaid == STRIKES)
    world.pass_time(2 * world.period)
    world.nodes[drawn[0]].step()
    seat = world.audits.seat(world.accused, 0)
    assert seat is not None
    assert seat.opinions == (Opinion.NONE,) * unsaid + (Opinion.UPHOLD,) * (STRIKES - unsaid)


def test_what_a_strike_rests_on_is_found_on_the_chain(world: World) -> None:
    channel, receipt = world.receipts[0]
    auditor = world.drawn_for(receipt)[0]
    audits, found = Audits(world.auditors[auditor].market), world.finding(auditor, receipt)
    with pytest.raises(StrikeRefused, match="never opened"):
        exhibit_of(audits, [receipt], found, auditor=auditor)
    opening = Opening(provider=world.accused, session_key=channel.session_key, cap=Atoms(DOLLAR))
    world.payer.market.open_own_channels([opening])
    exhibit = exhibit_of(audits, [receipt], found, auditor=auditor)
    assert (exhibit.channel, exhibit.drawing) == (channel, world.drawing)
    audits.strike(exhibit)
    assert audits.is_counted(receipt.message.struct_hash())
    assert [strike.auditor for strike in audits.strikes(world.accused)] == [auditor]
    with pytest.raises(ContractError) as refused:
        audits.strike(exhibit)
    assert refused.value.name == "ReceiptCounted"

    other = next(name for name in world.auditors if name not in world.drawn_for(receipt))
    with pytest.raises(StrikeRefused, match="not drawn"):
        exhibit_of(audits, [receipt], world.finding(other, receipt), auditor=other)


def test_what_is_deployed_is_what_these_sources_give(world: World) -> None:
    deployment = world.audits.market.deployment
    found = {}
    for name, at in (
        ("Market", deployment.market),
        ("Duels", deployment.duels),
        ("Audits", deployment.audits),
    ):
        assert at is not None
        code = world.audits.market.rpc.call("eth_getCode", to_hex(at), "latest")
        found[name] = compare(built(name), bytes.fromhex(code[2:]))
    assert [one.same for one in found.values()] == [True] * 3
    assert found["Market"].values["ARBITER"] == found["Audits"].values["DUELS"] == word(deployment.duels)
    assert found["Duels"].values["AUDITS"] == word(deployment.audits)


def word(address: Address | None) -> bytes:
    assert address is not None
    return address.rjust(32, b"\0")


def test_a_header_is_what_the_chain_hashes(world: World) -> None:
    assert keccak(world.drawing.header) == world.drawing.block.hash
    assert world.drawing.parent[:1] == world.drawing.header[:1]


# ------------------------------------------------------------------------------------- what nobody configured


def test_who_says_nothing_of_it_answers_with_the_least_fee(world: World) -> None:
    world.nodes[world.accused] = world.node(world.accused, answer=None)
    world.strike()
    world.step()
    accusation = world.audits.accusation(world.accused)
    assert (accusation.status, accusation.fee) == (Status.COMMITTING, world.audits.minimum_fee(STRIKES))
    world.mine(3)
    world.nodes[world.accused].step()  # Alone: it wants to be cleared, and waits for nobody.
    assert world.audits.seat(world.accused, 0) is not None


def test_who_leaves_answers_for_what_is_on_its_way_out(world: World) -> None:
    node = world.nodes[world.accused] = world.node(world.accused, answer=None)
    world.provider.market.request_unstake(STAKE)
    world.strike()
    node.step()
    its = world.provider.market.stake(world.accused)
    assert (its.staked, its.exiting) == (0, STAKE)
    accusation = world.audits.accusation(world.accused)
    assert (accusation.status, accusation.fee) == (Status.COMMITTING, world.audits.minimum_fee(STRIKES))


def test_a_least_fee_of_more_than_a_tenth_of_the_stake_is_not_paid_unasked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[world.accused] = world.node(world.accused, answer=None)
    dearest = Atoms(STAKE // DEAREST_PARTS)
    monkeypatch.setattr(node._audits, "minimum_fee", lambda strikes: fee_up(Atoms(dearest + 1), strikes))
    world.strike()
    with capture_logs() as logs:
        node.step()
    assert "audits.answer-too-small" in [entry["event"] for entry in logs]
    assert world.audits.accusation(world.accused).status is Status.ACCUSED


class Crowded(Audits):
    """Where eight strikes accuse whom three do, for the dearest fee that one pays unasked."""

    def accusation(self, provider: Address) -> Any:
        return replace(super().accusation(provider), accusing=MOST)

    def minimum_fee(self, strikes: int) -> Atoms:
        return fee_up(Atoms(STAKE // DEAREST_PARTS), strikes)


@pytest.mark.parametrize("answer", [None, Atoms(STAKE // DEAREST_PARTS)])
def test_who_would_answer_three_strikes_answers_eight(world: World, answer: Atoms | None) -> None:
    for strikes in range(MOST + 1):
        least = world.audits.minimum_fee(strikes)
        assert least == fee_up(world.audits.minimum_fee(STRIKES), strikes)
    world.provider.market.mint(STAKE)
    audits = Crowded(world.provider.market)
    node = Accusations(
        provider=world.accused, key=world.provider.key, audits=audits, purse=audits, answer=answer
    )
    world.strike()
    node.step()
    assert world.audits.accusation(world.accused).fee == audits.minimum_fee(MOST)


def struck(world: World, *, payer: Any) -> Accusations:
    """Of a provider with one strike, whose answers that one would pay."""
    audits, purse = Audits(world.provider.market), Audits(payer.market)
    exhibit = world.exhibit(0, but=[])
    Audits(world.auditors[exhibit.finding.message.auditor].market).strike(exhibit)
    return Accusations(
        provider=world.accused, key=world.provider.key, audits=audits, purse=purse, answer=None
    )


def test_who_cannot_pay_an_answer_is_told_at_the_first_strike(world: World, party: Any) -> None:
    poor = party()
    node = struck(world, payer=poor)
    with capture_logs() as logs:
        node.step()
        node.step()
    assert [entry["event"] for entry in logs].count("audits.unaffordable") == 1


def test_who_could_answer_three_strikes_but_not_eight_is_told_at_the_first(world: World, party: Any) -> None:
    most = world.audits.minimum_fee(MOST)
    assert most - 1 > world.audits.minimum_fee(STRIKES)
    payer = party(most - 1)
    node = struck(world, payer=payer)
    with capture_logs() as logs:
        node.step()
    told = [entry for entry in logs if entry["event"] == "audits.unaffordable"]
    assert [(entry["required"], entry["actual"]) for entry in told] == [(most, most - 1)]


def test_what_the_market_owes_a_wallet_pays_its_answer(world: World) -> None:
    market = world.provider.market
    audits = Audits(market)
    market.add_stake(market.asset_balance(world.accused))  # Nothing is left in the wallet.
    node = Accusations(
        provider=world.accused, key=world.provider.key, audits=audits, purse=audits, answer=None
    )
    channel = Opening(provider=world.accused, session_key=world.payer.key.address, cap=Atoms(DOLLAR))
    world.payer.market.open_own_channels([channel])
    key = world.payer.market.channel(world.payer.address, world.accused, world.payer.key.address).key
    voucher = Voucher(
        channel_id=key.id,
        cumulative_amount=Atoms(DOLLAR),
        acknowledgement=Acknowledgement(
            receipt_count=0, receipts_root=ZERO_HASH, request_hash=ZERO_HASH, request_nonce=0
        ),
    )
    signed = sign(voucher, market.deployment.domain, world.payer.key).signed
    market.settle([(key, signed)])
    assert (market.asset_balance(world.accused), market.balance_of(world.accused)) == (0, DOLLAR)
    world.strike()
    node.step()
    assert world.audits.accusation(world.accused).status is Status.COMMITTING
