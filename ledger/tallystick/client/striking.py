"""Strikes that auditors found, taken to the chain by the payer that showed them the answers.

Anybody may file one; it counts for its auditor, and costs the sender its gas alone. Whether it is on chain
the contract says, so a payer that dies in between files nothing twice."""

import logging
from typing import TYPE_CHECKING, Final

from tallystick.chain.audits import Audits, Exhibit
from tallystick.chain.draws import drawing
from tallystick.chain.errors import ContractError
from tallystick.client.findings import HeldFinding
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.finding import Verdict
from tallystick.protocol.lottery import BlockAt, draws_at
from tallystick.protocol.units import Timestamp, to_hex

if TYPE_CHECKING:
    from tallystick.client.purse import Purse

_FOR_NOW: Final = frozenset({"TooManyStrikes", "OwnerCounted", "NotEnoughStaked"})
"""Refusals that time may take back: so many strikes are held against the provider already, its auditor's
owner has struck it already, or has too little staked. Others stay."""
RETRY_S: Final = 600
"""Seconds until what was refused for now is tried again."""

_LOG: Final = logging.getLogger("tallystick.client")


class Striking:
    """On one market."""

    def __init__(self, audits: Audits, block_at: BlockAt):
        """`audits`: the contract in the payer's hands."""
        self._audits, self._block_at = audits, block_at
        self._sealed, self._not_before = set[int](), dict[int, Timestamp]()

    def is_over(self, purse: "Purse", held: HeldFinding) -> bool:
        """Whether nothing is left to do for it: it is on chain, or never will be. Where it is refused for now
        the block that drew it is sealed, which the chain would forget meanwhile. Raises ChainError where the
        chain is away."""
        now = self._audits.market.head().timestamp
        if now < self._not_before.get(held.number, now):
            return False
        try:
            self.file(purse, held)
        except ContractError as error:
            _LOG.info("strike.refused error=%s", error.name)
            if error.name not in _FOR_NOW:
                return True
            self._not_before[held.number] = Timestamp(now + RETRY_S)
            self._seal(purse, held)
            return False
        return True

    def _seal(self, purse: "Purse", held: HeldFinding) -> None:
        receipt = purse.findings.shown(held.number).receipts[-1]
        block = self._block_at(draws_at(receipt.message.finished_at))
        if block is not None and block.number not in self._sealed:
            self._audits.seal(block.number)
            self._sealed.add(block.number)

    def file(self, purse: "Purse", held: HeldFinding) -> bool:
        """Whether it is on chain now. Not, where its auditor was not drawn for it, or the chain has forgotten
        who was. Raises ChainError where the contract refuses it, or the chain is away."""
        finding = held.finding.message
        if finding.verdict != Verdict.STRIKE:
            return False
        if not self._audits.is_counted(finding.receipt_hash):
            exhibit = self._exhibit(purse, held)
            if exhibit is None:
                return False
            self._audits.strike(exhibit)
            _LOG.info("strike.filed provider=%s", to_hex(finding.provider))
        purse.findings.file(held.number)
        return True

    def _exhibit(self, purse: "Purse", held: HeldFinding) -> Exhibit | None:
        finding, receipt = held.finding.message, purse.findings.shown(held.number).receipts[-1]
        block = self._block_at(draws_at(receipt.message.finished_at))
        if block is None:
            return None
        if finding.auditor not in self._audits.auditors(finding.receipt_hash, finding.provider, block):
            return None
        session_key, epoch = purse.findings.channel(held.channel_id)
        key = ChannelKey(payer=purse.payer, provider=finding.provider, session_key=session_key, epoch=epoch)
        drawn_by = drawing(self._audits.market.rpc, block)
        return Exhibit(channel=key, receipt=receipt, drawing=drawn_by, finding=held.finding)
