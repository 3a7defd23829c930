"""The purse under any interleaving: the budget holds, and what is acknowledged is what was received."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy.exc import OperationalError

from tallystick.client.budget import Budget
from tallystick.client.errors import RequestBudgetExceeded, TotalBudgetExceeded, WrongWallet
from tallystick.client.purse import OpenChannel, Pending, Purse
from tallystick.ports import PostedOffer
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import ChannelNotOpen, ReceiptDoesNotAddUp, ReceiptMismatch
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Verified, sign, verify
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Milliseconds
from tallystick.protocol.voucher import Tally, require_acknowledges

DOMAIN = Domain(chain_id=1, contract=Address(b"\1" * 20))
WALLET = Key(b"\1" * 32)
PROVIDER = Key(b"\2" * 32)
BUDGET = Budget(total=1_000, per_request=400)
OFFER = Offer(
    provider=PROVIDER.address,
    sequence=0,
    endpoint="http://127.0.0.1",
    endpoint_key=ZERO_HASH,
    model="m",
    model_hash=ZERO_HASH,
    input_price=1,
    cached_input_price=1,
    output_price=1,
    context_length=100,
    credit=100,
    valid_until=1 << 40,
)
POSTED = PostedOffer(
    offer=OFFER,
    offer_hash=OFFER.struct_hash(),
    stake=Stake(
        provider=PROVIDER.address,
        staked=Atoms(1),
        exiting=Atoms(0),
        exits_at=0,
        receipt_key=PROVIDER.address,
    ),
)


def open_purse(home: Path, wallet: Key = WALLET, budget: Budget = BUDGET) -> Purse:
    return Purse(home, wallet=wallet, domain=DOMAIN, budget=budget, now=lambda: Milliseconds(1))


def reserve(purse: Purse, channel: OpenChannel, worst: int) -> Pending:
    return purse.reserve(
        channel,
        POSTED,
        path="/v1/completions",
        model="m",
        body=b"{}",
        request_hash=ZERO_HASH,
        streamed=True,
        worst=Atoms(worst),
    )


def receipt(
    channel: OpenChannel, sequence: int, cost: int, total: int, finish: Finish = Finish.STOP
) -> Verified[Receipt]:
    return sign(
        Receipt(
            channel_id=channel.id,
            sequence=sequence,
            offer_hash=POSTED.offer_hash,
            request_hash=ZERO_HASH,
            response_hash=ZERO_HASH,
            tokens_hash=ZERO_HASH,
            input_tokens=0,
            cached_input_tokens=0,
            output_tokens=1,
            finish=finish,
            received_at=0,
            first_token_at=0,
            finished_at=0,
            cost=Atoms(cost),
            cumulative_cost=Atoms(total),
        ),
        DOMAIN,
        PROVIDER,
    )


@dataclass
class Issued:
    """A receipt on its way from the provider to the payer."""

    pending: Pending
    verified: Verified[Receipt]
    final: bool


class PurseMachine(RuleBasedStateMachine):
    """Processes of one wallet, each with a channel; requests, receipts in any order, deaths and adoptions."""

    requests: Bundle[Pending] = Bundle("requests")
    issued: Bundle[Issued] = Bundle("issued")

    @initialize()
    def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.home = Path(self._folder.name)
        self.processes = [open_purse(self.home) for _ in range(2)]
        self.provider: dict[bytes, Tally] = {}
        self.billed: dict[int, int] = {}
        self.ended: set[int] = set()
        self.owners: dict[int, int] = {}
        self.accepted: dict[tuple[bytes, int], int] = {}

    def teardown(self) -> None:
        for purse in self.processes:
            purse.close()
        self._folder.cleanup()

    @rule(target=requests, process=st.integers(0, 1), worst=st.integers(1, 500))
    def begin(self, process: int, worst: int) -> Any:
        purse = self.processes[process]
        spent, reserved = purse.spending()
        channel = purse.open_channel(PROVIDER.address)
        left = BUDGET.total - spent - reserved
        if worst > BUDGET.per_request:
            with pytest.raises(RequestBudgetExceeded):
                reserve(purse, channel, worst)
            return None
        if worst > left:
            with pytest.raises(TotalBudgetExceeded) as caught:
                reserve(purse, channel, worst)
            assert (caught.value.required, caught.value.actual) == (worst, left)
            return None
        pending = reserve(purse, channel, worst)
        self.billed[pending.nonce] = 0
        return pending

    @rule(target=issued, pending=requests, cost=st.integers(0, 200), final=st.booleans())
    def issue(self, pending: Pending | None, cost: int, final: bool) -> Any:
        """The provider bills, within what was asked for."""
        if pending is None or pending.nonce in self.ended:
            return None
        cost = min(cost, pending.worst - self.billed[pending.nonce])
        self.billed[pending.nonce] += cost
        if final:
            self.ended.add(pending.nonce)
        tally = self.provider.get(pending.channel.id, Tally())
        finish = Finish.STOP if final else Finish.INTERIM
        verified = receipt(pending.channel, tally.count, cost, tally.amount + cost, finish)
        self.provider[pending.channel.id] = tally.append(verified.message)
        return Issued(pending, verified, final)

    @rule(item=issued)
    def receive(self, item: Issued | None) -> None:
        """In any order, and more than once."""
        if item is None:
            return
        purse = next((p for p in self.processes if item.pending.channel.id in p.leased), None)
        if purse is None:
            return
        channel = purse.leased[item.pending.channel.id]
        pending = replace(item.pending, channel=channel)
        purse.accept(pending, [item.verified], final=item.final)
        self.accepted[channel.id, item.verified.message.sequence] = item.verified.message.cost

    @rule(process=st.integers(0, 1))
    def die(self, process: int) -> None:
        """And another one takes over what was left."""
        self.processes[process].close()
        self.processes[process] = open_purse(self.home)
        self.processes[process].adopt_unsettled()

    @invariant()
    def the_budget_holds(self) -> None:
        spent, reserved = self.processes[0].spending()
        assert spent + reserved <= BUDGET.total
        assert spent == sum(self.accepted.values())
        assert reserved >= 0

    @invariant()
    def vouchers_pay_for_what_was_received(self) -> None:
        for purse in self.processes:
            for channel in purse.leased.values():
                voucher = purse.voucher(channel)
                verify(voucher.signed, DOMAIN, signer=channel.key.session_key)
                count = voucher.message.acknowledgement.receipt_count
                costs = [self.accepted[channel.id, i] for i in range(count)]
                assert voucher.message.cumulative_amount == sum(costs)
                assert (channel.id, count) not in self.accepted or count in channel.waiting
                if channel.id in self.provider and count == self.provider[channel.id].count:
                    require_acknowledges(voucher.message, self.provider[channel.id])


TestPurse = PurseMachine.TestCase
TestPurse.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def purse(tmp_path: Path) -> Any:
    opened = open_purse(tmp_path)
    yield opened
    opened.close()


def test_a_false_sum_behind_a_gap_is_found_when_the_gap_closes(purse: Purse) -> None:
    channel = purse.open_channel(PROVIDER.address)
    first, second = reserve(purse, channel, 100), reserve(purse, channel, 100)
    purse.accept(second, [receipt(channel, 1, 20, 31)], final=True)
    assert purse.voucher(channel).message.cumulative_amount == 0
    purse.accept(first, [receipt(channel, 0, 10, 10)], final=True)
    assert purse.voucher(channel).message.cumulative_amount == 10
    assert channel.refused
    (refused,) = purse.evidence.refused()
    assert (refused.signed.message.sequence, refused.code) == (1, "receipt-does-not-add-up")
    assert purse.spending() == (10, 0)
    assert purse.evidence.avoidance.out == {PROVIDER.address}


def test_nothing_is_accepted_after_a_refusal(purse: Purse) -> None:
    channel = purse.open_channel(PROVIDER.address)
    first, second = reserve(purse, channel, 100), reserve(purse, channel, 100)
    with pytest.raises(ReceiptDoesNotAddUp) as caught:
        purse.accept(first, [receipt(channel, 0, 10, 11)], final=True)
    purse.evidence.refuse(channel, receipt(channel, 0, 10, 11).signed, caught.value)
    with pytest.raises(ChannelNotOpen):
        purse.accept(second, [receipt(channel, 0, 10, 10)], final=True)
    assert purse.open_channel(PROVIDER.address) is not channel


def test_two_receipts_in_one_place_are_fraud(purse: Purse) -> None:
    channel = purse.open_channel(PROVIDER.address)
    pending = reserve(purse, channel, 100)
    purse.accept(pending, [receipt(channel, 0, 10, 10)], final=False)
    with pytest.raises(ReceiptMismatch, match="another receipt 0"):
        purse.accept(pending, [receipt(channel, 0, 9, 9)], final=False)


def test_a_request_never_costs_more_than_was_reserved(purse: Purse) -> None:
    channel = purse.open_channel(PROVIDER.address)
    pending = reserve(purse, channel, 100)
    with pytest.raises(ReceiptMismatch, match="more than was reserved"):
        purse.accept(pending, [receipt(channel, 0, 101, 101)], final=True)
    assert purse.spending() == (0, 100)


def test_another_wallet_cannot_open_it(tmp_path: Path) -> None:
    purse = open_purse(tmp_path)
    purse.open_channel(PROVIDER.address)
    folder = purse.folder
    purse.close()
    stranger = Key(b"\3" * 32)
    folder.rename(folder.with_name(stranger.address.hex()))
    with pytest.raises(WrongWallet):
        open_purse(tmp_path, stranger)


def test_secrets_are_sealed_at_rest(purse: Purse) -> None:
    channel = purse.open_channel(PROVIDER.address)
    reserve(purse, channel, 10)
    files = b"".join(path.read_bytes() for path in purse.folder.glob("purse.db*"))
    assert channel.session.address in files
    assert channel.session.secret not in files
    assert b"{}" not in files


def test_what_was_forgotten_comes_back_under_our_own_signature(tmp_path: Path) -> None:
    """A purse from a backup: the provider shows our own voucher, and the receipts that it acknowledges."""
    purse = open_purse(tmp_path)
    channel = purse.open_channel(PROVIDER.address)
    signed = [receipt(channel, 0, 10, 10), receipt(channel, 1, 5, 15)]
    tally = Tally().append(signed[0].message).append(signed[1].message)
    voucher = tally.voucher(channel.id)
    assert not purse.adopt(channel, voucher, [signed[0]])
    assert not purse.adopt(channel, voucher, [signed[0], receipt(channel, 1, 6, 16)])
    assert purse.adopt(channel, voucher, signed)
    assert purse.voucher(channel).message == voucher
    assert purse.spending() == (15, 0)
    purse.close()


def test_a_closed_purse_is_read_and_never_written(tmp_path: Path) -> None:
    """Another process may have leased its channels since."""
    purse = open_purse(tmp_path)
    channel = purse.open_channel(PROVIDER.address)
    pending = reserve(purse, channel, 10)
    purse.close()
    with pytest.raises(OperationalError, match="readonly"):
        purse.settle_unpaid(pending, "void")
    assert purse.spending() == purse.spending() == (0, 10)


@pytest.mark.parametrize(("total", "per_request"), [(0, 0), (1, 2), (-1, -1), (10, 0)])
def test_a_budget_makes_sense(total: int, per_request: int) -> None:
    with pytest.raises(ValueError, match="0 < per_request <= total"):
        Budget(total=total, per_request=per_request)


def test_a_budget_is_whole_atoms() -> None:
    with pytest.raises(TypeError):
        Budget(total=1.5, per_request=1)  # type: ignore[arg-type]  # the point


def test_a_true_receipt_beyond_the_budget_waits_for_a_larger_one(tmp_path: Path) -> None:
    purse = open_purse(tmp_path)
    channel = purse.open_channel(PROVIDER.address)
    pending = reserve(purse, channel, 300)
    billed = receipt(channel, 0, 300, 300)
    purse.settle_unpaid(pending, "unbilled")
    others = [reserve(purse, channel, 400), reserve(purse, channel, 400)]
    with pytest.raises(TotalBudgetExceeded):
        purse.accept(pending, [billed], final=True)
    assert purse.spending() == (0, 800)
    purse.settle_unpaid(others[0], "void")
    purse.accept(pending, [billed], final=True)
    assert purse.spending() == (300, 400)
    purse.close()


def test_the_next_epoch_begins_with_nothing_and_gives_back_what_waited(purse: Purse) -> None:
    channel = purse.open_channel(PROVIDER.address)
    first, gap, behind = (reserve(purse, channel, 100) for _ in range(3))
    purse.accept(first, [receipt(channel, 0, 40, 40)], final=True)
    purse.accept(behind, [receipt(channel, 2, 30, 90)], final=True)
    assert purse.spending() == (70, 100)
    purse.reopen(channel)
    following = purse.open_channel(PROVIDER.address)
    assert (following.key, following.tally) == (replace(channel.key, epoch=1), Tally())
    assert following.session.address == channel.session.address
    purse.settle_unpaid(gap, "void")
    assert purse.spending() == (40, 0)
    assert [item.receipt.message.sequence for item in purse.held_receipts()] == [0]
    purse.reopen(channel)  # As by a process that starts again where the one before it died.
    assert purse.open_channel(PROVIDER.address) is following


def test_what_a_dead_process_left_on_two_epochs_of_one_key_is_taken_over(tmp_path: Path) -> None:
    first = open_purse(tmp_path)
    channel = first.open_channel(PROVIDER.address)
    reserve(first, channel, 100)
    first.reopen(channel)
    reserve(first, first.open_channel(PROVIDER.address), 100)
    first.close()

    second = open_purse(tmp_path)
    taken = second.adopt_unsettled()
    assert sorted(channel.key.epoch for channel in taken) == [0, 1]
    assert open_purse(tmp_path).adopt_unsettled() == []
    for channel in taken:
        for lost in second.lost_requests(channel):
            second.settle_unpaid(lost, "unbilled")
    assert second.spending() == (0, 0)
    assert second.open_channel(PROVIDER.address).key.epoch == 1


def test_an_epoch_that_is_not_known_is_taken_back_beside_one_of_the_same_key(purse: Purse) -> None:
    following = replace(purse.open_channel(PROVIDER.address).key, epoch=1)
    assert [channel.key for channel in purse.take_back([following])] == [following]


def test_what_others_spend_from_the_purse_is_in_nobody_s_share(tmp_path: Path) -> None:
    first, second = open_purse(tmp_path), open_purse(tmp_path)
    for purse, cost in ((first, 7), (second, 11)):
        channel = purse.open_channel(PROVIDER.address)
        pending = reserve(purse, channel, 100)
        purse.accept(pending, [receipt(channel, 0, cost, cost)], final=True)
    assert (first.share.spent, second.share.spent) == (7, 11)
    assert first.spending() == (18, 0)


def test_what_a_dead_process_left_to_bill_is_in_nobody_s_share(tmp_path: Path) -> None:
    first = open_purse(tmp_path)
    pending = reserve(first, first.open_channel(PROVIDER.address), 100)
    first.close()
    second = open_purse(tmp_path)
    channel = second.open_channel(PROVIDER.address)
    (lost,) = second.lost_requests(channel)
    assert lost.nonce == pending.nonce
    second.accept(lost, [receipt(channel, 0, 7, 7)], final=True)
    assert (second.share.spent, second.spending()) == (0, (7, 0))


def test_what_is_behind_a_gap_for_good_is_in_nobody_s_share(tmp_path: Path) -> None:
    purse = open_purse(tmp_path)
    channel = purse.open_channel(PROVIDER.address)
    first, second = reserve(purse, channel, 100), reserve(purse, channel, 100)
    purse.accept(second, [receipt(channel, 2, 5, 12)], final=True)
    assert purse.share.spent == 5
    purse.accept(first, [receipt(channel, 0, 3, 3)], final=True)
    purse.reopen(channel)
    assert purse.share.spent == purse.spending()[0] == 3


def test_a_limited_request_costs_no_more_whoever_asks_what_came_of_it(tmp_path: Path) -> None:
    first = open_purse(tmp_path)
    pending = reserve(first, first.open_channel(PROVIDER.address), 100)
    first.limit(pending, Atoms(10))
    assert first.spending() == (0, 10)
    assert pending.channel.committed == 10
    first.close()
    second = open_purse(tmp_path)
    channel = second.open_channel(PROVIDER.address)
    (lost,) = second.lost_requests(channel)
    assert lost.worst == 10
    with pytest.raises(ReceiptMismatch):
        second.accept(pending, [receipt(channel, 0, 11, 11)], final=True)
    second.accept(lost, [receipt(channel, 0, 10, 10)], final=True)
    assert second.spending() == (10, 0)


def test_what_was_billed_before_it_was_limited_stays_billed(tmp_path: Path) -> None:
    purse = open_purse(tmp_path)
    channel = purse.open_channel(PROVIDER.address)
    pending = reserve(purse, channel, 100)
    purse.accept(pending, [receipt(channel, 0, 30, 30, Finish.INTERIM)], final=False)
    purse.limit(pending, Atoms(10))
    assert purse.spending() == (30, 0)
    purse.limit(pending, Atoms(400))
    assert purse.spending() == (30, 0)
    purse.settle_unpaid(pending, "unbilled")
    assert purse.spending() == (30, 0)
