"""The codec against eth-abi, over every function, event and error of the contracts."""

import contextlib

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError, Kind, decode, encode

KINDS = sorted(
    {
        kind
        for contract in (contracts.market(), contracts.lens(), contracts.asset())
        for _, entry in contract.interface.functions.values()
        for kind in (*entry.inputs, *entry.outputs)
    },
    key=lambda kind: kind.text,
)


def values(kind: Kind) -> st.SearchStrategy[object]:
    """What a parameter of this kind may be."""
    if kind.text.endswith("[]"):
        return st.lists(values(kind.parts[0]), max_size=3)
    if kind.parts:
        return st.tuples(*map(values, kind.parts))
    match kind.text:
        case "string":
            return st.text()
        case "bytes":
            return st.binary(max_size=70)
        case "bool":
            return st.booleans()
        case "address":
            return st.binary(min_size=20, max_size=20)
        case text if text.startswith("bytes"):
            size = int(text[5:])
            return st.binary(min_size=size, max_size=size)
        case text:
            return st.integers(0, (1 << int(text[4:])) - 1)


def as_eth_abi(kind: Kind, value):  # eth-abi writes addresses as hex
    if kind.text.endswith("[]"):
        return tuple(as_eth_abi(kind.parts[0], item) for item in value)
    if kind.parts:
        return tuple(map(as_eth_abi, kind.parts, value))
    return "0x" + value.hex() if kind.text == "address" else value


@given(st.data())
def test_every_kind_is_encoded_as_eth_abi_does_and_read_back(data: st.DataObject) -> None:
    kinds = tuple(data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)))
    given_values = tuple(data.draw(values(kind)) for kind in kinds)
    texts = [kind.text for kind in kinds]

    encoded = encode(kinds, given_values)

    assert encoded == eth_abi.encode(texts, given_values)
    assert decode(kinds, encoded) == given_values
    theirs = eth_abi.decode(texts, encoded)
    assert theirs == tuple(map(as_eth_abi, kinds, given_values))


@given(st.data(), st.binary(max_size=300))
def test_bytes_off_the_wire_are_values_or_an_abi_error(data: st.DataObject, garbage: bytes) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    with contextlib.suppress(AbiError):
        decode((kind,), garbage)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint96", -1),
        ("uint96", 1 << 96),
        ("uint96", True),
        ("uint96", "1"),
        ("uint96", 1.0),
        ("address", bytes(19)),
        ("address", "0x" + "00" * 20),
        ("bytes32", bytes(31)),
        ("string", b"text"),
        ("bytes", "text"),
        ("bool", 1),
        ("uint8[]", 1),
    ],
)
def test_nothing_is_coerced(kind: str, value: object) -> None:
    with pytest.raises(TypeError):
        encode((Kind.of({"type": kind}),), (value,))


def test_a_known_selector() -> None:
    call = contracts.asset().call(bytes(20), "approve", bytes(20), 1)
    assert call.data[:4].hex() == "095ea7b3"


def test_a_kind_that_no_contract_of_ours_has_is_refused() -> None:
    with pytest.raises(AbiError):
        Kind.of({"type": "int256"})


def test_a_call_shows_its_structs_by_their_fields() -> None:
    openings = [(b"\1" * 20, b"\2" * 20, 5)]
    call = contracts.market().call(bytes(20), "openChannels", openings)
    assert dict(call.arguments) == {
        "openings": [{"provider": b"\1" * 20, "sessionKey": b"\2" * 20, "cap": 5}]
    }
