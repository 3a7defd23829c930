"""The mountain range: appending equals building, every leaf has a proof, and nothing else has one."""

from functools import reduce

from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.merkle import Mountains, join, leaf, prove, root, verify_proof
from tallystick.protocol.units import ZERO_HASH, Hash32

hashes = st.from_type(Hash32)
some = st.lists(hashes, min_size=1, max_size=70, unique=True)


def naive_root(struct_hashes):
    """By the definition: perfect trees over the largest powers of two, joined from the right."""
    remaining, peaks = [leaf(item) for item in struct_hashes], []
    while remaining:
        size = 1 << len(remaining).bit_length() - 1
        peaks.append(perfect_tree(remaining[:size]))
        remaining = remaining[size:]
    bagged = peaks.pop()
    while peaks:
        bagged = join(peaks.pop(), bagged)
    return bagged


def perfect_tree(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return join(perfect_tree(leaves[:half]), perfect_tree(leaves[half:]))


@given(some)
def test_appending_gives_the_root_of_the_definition(items):
    assert reduce(Mountains.append, items, Mountains()).root == root(items) == naive_root(items)


@given(some)
def test_there_is_a_peak_for_each_bit_of_the_count(items):
    mountains = reduce(Mountains.append, items, Mountains())

    assert mountains.count == len(items)
    assert len(mountains.peaks) == len(items).bit_count()


@given(some)
def test_every_leaf_has_a_short_proof(items):
    expected = root(items)

    for index, item in enumerate(items):
        proof = prove(items, index)
        assert verify_proof(proof, expected, item)
        assert len(proof) <= 2 * len(items).bit_length()


@given(some, st.data())
def test_a_proof_proves_its_own_leaf_only(items, data):
    index = data.draw(st.integers(0, len(items) - 1))
    other = data.draw(hashes)
    assume(other != items[index])

    assert not verify_proof(prove(items, index), root(items), other)


@given(some, st.data())
def test_a_proof_with_a_step_changed_dropped_or_added_proves_nothing(items, data):
    assume(len(items) > 1)
    index = data.draw(st.integers(0, len(items) - 1))
    proof = prove(items, index)
    at = data.draw(st.integers(0, len(proof) - 1))
    strange = data.draw(hashes)
    assume(strange != proof[at])

    for forged in ([*proof[:at], strange, *proof[at + 1 :]], proof[:at] + proof[at + 1 :], [*proof, strange]):
        assert not verify_proof(forged, root(items), items[index])


@given(some, hashes, st.lists(hashes, max_size=8))
def test_what_is_not_in_has_no_proof(items, stranger, proof):
    assume(stranger not in items)

    assert not verify_proof(proof, root(items), stranger)


@given(some)
def test_no_inner_node_passes_for_a_receipt(items):
    """A root is itself a node: were leaves hashed once, an empty proof would "prove" half of its preimage."""
    assume(len(items) > 1)
    nodes = [leaf(item) for item in items] + [root(items)]

    for node in nodes:
        assert not verify_proof([], root(items), node)
        assert not verify_proof([], root(items), keccak(node))


@given(some, st.data())
def test_roots_of_prefixes_stay_what_they_were(items, data):
    """What was acknowledged once is acknowledged for good: later receipts change no earlier root."""
    cut = data.draw(st.integers(0, len(items)))
    early = reduce(Mountains.append, items[:cut], Mountains())
    before = (early.count, early.peaks, early.root)

    late = reduce(Mountains.append, items[cut:], early)

    assert (early.count, early.peaks, early.root) == before
    assert late == reduce(Mountains.append, items, Mountains())


@given(some, hashes)
def test_every_append_changes_the_root(items, another):
    mountains = reduce(Mountains.append, items, Mountains())

    assert mountains.append(another).root != mountains.root


def test_no_leaf_at_all_has_the_zero_root():
    assert Mountains().root == root([]) == ZERO_HASH
