"""The events of audits, folded into what strikes, accusations and their accounts are after them. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tallystick.chain.audit_events import (
    Accused,
    Answered,
    AuditsEvent,
    Committed,
    Concluded,
    Credited,
    Revealed,
    Struck,
    Summoned,
    Withdrawn,
)
from tallystick.chain.events import ChainEvent
from tallystick.chain.strike_telling import accusations_of, packed, said_from, standing_of, unpacked
from tallystick.protocol.strikes import Outcome
from tallystick_node.explorer.index.audit_rows import (
    ADDRESS,
    HASH,
    Accusation,
    AuditAccount,
    Charges,
    Strike,
    parted,
)
from tallystick_node.explorer.index.keyed import Key
from tallystick_node.explorer.index.standing import Changing, Place, incoherent


def needs_of_audit(event: AuditsEvent) -> Iterator[Place]:
    """The rows that folding it may ask for, but for the strikes that hang on these."""
    if (accusation := getattr(event, "id", None)) is not None:
        yield "accusations", accusation
    match event:
        case Struck():
            yield from (("charges", event.provider), ("strikes", event.receipt_hash))
        case Accused() | Concluded():
            yield "charges", event.provider
        case Answered():
            yield "audit_accounts", event.answerer
        case Credited() | Withdrawn():
            yield "audit_accounts", event.owner
        case _:
            pass


def strikes_of(rows: Iterable[Charges | Accusation]) -> set[Place]:
    """Those that hang on these."""
    names: set[Key] = set()
    for row in rows:
        held = parted(row.strikes, HASH) if isinstance(row, Accusation) else dict(row.by_auditor).values()
        names.update(held)
    return {("strikes", name) for name in names}


class AuditFolding:
    """One block's."""

    def __init__(self, rows: Changing, events: Sequence[ChainEvent]):
        self._rows = rows
        self._moved = accusations_of(events)

    def accusation_of(self, event: ChainEvent) -> bytes | None:
        """What an event is told with: its own, or the one that moved its money."""
        own = getattr(event, "id", None) if isinstance(event, AuditsEvent) else None
        return own or self._moved.get(event.log_index)

    def event(self, event: AuditsEvent) -> None:
        match event:
            case Struck():
                self._strike(event)
            case Accused():
                self._accuse(event)
            case Answered():
                self._answer(event)
            case Summoned() | Committed() | Revealed():
                self._reaudit(event)
            case Concluded():
                self._conclude(event)
            case Credited():
                row = self._account(event.owner)
                self._rows.put(row.credit(event.amount, event.balance, self._rows.block))
            case Withdrawn():
                self._rows.put(self._account(event.owner).withdraw(event.amount, self._rows.block))
            case _:
                pass  # A hash that was kept, and what somebody lost, are told where they stand.

    # ------------------------------------------------------------------------------------------- strikes

    def _charges(self, provider: bytes) -> Charges:
        return self._rows.standing.find(Charges, provider) or Charges(address=provider)

    def _struck(self, receipt_hash: bytes) -> Strike:
        found = self._rows.standing.find(Strike, receipt_hash)
        if found is None:
            raise incoherent(f"nobody struck for receipt {receipt_hash.hex()}")
        return found

    def _accusation(self, name: bytes) -> Accusation:
        found = self._rows.standing.find(Accusation, name)
        if found is None:
            raise incoherent(f"accusation {name.hex()} was never raised")
        return found

    def _strike(self, event: Struck) -> None:
        finding, rows = event.finding, self._rows
        rows.put(
            Strike(
                receipt_hash=event.receipt_hash,
                provider=event.provider,
                auditor=event.auditor,
                owner=event.owner,
                draw_block=event.draw_block,
                receipts_root=finding.receipts_root,
                receipt_count=finding.receipt_count,
                scales_hash=finding.scales_hash,
                check=finding.check,
                verdict=finding.verdict,
                tokens=finding.tokens,
                evidence=finding.evidence,
                found_at=finding.found_at,
                transaction_hash=event.transaction,
                block=rows.block,
                log_index=event.log_index,
                timestamp=rows.timestamp,
            )
        )
        before = self._charges(event.provider)
        filed = [*before.by_auditor, (event.auditor, event.receipt_hash)]
        self._charge(before, filed, event.count)

    def _charge(self, before: Charges, filed: Sequence[tuple[bytes, bytes]], count: int) -> None:
        """So many of them count now: of those that do not accuse the oldest were dropped."""
        accusing: set[bytes] = set()
        if before.accusation is not None:
            accusing.update(parted(self._accusation(before.accusation).strikes, HASH))
        waiting = [receipt for _, receipt in filed if receipt not in accusing]
        dropped = set(waiting[: max(0, len(filed) - count)])
        self._lapse(dropped)
        left = b"".join(auditor + receipt for auditor, receipt in filed if receipt not in dropped)
        self._rows.put(replace(before, strikes=left))

    def _lapse(self, receipts: Iterable[bytes]) -> None:
        for receipt in receipts:
            self._rows.put(replace(self._struck(receipt), lapsed=self._rows.block))

    # ------------------------------------------------------------------------------------------- accusations

    def _accuse(self, event: Accused) -> None:
        charges, rows = self._charges(event.provider), self._rows
        latest = dict(charges.by_auditor)
        if not latest.keys() >= set(event.auditors):
            raise incoherent(f"accusation {event.id.hex()} rests on strikes that nobody filed")
        strikes = [latest[auditor] for auditor in event.auditors]
        rows.put(
            Accusation(
                accusation=event.id,
                provider=event.provider,
                strikes=b"".join(strikes),
                auditors=b"".join(event.auditors),
                accused_block=rows.block,
                accused_log_index=event.log_index,
                accused_at=rows.timestamp,
                answer_by=event.answer_by,
            )
        )
        rows.put(replace(charges, accusation=event.id))
        for receipt in strikes:
            rows.put(replace(self._struck(receipt), accusation=event.id, outcome=0))
        self._parties(event.id, "auditor", event.auditors)

    def _parties(self, name: bytes, role: str, addresses: Iterable[bytes]) -> None:
        accusation = self._accusation(name)
        place = {
            "accused_block": accusation.accused_block,
            "accused_log_index": accusation.accused_log_index,
        }
        for address in addresses:
            if any(address):
                row = {"accusation": name, "role": role, "address": address, "block": self._rows.block}
                self._rows.add("accusation_parties", row | place)

    def _answer(self, event: Answered) -> None:
        rows = self._rows
        answered: dict[str, Any] = {
            "answerer": event.answerer,
            "fee": event.fee,
            "draw_block": event.draw_block,
            "answered_block": rows.block,
            "answered_at": rows.timestamp,
            "reveal_from": event.reveal_from,
        }
        rows.put(replace(self._accusation(event.id), **answered))
        rows.standing.draws.add(event.draw_block)
        rows.put(self._account(event.answerer).post(event.fee, rows.block))

    def _reaudit(self, event: Summoned | Committed | Revealed) -> None:
        accusation = self._accusation(event.id)
        accusing, seated = accusation.accusing, parted(accusation.reauditors, ADDRESS)
        if isinstance(event, Summoned):
            seats = len(event.auditors)
            empty: dict[str, Any] = {"committed": bytes(seats), "opinions": bytes(seats * accusing)}
            self._rows.put(replace(accusation, reauditors=b"".join(event.auditors), **empty))
            self._parties(event.id, "reauditor", event.auditors)
            return
        if event.auditor not in seated:
            raise incoherent(f"{event.auditor.hex()} has no seat in {event.id.hex()}")
        seat = seated.index(event.auditor)
        if isinstance(event, Committed):
            committed = bytearray(accusation.committed)
            committed[seat] = 1
            self._rows.put(replace(accusation, committed=bytes(committed)))
            return
        if len(event.opinions) != accusing:
            raise incoherent(f"{event.auditor.hex()} speaks of other strikes than those of {event.id.hex()}")
        opinions = bytearray(accusation.opinions)
        opinions[seat * accusing : (seat + 1) * accusing] = packed(event.opinions)
        self._rows.put(replace(accusation, opinions=bytes(opinions)))

    def _conclude(self, event: Concluded) -> None:
        accusation, rows = self._accusation(event.id), self._rows
        if len(event.outcomes) != accusation.accusing:
            raise incoherent(f"{event.id.hex()} ended with other strikes than it rests on")
        concluded: dict[str, Any] = {
            "outcome": event.outcome + 1,
            "outcomes": bytes(outcome + 1 for outcome in event.outcomes),
            "slashed": event.slashed,
            "rewarded": event.rewarded,
            "earned": event.earned,
            "burnt": event.burnt,
            "concluded_block": rows.block,
            "concluded_at": rows.timestamp,
        }
        rows.put(replace(accusation, **concluded))
        strikes = parted(accusation.strikes, HASH)
        for receipt, outcome in zip(strikes, event.outcomes, strict=True):
            rows.put(replace(self._struck(receipt), outcome=outcome + 1))
        self._count_on(accusation, event)

    def _count_on(self, accusation: Accusation, event: Concluded) -> None:
        """Strikes that outlast the accusation: another may rest on them."""
        charges, strikes = self._charges(event.provider), parted(accusation.strikes, HASH)
        gone = set(strikes)
        if event.outcome in (Outcome.CLEARED, Outcome.OPEN):
            opinions = [unpacked(its) for its in parted(accusation.opinions, accusation.accusing)]
            said = said_from(parted(accusation.reauditors, ADDRESS), opinions)
            stands = standing_of(said, accusation.accusing)
            gone = {receipt for receipt, stand in zip(strikes, stands, strict=True) if not stand}
        else:
            self._lapse(receipt for _, receipt in charges.by_auditor if receipt not in gone)
            gone.update(dict(charges.by_auditor).values())
        left = [entry for entry in charges.by_auditor if entry[1] not in gone]
        self._charge(replace(charges, accusation=None), left, event.count)

    # ------------------------------------------------------------------------------------------- money

    def _account(self, address: bytes) -> AuditAccount:
        found = self._rows.standing.find(AuditAccount, address)
        return found or AuditAccount(address=address, last_block=self._rows.block)
