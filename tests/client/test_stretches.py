"""What a payer keeps of what was drawn, and what it forgets first."""

from tallystick.client.stretches import Stretch, make_room
from tallystick.protocol.units import ChannelId
from tests.audits.showing import body, sample

CHANNEL = ChannelId(bytes(32))


def stretch(count: int, length: int) -> Stretch:
    made = Stretch(CHANNEL, "tiny-good", 0)
    for sequence in range(count):
        made.add(sample([5, 1], asked=body(user="x" * length), sequence=sequence))
    return made


def test_all_channels_together_keep_no_more_than_so_many_bytes() -> None:
    large, small = stretch(20, 10_000), stretch(20, 10)
    make_room([large, small], 100_000)

    assert large.size + small.size <= 100_000
    assert len(small.drawn) == 20, "a channel of long requests costs no other channel its evidence"
    kept = [one.receipt.message.sequence for one in large.drawn]
    assert kept == list(range(20 - len(kept), 20)), "the newest ones"
    assert large.start == kept[0], "and nothing before them is shown as if it had not been drawn"


def test_where_there_is_room_nothing_is_forgotten() -> None:
    one = stretch(20, 10)
    make_room([one], one.size)
    assert len(one.drawn) == 20
