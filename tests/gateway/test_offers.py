"""An honest node never signs two offers with one sequence: that is fraud, and would cost its stake."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from tallystick.chain.errors import TransactionUnknown
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.offer import SALT_BITS, Offer, fresh_sequence
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.units import ZERO_HASH, Address, AtomsPerMTok, Milliseconds
from tallystick_node.config import OfferConfig
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.offers import post_missing
from tallystick_node.store.memory import MemoryStore

WANTED = OfferConfig(model="tiny", input_price=1, output_price=2, context_length=10, credit=100)


class StillClock:
    """Stands still unless it is set: the worst clock there can be."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def milliseconds(self) -> Milliseconds:
        return Milliseconds(self.now)


class Board:
    """A chain whose transactions get lost after everybody has seen them."""

    def __init__(self, *, lost: int = 0, latest: int = 0, minimum: int = 0):
        self.lost, self.latest, self.minimum = lost, latest, minimum
        self.seen: list[Signed[Offer]] = []

    def offers_of(self, provider: Address) -> tuple[int, int]:
        return self.latest, self.minimum

    def post_offer(self, signed: Signed[Offer]) -> None:
        self.seen.append(signed)
        if self.lost:
            self.lost -= 1
            raise TransactionUnknown("Sent, and not seen mined.", transaction=ZERO_HASH)
        self.latest = signed.message.sequence


def books(clock: Any, key: Key) -> Books:
    domain = Domain(chain_id=31337, contract=Address(b"\x77" * 20))
    return Books(provider=key.address, key=key, domain=domain, store=MemoryStore(), clock=clock)


def post(ours: Books, board: Board) -> None:
    with suppress(TransactionUnknown):
        post_missing(ours, board, (WANTED,), endpoint="https://p.example", endpoint_key=ZERO_HASH)


def assert_honest(board: Board) -> None:
    by_sequence: dict[int, bytes] = {}
    for signed in board.seen:
        one = by_sequence.setdefault(signed.message.sequence, signed.message.struct_hash())
        assert one == signed.message.struct_hash(), "two offers with one sequence"


def test_an_offer_whose_transaction_got_lost_is_no_equivocation() -> None:
    clock, board = StillClock(), Board(lost=2)
    ours = books(clock, Key.generate())
    post(ours, board)
    clock.now += 1_000  # another second: the next offer ends another second later
    post(ours, board)
    post(ours, board)
    assert len(board.seen) == 3
    assert_honest(board)


def test_nor_are_two_programs_that_know_nothing_of_each_other() -> None:
    """A node that was restarted, or `tally join` beside it, after a transaction got lost; and two in the same
    millisecond."""
    key, board, clock = Key.generate(), Board(lost=2), StillClock()
    post(books(clock, key), board)
    clock.now += 1_001
    post(books(clock, key), board)
    post(books(clock, key), board)
    sequences = [signed.message.sequence for signed in board.seen]
    assert [sequence >> SALT_BITS for sequence in sequences] == [1_800_000_000_000, *2 * [1_800_000_001_001]]
    assert len(set(sequences)) == 3


def test_the_chain_s_own_sequences_are_kept_ahead_of() -> None:
    """Of a clock that is behind, and of one that was once ahead."""
    first = 7 << SALT_BITS
    for latest, minimum, expected in ((0, 0, first), (first + 9, 3, first + 10), (2, first + 30, first + 30)):
        sequence = fresh_sequence(latest=latest, minimum=minimum, now=Milliseconds(7), salt=5)
        assert sequence == expected + 5
    ahead = 1_900_000_000_000 << SALT_BITS
    board = Board(latest=ahead)
    post(books(StillClock(), Key.generate()), board)
    assert ahead < board.latest <= ahead + (1 << SALT_BITS)


def test_what_a_lying_node_of_the_chain_says_was_posted_is_not_signed_beside_the_truth() -> None:
    board = Board()
    ours = books(StillClock(), Key.generate())
    post(ours, board)
    (true,) = board.seen
    false = replace(true.message, output_price=AtomsPerMTok(0))
    ours.offers = {true.message.struct_hash(): true.message}
    assert [signed.message for _, signed in ours.posted_offers()] == [true.message]
    ours.offers = {false.struct_hash(): false}
    assert ours.posted_offers() == []
