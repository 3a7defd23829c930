"""What a call to the audits' contract showed: all that a strike rests on, and ballots. The inverse of what
`Audits` sends. It asks no node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.audits import Exhibit, Revealed
from tallystick.chain.draws import Drawing
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.finding import Finding
from tallystick.protocol.lottery import Block
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.strikes import Opinion


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCall:
    """One of a strike, or of ballots. What its function does not take is empty."""

    exhibit: Exhibit | None = None
    """The number of its block is not read out of the header, and zero."""
    reveals: tuple[Revealed, ...] = ()


def audit_call(data: bytes) -> AuditCall | None:
    """None: no such call, or not as the ABI has it."""
    try:
        called = contracts.audits().interface.calldata(data)
        if called is None:
            return None
        name, given = called
        if name == "strike":
            return AuditCall(exhibit=_exhibit(given["exhibit"]))
        return AuditCall(reveals=tuple(map(_reveal, given["reveals"]))) if name == "reveal" else None
    except (AbiError, ValueError):  # An opinion may be a number that is none.
        return None


def _reveal(given: Mapping[str, Any]) -> Revealed:
    opinions = tuple(map(Opinion, given["opinions"]))
    return Revealed(seat=given["seat"], opinions=opinions, salt=given["salt"])


def _exhibit(given: Mapping[str, Any]) -> Exhibit:
    channel = given["channel"]
    return Exhibit(
        channel=ChannelKey(
            payer=channel["payer"],
            provider=channel["provider"],
            session_key=channel["sessionKey"],
            epoch=channel["epoch"],
        ),
        receipt=Signed(Receipt(**_by_place(Receipt, given["receipt"])), given["receiptSignature"]),
        drawing=Drawing(
            block=Block(number=0, hash=keccak(given["header"])),
            header=given["header"],
            parent=given["parent"],
        ),
        finding=Signed(Finding(**_by_place(Finding, given["finding"])), given["findingSignature"]),
    )


def _by_place(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's struct has the fields of the type string, in its order."""
    return dict(zip((field.name for field in fields(kind)), given.values(), strict=True))
