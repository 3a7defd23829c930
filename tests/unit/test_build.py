"""Code on a chain, compared with the build: every byte counts; the constructor's values are read from it."""

import pytest

from tallystick.chain.build import WORD, Build, built, compare
from tallystick.chain.contracts import Contract, audits, duels, market

BUILD = Build(
    deployed=b"\x01" + bytes(WORD) + b"\x02" + bytes(WORD) + b"\x03",
    immutables={"ASSET": (1, 34)},
    compiler="0",
    settings={},
    sources={},
)
VALUE = b"\x09" * WORD


def code(first: bytes = VALUE, second: bytes = VALUE) -> bytes:
    return b"\x01" + first + b"\x02" + second + b"\x03"


def test_the_constructor_s_values_are_read_and_do_not_count() -> None:
    found = compare(BUILD, code())
    assert found.same
    assert found.values == {"ASSET": VALUE}


def test_copies_of_one_value_that_disagree_are_another_contract() -> None:
    found = compare(BUILD, code(second=b"\x08" * WORD))
    assert not found.same
    assert found.values == {"ASSET": None}


@pytest.mark.parametrize("place", [0, 33, 66])
def test_one_changed_byte_is_another_contract(place: int) -> None:
    changed = bytearray(code())
    changed[place] ^= 1
    found = compare(BUILD, bytes(changed))
    assert (found.same, found.differs_at) == (False, place)


@pytest.mark.parametrize(("changed", "at"), [(code() + b"\x00", 67), (code()[:-1], 66), (b"", 0)])
def test_longer_and_shorter_code_is_another_contract(changed: bytes, at: int) -> None:
    found = compare(BUILD, changed)
    assert (found.same, found.differs_at) == (False, at)


@pytest.mark.parametrize(
    ("contract", "names"),
    [
        (market(), {"ASSET", "ARBITER", "MINIMUM_STAKE", "CHAIN_ID", "SEPARATOR"}),
        (duels(), {"MARKET", "AUDITS", "ASSET", "MINIMUM_FEE", "PERIOD"}),
        (audits(), {"DUELS", "MARKET", "ASSET", "PERIOD", "WINDOW"}),
    ],
    ids=["Market", "Duels", "Audits"],
)
def test_a_contract_s_build_is_part_of_what_is_deployed(contract: Contract, names: set[str]) -> None:
    build = built(contract.name)
    assert build.deployed in contract.bytecode
    assert all(
        build.deployed[place : place + WORD] == bytes(WORD)
        for places in build.immutables.values()
        for place in places
    )
    assert names <= build.immutables.keys()
