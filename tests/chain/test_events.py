"""The event classes against the ABI, field by field."""

import dataclasses
import re
from pathlib import Path

import pytest

from tallystick.chain import contracts
from tallystick.chain.audit_events import AUDIT_EVENTS
from tallystick.chain.contracts import Contract
from tallystick.chain.duel_events import DUEL_EVENTS
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.events import EVENTS, ChainEvent, Deposited, Skip, read_event

ABI = {entry.name: entry for entry in contracts.market().interface.events.values()}
STANDARD = {"EIP712DomainChanged"}
PLACE = {field.name for field in dataclasses.fields(ChainEvent)}


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def test_every_event_of_the_market_has_a_class() -> None:
    assert set(EVENTS) == set(ABI) - STANDARD


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_class_has_the_fields_of_its_event_in_their_order(name: str) -> None:
    fields = [field.name for field in dataclasses.fields(EVENTS[name]) if field.name not in PLACE]
    assert fields == [snake(item) for item in ABI[name].names]


@pytest.mark.parametrize(
    ("contract", "kinds"), [(contracts.duels(), DUEL_EVENTS), (contracts.audits(), AUDIT_EVENTS)]
)
def test_other_contracts_have_classes_too(contract: Contract, kinds: dict[str, type[ChainEvent]]) -> None:
    theirs = {entry.name: entry for entry in contract.interface.events.values()}
    assert set(kinds) == set(theirs)
    for name, kind in kinds.items():
        fields = [field.name for field in dataclasses.fields(kind) if field.name not in PLACE]
        assert fields == [snake(item) for item in theirs[name].names]


def log(topics: list[bytes], data: bytes) -> dict[str, object]:
    place = {"blockNumber": "0x10", "logIndex": "0x2", "transactionHash": "0x" + "ab" * 32}
    return {"topics": ["0x" + topic.hex() for topic in topics], "data": "0x" + data.hex(), **place}


def test_a_log_becomes_its_event() -> None:
    payer = b"\7" * 20
    words = (5).to_bytes(32, "big") + (9).to_bytes(32, "big")
    event = read_event(log([ABI["Deposited"].topic, payer.rjust(32, b"\0")], words))
    assert event == Deposited(block=16, log_index=2, transaction=b"\xab" * 32, payer=payer, amount=5, free=9)


def test_a_reason_is_an_enumeration() -> None:
    event = read_event(log([ABI["RowSkipped"].topic, b"\1" * 32], (1).to_bytes(32, "big")))
    assert event is not None
    assert event.reason is Skip.NOT_GREATER  # type: ignore[attr-defined]


def test_logs_of_other_contracts_are_passed_over() -> None:
    assert read_event(log([b"\1" * 32], b"")) is None
    assert read_event(log([], b"")) is None


@pytest.mark.parametrize(
    "broken",
    [
        log([ABI["Deposited"].topic], b""),
        log([ABI["Deposited"].topic, bytes(32)], b"\1"),
        log([ABI["RowSkipped"].topic, bytes(32)], (99).to_bytes(32, "big")),
        {},
    ],
)
def test_a_broken_log_is_the_node_s_fault(broken: dict[str, object]) -> None:
    with pytest.raises(ChainUnavailable):
        read_event(broken)


def test_the_enumeration_is_the_contract_s() -> None:
    source = Path(__file__).parents[2] / "contracts/src/interfaces/IMarket.sol"
    names = re.findall(r"@custom:value(\d+) ([A-Z_]+)", source.read_text())
    assert {name: int(number) for number, name in names} == {skip.name: skip.value for skip in Skip}
