"""Every error of the contracts comes out as a sentence."""

import string

import pytest

from tallystick.chain import contracts
from tallystick.chain.abi import encode
from tallystick.chain.contracts import contract_error, error_names
from tallystick.chain.errors import SENTENCES

ERRORS = {
    entry.name: (selector, entry)
    for contract in (contracts.lens(), contracts.asset(), contracts.market())
    for selector, entry in contract.interface.errors.items()
}
DEFAULTS = {"address": bytes(20), "string": "text", "bytes32": bytes(32)}


def test_the_table_is_complete_and_has_nothing_else() -> None:
    assert set(SENTENCES) - {"Unexplained"} == set(error_names())


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_becomes_its_sentence(name: str) -> None:
    selector, entry = ERRORS[name]
    values = [DEFAULTS.get(text, 7) for text in entry.types]

    error = contract_error(selector + encode(entry.types, values))

    assert error.name == name
    assert error.arguments == dict(zip(entry.names, values, strict=True))
    assert error.sentence.endswith((".", "?"))
    assert "{" not in error.sentence
    assert str(error) == error.sentence


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_a_sentence_speaks_of_the_numbers_that_decided(name: str) -> None:
    _, entry = ERRORS[name]
    fields = {field for _, field, _, _ in string.Formatter().parse(SENTENCES[name]) if field}
    assert fields <= set(entry.names)


def test_times_are_written_as_times() -> None:
    selector, entry = ERRORS["ExitNotOver"]
    error = contract_error(selector + encode(entry.types, [1_800_000_000, 1_799_999_999]))
    assert "2027-01-15 08:00:00 UTC" in error.sentence


@pytest.mark.parametrize("data", [b"", b"\1\2\3\4", b"\1\2\3\4" + bytes(200)])
def test_what_nobody_declared_is_unexplained(data: bytes) -> None:
    assert contract_error(data).name == "Unexplained"


def test_a_known_error_with_broken_arguments_is_unexplained() -> None:
    assert contract_error(ERRORS["ExitNotOver"][0] + b"\1").name == "Unexplained"


def test_solidity_s_own_errors_are_read() -> None:
    text = contract_error(bytes.fromhex("08c379a0") + eth_encode_string("too late"))
    assert text.sentence == "The contract refused: too late"
    panic = contract_error(bytes.fromhex("4e487b71") + (17).to_bytes(32, "big"))
    assert panic.name == "Panic"


def eth_encode_string(text: str) -> bytes:
    return (32).to_bytes(32, "big") + len(text).to_bytes(32, "big") + text.encode().ljust(32, b"\0")
