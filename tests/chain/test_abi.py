"""What is ours of the ABI: signatures from artefacts, and no coercion where eth-abi would coerce."""

import contextlib

import pytest
from eth_abi.exceptions import DecodingError
from eth_utils.abi import event_abi_to_log_topic, function_abi_to_4byte_selector
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError, Entry, decode, encode, type_of
from tallystick.chain.codec import CODEC

INTERFACES = [contract.interface for contract in (contracts.market(), contracts.lens(), contracts.asset())]
TYPES = sorted(
    {
        text
        for interface in INTERFACES
        for _, entry in interface.functions.values()
        for text in (*entry.types, *entry.outputs)
    }
)


def test_names_in_calldata_and_logs_are_as_everybody_computes_them() -> None:
    for interface in INTERFACES:
        for selector, entry in interface.functions.values():
            assert selector == function_abi_to_4byte_selector(abi_of(entry, "function"))
        for topic, entry in interface.events.items():
            assert topic == event_abi_to_log_topic(abi_of(entry, "event"))


def abi_of(entry: Entry, kind: str):
    return {"type": kind, "name": entry.name, "inputs": list(entry.inputs)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("address", b"\1" * 20),
        ("bytes32", b"\2" * 32),
        ("string", "ä"),
        ("uint96", (1 << 96) - 1),
        ("(address,bytes)[]", ((b"\1" * 20, b"\3" * 65),)),
    ],
)
def test_a_value_is_read_back_as_it_was_given(text: str, value: object) -> None:
    assert decode((text,), encode((text,), (value,))) == (value,)


@given(st.data(), st.binary(max_size=300))
def test_bytes_off_the_wire_are_values_or_an_abi_error(data: st.DataObject, garbage: bytes) -> None:
    with contextlib.suppress(AbiError):
        decode((data.draw(st.sampled_from(TYPES)),), garbage)


@pytest.mark.parametrize("text", ["string", "bytes", "uint8[]", "(address,bytes)[]"])
def test_an_absurd_length_is_an_abi_error(text: str) -> None:
    with pytest.raises(AbiError):
        decode((text,), (32).to_bytes(32, "big") + b"\xff" * 32)


def test_text_that_is_no_utf_8_hides_nothing() -> None:
    assert decode(("string",), encode(("bytes",), (b"a\xff",))) == ("a\ufffd",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("uint96", -1),
        ("uint96", 1 << 96),
        ("uint96", True),
        ("uint96", "1"),
        ("uint96", 1.0),
        ("address", bytes(19)),
        ("address", "0x" + "00" * 20),
        ("bytes32", bytes(31)),
        ("bytes32", "0x" + "00" * 32),
        ("string", b"text"),
        ("bytes", "text"),
        ("bool", 1),
        ("uint8[]", 1),
        ("(uint8,uint8)", (1,)),
    ],
)
def test_nothing_is_coerced(text: str, value: object) -> None:
    with pytest.raises(TypeError):
        encode((text,), (value,))


def test_a_struct_s_type_is_its_fields() -> None:
    (offer, _) = contracts.market().interface.functions["postOffer"][1].inputs
    assert type_of(offer).startswith("(address,uint64,string,bytes32,")
    assert type_of({**offer, "type": "tuple[]"}) == type_of(offer) + "[]"


def test_a_call_shows_its_structs_by_their_fields() -> None:
    openings = [(b"\1" * 20, b"\2" * 20, 5)]
    call = contracts.market().call(bytes(20), "openChannels", openings)
    assert dict(call.arguments) == {
        "openings": [{"provider": b"\1" * 20, "sessionKey": b"\2" * 20, "cap": 5}]
    }


WORDS = ["address", "bytes32", "uint8", "uint24", "uint40", "uint64", "uint96", "uint128", "uint256"]


def outcome(read, types, data):
    try:
        return read(types, data)
    except (AbiError, DecodingError):
        return "refused"


@given(
    types=st.lists(st.sampled_from(WORDS), max_size=6),
    sizes=st.lists(st.integers(0, 32), max_size=7),
    cut=st.integers(0, 3),
    seed=st.randoms(use_true_random=False),
)
def test_single_words_are_read_as_eth_abi_reads_them(types, sizes, cut, seed) -> None:
    data = b"".join(seed.randbytes(size).rjust(32, b"\0") for size in sizes)
    data = data[: len(data) - cut] if cut < len(data) else data
    assert outcome(decode, types, data) == outcome(CODEC.decode, types, data)
