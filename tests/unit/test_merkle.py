"""Small mountain ranges, drawn by hand."""

import pytest

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.merkle import Mountains, join, leaf, prove, root
from tallystick.protocol.units import Hash32

A, B, C, D, E, F, G = (keccak(bytes([i])) for i in range(7))
a, b, c, d, e, f, g = map(leaf, (A, B, C, D, E, F, G))


def test_a_leaf_is_hashed_twice():
    assert leaf(A) == keccak(keccak(A))


def test_a_pair_is_joined_sorted():
    low, high = Hash32(b"\1" * 32), Hash32(b"\2" * 32)

    assert join(low, high) == join(high, low) == keccak(low + high)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([A], a),
        ([A, B], join(a, b)),
        ([A, B, C], join(join(a, b), c)),
        ([A, B, C, D], join(join(a, b), join(c, d))),
        ([A, B, C, D, E], join(join(join(a, b), join(c, d)), e)),
        ([A, B, C, D, E, F], join(join(join(a, b), join(c, d)), join(e, f))),
        ([A, B, C, D, E, F, G], join(join(join(a, b), join(c, d)), join(join(e, f), g))),
    ],
    ids=["1", "2", "3", "4", "5", "6", "7"],
)
def test_peaks_are_joined_from_the_right(items, expected):
    assert root(items) == expected


def test_a_proof_climbs_its_mountain_then_the_smaller_ones_then_the_taller():
    items = [A, B, C, D, E, F, G]

    assert prove(items, 0) == [b, join(c, d), join(join(e, f), g)]
    assert prove(items, 4) == [f, g, join(join(a, b), join(c, d))]
    assert prove(items, 6) == [join(e, f), join(join(a, b), join(c, d))]


def test_a_range_of_seven_has_three_peaks():
    mountains = Mountains()
    for item in (A, B, C, D, E, F, G):
        mountains = mountains.append(item)

    assert mountains.peaks == (join(join(a, b), join(c, d)), join(e, f), g)
