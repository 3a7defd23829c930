"""How one who is drawn to re-audit asks an auditor that struck for what its strike was found of.

The question is signed, since the answer holds what a payer asked and was answered: whoever struck shows it to
those whom the chain drew, and to nobody else. It knows no chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from tallystick.protocol.dossier import Dossier
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.finding import Finding
from tallystick.protocol.message import Message
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Hash32, Timestamp
from tallystick.protocol.wire import signed_from_json, signed_to_json

LIFE_S: Final = 300
"""How far ahead the end of a question may lie, by the clock of whoever is asked."""
SHOWN_LIMIT: Final = 16 << 20
"""Bytes of an answer that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing(Message):
    """Signed with the receipt key of a provider that is drawn to re-audit."""

    TYPE: ClassVar[str] = "Viewing(bytes32 accusation,address auditor,bytes32 findingHash,uint64 until)"
    accusation: Hash32
    auditor: Address
    """Who asks: two may name one key."""
    finding_hash: Hash32
    """Struct hash of the finding that was filed as a strike."""
    until: Timestamp
    """First second at which it is good for nothing: who finds it later is shown nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A finding, and what it is of."""

    finding: Signed[Finding]
    dossier: Dossier = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        return {**signed_to_json(self.finding), "dossier": self.dossier.to_json()}

    @classmethod
    def from_json(cls, data: object) -> "Shown":
        """Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("What a finding is of is an object.")
        return cls(finding=signed_from_json(Finding, data), dossier=Dossier.from_json(data.get("dossier")))
