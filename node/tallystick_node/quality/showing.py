"""What an auditor's strikes were found of, shown to those whom the chain drew to re-audit, and to nobody
else: they hold what a payer asked, and what it was answered.

A signature comes before any look-up, and the chain is asked before anything is said.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from tallystick.chain.audits import Audits, Status
from tallystick.chain.errors import ChainError
from tallystick.ports import Clock
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import CredentialExpired, DossierUnknown, NotDrawn, WrongSigner
from tallystick.protocol.signed import recover
from tallystick.protocol.units import Address, Hash32, address, to_hex
from tallystick.protocol.viewing import LIFE_S, Viewing
from tallystick.protocol.wire import signed_from_json
from tallystick_node.quality.dossiers import Dossiers
from tallystick_node.quality.lookups import Lookups


class Showing:
    """Of one auditor."""

    def __init__(self, *, audits: Audits, dossiers: Dossiers, clock: Clock):
        self._audits, self._dossiers, self._clock = audits, dossiers, clock
        self._lookups = Lookups()
        self._accused: dict[Hash32, Address] = {}
        """By finding, of those that are kept here."""

    async def show(self, data: Mapping[str, Any]) -> bytes:
        """As the gateway's `Errand` says."""
        signed = signed_from_json(Viewing, data)
        asked, now = signed.message, self._clock.milliseconds() // 1000
        if not now < asked.until <= now + LIFE_S:
            raise CredentialExpired(
                f"A question for a dossier is good for at most {LIFE_S} s, by this provider's clock.",
                required=now + LIFE_S,
                actual=asked.until,
            )
        signer = recover(digest(self._audits.market.deployment.domain, asked.struct_hash()), signed.signature)
        return await self._lookups.made(lambda: self._shown(asked, signer))

    def _shown(self, asked: Viewing, signer: Address) -> bytes:
        try:
            key = self._audits.market.stake(asked.auditor).receipt_key
            if key != signer:
                raise WrongSigner(
                    "The question is not signed with the key that its auditor names.",
                    required=to_hex(key),
                    actual=to_hex(signer),
                )
            self._require_drawn(asked, self._accused_of(asked.finding_hash))
        except ChainError as error:
            raise NotDrawn("The chain does not say who re-audits.") from error
        return self._content(asked.finding_hash)

    def _require_drawn(self, asked: Viewing, accused: Address) -> None:
        accusation = self._audits.accusation(accused)
        if accusation.id != asked.accusation or accusation.status is not Status.COMMITTING:
            raise NotDrawn("Nobody re-audits that now.", actual=to_hex(asked.accusation))
        if asked.auditor not in self._audits.reauditors(accused):
            raise NotDrawn("This provider is not drawn to re-audit.", actual=to_hex(asked.auditor))

    def _accused_of(self, finding_hash: Hash32) -> Address:
        if finding_hash not in self._accused:
            shown = orjson.loads(self._content(finding_hash))
            self._accused[finding_hash] = address(shown["finding"]["provider"])
        return self._accused[finding_hash]

    def _content(self, finding_hash: Hash32) -> bytes:
        content = self._dossiers.of(finding_hash)
        if content is None:
            raise DossierUnknown("This auditor keeps nothing of such a finding.", actual=to_hex(finding_hash))
        return content
