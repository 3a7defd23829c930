"""Of what speaks for a payer, the least that a node and a witness of it say."""

from dataclasses import dataclass, field, replace

import pytest

from tallystick.chain.errors import ChainDisputed, ChainUnavailable
from tallystick.chain.witnessed import Witnessed
from tallystick.ports import Account, Head
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms, Timestamp

PAYER, PROVIDER, SESSION = (Address(bytes([number]) * 20) for number in (1, 2, 3))
CHANNEL = Channel(key=ChannelKey(payer=PAYER, provider=PROVIDER, session_key=SESSION), cap=Atoms(9))


@dataclass
class Reader:
    free: int = 100
    exiting: int = 0
    known: Channel = CHANNEL
    keys: set[Address] = field(default_factory=lambda: {SESSION})
    gone: bool = False
    newest: int = 7

    def _require_there(self) -> None:
        if self.gone:
            raise ChainUnavailable("gone")

    def head(self) -> Head:
        self._require_there()
        return Head(number=self.newest, timestamp=Timestamp(self.newest))

    def account(self, payer: Address) -> Account:
        self._require_there()
        return Account(free=Atoms(self.free), exiting=Atoms(self.exiting), exits_at=Timestamp(0))

    def stake(self, provider: Address) -> Stake:
        raise NotImplementedError

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        self._require_there()
        return key in self.keys

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        self._require_there()
        return self.known


@pytest.mark.parametrize(
    ("node", "witnesses", "held"),
    [
        (100, [100], 100),
        (10**9, [100], 100),
        (10**9, [0, 100], 100),
        (100, [10**9], 100),
        (100, [0, 10**9], 100),
        (0, [100], 0),
    ],
)
def test_a_deposit_is_believed_as_far_as_a_witness_knows_it(
    node: int, witnesses: list[int], held: int
) -> None:
    reader = Witnessed(Reader(free=node), [Reader(free=free) for free in witnesses])
    assert reader.account(PAYER).free == held


def test_a_channel_is_one_that_a_witness_knows() -> None:
    other = replace(CHANNEL, cap=Atoms(10**9))
    assert Witnessed(Reader(), [Reader(known=other), Reader()]).channel(PAYER, PROVIDER, SESSION) == CHANNEL
    with pytest.raises(ChainDisputed):
        Witnessed(Reader(known=other), [Reader(), Reader()]).channel(PAYER, PROVIDER, SESSION)


def test_a_receipt_key_is_one_that_a_witness_knows() -> None:
    assert Witnessed(Reader(), [Reader(keys=set()), Reader()]).is_receipt_key(PROVIDER, SESSION)
    assert not Witnessed(Reader(), [Reader(keys=set())]).is_receipt_key(PROVIDER, SESSION)
    assert not Witnessed(Reader(keys=set()), [Reader()]).is_receipt_key(PROVIDER, SESSION)


def test_the_head_is_the_newest_that_any_of_them_knows() -> None:
    assert Witnessed(Reader(newest=7), [Reader(gone=True), Reader(newest=9)]).head().number == 9
    assert Witnessed(Reader(newest=9), [Reader(newest=7)]).head().number == 9


def test_without_a_witness_nothing_is_believed() -> None:
    assert Witnessed(Reader(), [Reader(gone=True), Reader()]).account(PAYER).free == 100
    reader = Witnessed(Reader(), [Reader(gone=True)])
    with pytest.raises(ChainUnavailable):
        reader.account(PAYER)
    with pytest.raises(ChainUnavailable):
        reader.channel(PAYER, PROVIDER, SESSION)
