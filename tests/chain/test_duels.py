"""Duels on a real chain, from Python: judges are drawn, vote, and are paid what `protocol.duel` says."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tallystick.chain.duels import Answer, Case, CastVote, Committed, Duels, Revealed, Ruling, Status
from tallystick.chain.errors import ContractError, RpcError
from tallystick.chain.local import MINIMUM_FEE
from tallystick.chain.verdicts import decided, rulings
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.duel import Panel, Vote, moved
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.strength import Decided
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32
from tallystick.protocol.vote import (
    Ballot,
    Choice,
    VoteCommitment,
    appeal_id,
    choice_of,
    duel_commitment,
    duel_id,
    hidden_hash,
)

DOLLAR = 1_000_000
STAKE = 400 * DOLLAR
PRICE = Atoms(30_000)
SHARE = 50_000
SEATS = 3
FEE = Atoms(SEATS * SHARE)
BODY_HASH = keccak(b'{"model":"tiny"}')
SALT = keccak(b"salt")
HIDDEN = hidden_hash(Choice.NONE, SALT)


class World:
    """A challenger, two duellists, and judges of equal stake."""

    def __init__(
        self, party: Callable[..., Any], staked_provider: Callable[..., Any], mine: Callable[[int], None]
    ):
        self.challenger = party(10 * DOLLAR)
        self.first, self.second = staked_provider(STAKE), staked_provider(STAKE)
        # So many that no seat stays empty, but once in a million duels.
        self.judges = {one.address: one for one in (staked_provider(STAKE) for _ in range(8))}
        for judge in self.judges.values():
            Duels(judge.market).enlist()
        self.duels = Duels(self.challenger.market)
        self.duels.approve(Atoms(10 * DOLLAR))
        self.mine = mine
        self.case = Case(
            first=self.answer(self.first), second=self.answer(self.second), body_hash=BODY_HASH, hidden=HIDDEN
        )
        receipts = (self.case.first.receipt.message, self.case.second.receipt.message)
        commitment = duel_commitment(*(receipt.struct_hash() for receipt in receipts), HIDDEN)
        self.id = duel_id(self.challenger.address, commitment)
        self.duels.open(commitment, seats=SEATS, fee=FEE)

    def answer(self, duellist: Any) -> Answer:
        session_key = Key.generate().address
        channel = ChannelKey(
            payer=self.challenger.address, provider=duellist.address, session_key=session_key
        )
        offer_hash = keccak(b"offer" + duellist.address)
        receipt = Receipt(
            channel_id=channel.id,
            sequence=0,
            offer_hash=offer_hash,
            request_hash=keccak(offer_hash + BODY_HASH),
            response_hash=keccak(b"response" + duellist.address),
            tokens_hash=ZERO_HASH,
            input_tokens=100,
            cached_input_tokens=0,
            output_tokens=100,
            finish=Finish.STOP,
            received_at=1,
            first_token_at=2,
            finished_at=3,
            cost=PRICE,
            cumulative_cost=PRICE,
        )
        signed = sign(receipt, duellist.market.deployment.domain, duellist.key).signed
        return Answer(provider=duellist.address, session_key=session_key, epoch=0, receipt=signed)

    def ruling(self, panel: Sequence[Address], choices: Sequence[Choice]) -> Ruling:
        """What the panel's choices come to: an ordinary duel, without a known verdict."""
        return Ruling(
            duel=self.id,
            first=self.first.address,
            second=self.second.address,
            price=PRICE,
            known=Choice.NONE,
            judges=panel,
            choices=choices,
        )

    def panel(self) -> list[Address]:
        self.mine(3)
        return list(self.duels.panel(self.id, self.first.address, self.second.address))

    def commitment(self, judge: Address, vote: Vote) -> VoteCommitment:
        ballot = Ballot(
            duel=self.id,
            judge=judge,
            body_hash=BODY_HASH,
            first_response_hash=self.case.first.receipt.message.response_hash,
            second_response_hash=self.case.second.receipt.message.response_hash,
            choice=choice_of(vote),
            salt=keccak(judge),
        )
        if vote is Vote.DECLINED:
            return VoteCommitment(duel=self.id, judge=judge, ballot_hash=ZERO_HASH)
        return ballot.commitment

    def signature(self, commitment: VoteCommitment) -> bytes:
        judge = self.judges[commitment.judge]
        return sign(commitment, judge.market.deployment.domain, judge.key).signed.signature

    def cast(self, judge: Address, vote: Vote) -> CastVote:
        signature = self.signature(self.commitment(judge, vote))
        return CastVote(choice=choice_of(vote), salt=keccak(judge), signature=signature)

    def committed(self, judge: Address, vote: Vote) -> Committed:
        commitment = self.commitment(judge, vote)
        return Committed(
            judge=judge, ballot_hash=commitment.ballot_hash, signature=self.signature(commitment)
        )

    def held(self) -> dict[Address, int]:
        """Atoms at stake and with the duels."""
        market, parties = self.duels.market, (self.first, self.second, *self.judges.values())
        return {
            one.address: market.stake(one.address).staked + self.duels.balance_of(one.address)
            for one in parties
        }


@pytest.fixture
def mine(local_chain: Any) -> Callable[[int], None]:
    return lambda blocks: local_chain.rpc.call("anvil_mine", hex(blocks))


@pytest.fixture
def world(party: Any, staked_provider: Any, mine: Callable[[int], None]) -> World:
    return World(party, staked_provider, mine)


def test_judges_that_agree_decide_in_the_second_transaction(world: World) -> None:
    assert world.duels.duel(world.id).status is Status.OPEN
    early = world.duels.panel(world.id, world.first.address, world.second.address)
    draw_block = world.duels.duel(world.id).draw_block  # Blocks come while a test waits, too.
    assert not early or world.duels.market.head().number > draw_block, "drawn too early"
    panel, before = world.panel(), world.held()
    votes = [world.cast(judge, Vote.FIRST) for judge in panel]
    world.duels.decide(world.id, world.case, votes, salt=SALT)

    assert world.duels.duel(world.id).status is Status.ENDED
    assert world.duels.is_used(world.case.first.receipt.message.struct_hash())
    after = world.held()
    done = moved(
        Panel(votes=[Vote.FIRST] * SEATS, fee=FEE, stakes=[Atoms(STAKE)] * SEATS),
        price=PRICE,
        first_stake=Atoms(STAKE),
        second_stake=Atoms(STAKE),
    )
    gained = {address: after[address] - before[address] for address in before}
    assert gained[world.first.address] == done.first
    assert gained[world.second.address] == done.second
    assert [gained[judge] for judge in panel] == list(done.judges)
    (ruling,) = rulings(world.duels, world.id)
    assert (list(ruling.judges), set(ruling.choices)) == (panel, {Choice.FIRST})
    assert decided(world.duels) == [
        Decided(first=world.first.address, second=world.second.address, verdict=Vote.FIRST)
    ]
    world.duels.withdraw(panel[0])
    assert world.duels.balance_of(panel[0]) == 0
    assert world.duels.market.asset_balance(panel[0]) == gained[panel[0]]


def test_what_a_duel_said_is_read_from_its_draw_on_and_of_few_blocks_at_a_time(
    world: World, mine: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public nodes answer for some two thousand blocks at a time, or for fewer."""
    panel = world.panel()
    votes = [world.cast(judge, Vote.FIRST) for judge in panel]
    world.duels.decide(world.id, world.case, votes, salt=SALT)
    mine(20)
    rpc, draw_block = world.duels.market.rpc, world.duels.duel(world.id).draw_block
    call, begun = rpc.call, []

    def limited(method: str, *params: Any) -> Any:
        if method == "eth_getLogs":
            begin, end = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
            if end - begin >= 5:
                raise RpcError("The range is too large.", number=-32005)
            begun.append(begin)
        return call(method, *params)

    monkeypatch.setattr(rpc, "call", limited)
    (ruling,) = rulings(world.duels, world.id)
    assert list(ruling.judges) == panel
    assert min(begun) == draw_block
    assert len(decided(world.duels)) == 1


def test_what_not_all_say_is_said_on_chain_and_settled_later(
    world: World, pass_time: Callable[[int], None]
) -> None:
    panel, before = world.panel(), world.held()
    votes = (Vote.SECOND, Vote.SECOND, Vote.DECLINED)
    period = world.duels.terms().period_s
    committed = [world.committed(judge, vote) for judge, vote in zip(panel, votes, strict=True)]
    world.duels.summon(world.id, world.case, committed[:1])
    world.duels.commit(world.id, committed)
    pass_time(period)
    reveals = [Revealed(judge=judge, choice=Choice.SECOND, salt=keccak(judge)) for judge in panel[:2]]
    world.duels.reveal(world.id, world.case, reveals)
    pass_time(period)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    assert world.duels.duel(world.id).status is Status.APPEALABLE
    pass_time(period)
    assert not decided(world.duels)
    ruling = world.ruling(panel, [choice_of(vote) for vote in votes])
    assert rulings(world.duels, world.id) == [ruling]
    world.duels.settle([ruling])

    assert world.duels.duel(world.id).status is Status.ENDED
    after = world.held()
    done = moved(
        Panel(votes=votes, fee=FEE, stakes=[Atoms(STAKE)] * SEATS),
        price=PRICE,
        first_stake=Atoms(STAKE),
        second_stake=Atoms(STAKE),
    )
    assert after[world.first.address] - before[world.first.address] == done.first
    assert after[world.second.address] - before[world.second.address] == done.second
    assert [after[judge] - before[judge] for judge in panel] == list(done.judges)


def test_a_party_appeals(world: World) -> None:
    panel = world.panel()
    votes = [
        world.cast(judge, vote) for judge, vote in zip(panel, (Vote.FIRST, Vote.FIRST, Vote.TIE), strict=True)
    ]
    world.duels.decide(world.id, world.case, votes, salt=SALT)
    ruling = world.ruling(panel, (Choice.FIRST, Choice.FIRST, Choice.TIE))
    world.duels.appeal(ruling, Atoms(7 * SHARE))
    assert world.duels.duel(world.id).status is Status.APPEALED
    appeal = world.duels.duel(appeal_id(world.id))
    assert (appeal.status, appeal.seats, appeal.fee) == (Status.OPEN, 7, 7 * SHARE)
    with pytest.raises(ContractError) as refused:
        world.duels.appeal(replace(ruling, price=Atoms(1)), Atoms(7 * SHARE))
    assert refused.value.name == "WrongStatus"


def test_what_a_judge_and_a_duel_are_like(world: World) -> None:
    judge = next(iter(world.judges))
    assert world.duels.judge(judge).weight == STAKE
    assert world.duels.judge(judge).owner == judge
    assert world.duels.judge(world.first.address).slot == 0
    assert world.duels.terms().minimum_fee == MINIMUM_FEE
    duel = world.duels.duel(world.id)
    assert (duel.challenger, duel.fee, duel.seats) == (world.challenger.address, FEE, SEATS)
    assert world.duels.duel(Hash32(ZERO_HASH)).status is Status.NONE


def test_a_weight_changes_in_the_block_after_another_change(world: World) -> None:
    """A node estimates as of the newest block, in which it costs half as much."""
    judge, *_ = world.judges.values()
    Duels(judge.market).refresh(judge.address)
    Duels(judge.market).retire()
    assert world.duels.judge(judge.address).weight == 0
