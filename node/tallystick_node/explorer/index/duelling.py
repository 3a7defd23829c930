"""The events of duels, folded into what duels, judges and their accounts are after them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tallystick.chain.duel_events import (
    Appealed,
    Credited,
    Decided,
    DuelsEvent,
    Ended,
    Enlisted,
    Lapsed,
    Opened,
    Penalised,
    Sealed,
    Summoned,
    Weighed,
    Withdrawn,
)
from tallystick.chain.duel_telling import duels_of
from tallystick.chain.events import ChainEvent
from tallystick.protocol.units import ZERO_ADDRESS, Hash32
from tallystick.protocol.vote import Choice, appeal_id
from tallystick_node.explorer.index.rows import Duel, DuelAccount, Judge
from tallystick_node.explorer.index.standing import Changing, Place, incoherent


def needs_of_duel(event: DuelsEvent) -> Iterator[Place]:
    """The rows that folding it may ask for, but for what hangs on the duel that it names."""
    if (duel := getattr(event, "duel", None)) is not None:
        yield "duels", duel
    if (judge := getattr(event, "judge", None)) is not None:
        yield from (("judges", judge), ("providers", judge))
    match event:
        case Opened():
            yield "duel_accounts", event.challenger
        case Appealed():
            yield "duels", event.appeal
        case Credited() | Withdrawn():
            yield from (("duel_accounts", event.owner), ("judges", event.owner))
        case Decided():
            yield from (("judges", judge) for judge in event.ruling.judges)
        case Ended():
            yield "duels", appeal_id(event.duel)
            yield from (("providers", event.first), ("providers", event.second))
        case _:
            pass


class DuelFolding:
    """One block's."""

    def __init__(self, rows: Changing, events: Sequence[ChainEvent]):
        self._rows = rows
        self._moved = duels_of(events)
        self._roots = {event.appeal: event.duel for event in events if isinstance(event, Appealed)}

    def duel_of(self, event: ChainEvent) -> bytes | None:
        """What an event is told with: of an appeal, the duel that it appeals."""
        duel = getattr(event, "duel", None)
        if duel is None:
            return self._moved.get(event.log_index)
        known = self._rows.standing.find(Duel, duel)
        return known.root if known is not None else self._roots.get(duel, duel)

    def end(self, block_hash: bytes) -> None:
        """What the block itself says."""
        draws, number = self._rows.standing.draws, self._rows.block
        if number in draws:
            draws.discard(number)
            self._rows.add("draws", {"block": number, "hash": block_hash})

    def event(self, event: DuelsEvent) -> None:
        match event:
            case Opened():
                self._open(event)
            case Sealed():
                self._rows.put(replace(self._duel(event.duel), seed=event.seed))
            case Summoned():
                self._rows.put(replace(self._duel(event.duel), reveal_from=event.reveal_from))
            case Decided():
                self._decide(event)
            case Appealed():
                self._rows.put(replace(self._duel(event.duel), appealed=1))
            case Ended():
                self._end(event)
            case Lapsed():
                self._lapse(event)
            case Enlisted() | Weighed() | Penalised():
                self._judge_event(event)
            case Credited() | Withdrawn():
                self._account_event(event)
            case _:
                pass  # A consent, and what judges say on chain, are told where they stand.

    # ------------------------------------------------------------------------------------------- duels

    def _duel(self, duel: bytes) -> Duel:
        found = self._rows.standing.find(Duel, duel)
        if found is None:
            raise incoherent(f"duel {duel.hex()} was never opened")
        return found

    def _open(self, event: Opened) -> None:
        root = self._roots.get(event.duel, event.duel)
        opened = Duel(
            duel=event.duel,
            root=root,
            challenger=event.challenger,
            fee=event.fee,
            seats=event.seats,
            draw_block=event.draw_block,
            decide_by=event.decide_by,
            opened_block=self._rows.block,
            opened_log_index=event.log_index,
            opened_at=self._rows.timestamp,
        )
        self._rows.put(opened)
        self._rows.standing.draws.add(event.draw_block)
        self._party(opened, "challenger" if root == event.duel else "appellant", event.challenger)
        self._rows.put(self._account(event.challenger).post(event.fee, self._rows.block))

    def _decide(self, event: Decided) -> None:
        before, ruling = self._duel(event.duel), event.ruling
        decided = replace(
            before,
            first_receipt=event.first_receipt_hash,
            second_receipt=event.second_receipt_hash,
            first=ruling.first,
            second=ruling.second,
            price=ruling.price,
            known=int(ruling.known),
            judges=b"".join(ruling.judges),
            choices=bytes(int(choice) for choice in ruling.choices),
            verdict=int(event.verdict),
            decided_block=self._rows.block,
            decided_at=self._rows.timestamp,
            appeal_by=event.appeal_by,
        )
        self._rows.put(decided)
        root = self._duel(decided.root)
        known = {root.judges[at : at + 20] for at in range(0, len(root.judges), 20)}
        if root is decided:
            known = set()
            self._party(root, "duellist", ruling.first)
            self._party(root, "duellist", ruling.second)
        for judge, choice in zip(ruling.judges, ruling.choices, strict=True):
            if judge == ZERO_ADDRESS:
                continue
            if judge not in known:
                self._party(root, "judge", judge)
            self._sat(judge, choice, event.verdict)

    def _sat(self, address: bytes, choice: Choice, verdict: Choice) -> None:
        judge = self._judge(address)
        self._change(
            judge,
            seats=judge.seats + 1,
            agreed=judge.agreed + (choice is verdict),
            silent=judge.silent + (choice is Choice.NONE),
            declined=judge.declined + (choice is Choice.DECLINED),
        )

    def _end(self, event: Ended) -> None:
        ends: dict[str, Any] = {"ended_block": self._rows.block, "ended_at": self._rows.timestamp}
        ends["final_verdict"] = int(event.verdict)
        duel = self._duel(event.duel)
        moved: dict[str, Any] = {"prize": event.prize, "to_winner": event.to_winner, "burnt": event.burnt}
        self._rows.put(replace(duel, **ends, **moved))
        if duel.appealed:
            self._rows.put(replace(self._duel(appeal_id(Hash32(event.duel))), **ends))
        counted = {
            Choice.FIRST: ("duels_won", "duels_lost"),
            Choice.SECOND: ("duels_lost", "duels_won"),
        }.get(event.verdict, ("duels_tied", "duels_tied"))
        for address, name in zip((event.first, event.second), counted, strict=True):
            provider = self._rows.provider(address)
            self._rows.put(
                replace(provider, last_block=self._rows.block, **{name: getattr(provider, name) + 1})
            )

    def _lapse(self, event: Lapsed) -> None:
        """Of an appeal: the verdict that it appealed stands then."""
        lapsed = self._duel(event.duel)
        self._rows.put(
            replace(
                lapsed,
                ended_block=self._rows.block,
                ended_at=self._rows.timestamp,
                burnt=event.burnt,
            )
        )
        if lapsed.root != lapsed.duel:
            self._rows.put(replace(self._duel(lapsed.root), appealed=0))

    def _party(self, duel: Duel, role: str, address: bytes) -> None:
        root = duel if duel.root == duel.duel else self._duel(duel.root)
        place = {"opened_block": root.opened_block, "opened_log_index": root.opened_log_index}
        row = {"duel": root.duel, "role": role, "address": address, "block": self._rows.block}
        self._rows.add("duel_parties", row | place)

    # ------------------------------------------------------------------------------------------- judges

    def _judge(self, address: bytes) -> Judge:
        found = self._rows.standing.find(Judge, address)
        if found is None:
            raise incoherent(f"{address.hex()} never enlisted as a judge")
        return found

    def _change(self, judge: Judge, **changed: Any) -> None:
        self._rows.put(replace(judge, last_block=self._rows.block, **changed))

    def _judge_event(self, event: Enlisted | Weighed | Penalised) -> None:
        block = self._rows.block
        match event:
            case Enlisted():
                self._rows.put(
                    Judge(
                        address=event.judge,
                        owner=event.owner,
                        slot=event.slot,
                        enlisted_block=block,
                        last_block=block,
                    )
                )
            case Weighed():
                self._change(self._judge(event.judge), weight=event.weight)
                place = {"block": block, "log_index": event.log_index}
                self._rows.add("weights", place | {"judge": event.judge, "weight": event.weight})
            case Penalised():
                judge = self._judge(event.judge)
                self._change(judge, penalties=judge.penalties + event.amount)

    # ------------------------------------------------------------------------------------------- money

    def _account(self, address: bytes) -> DuelAccount:
        found = self._rows.standing.find(DuelAccount, address)
        return found or DuelAccount(address=address, last_block=self._rows.block)

    def _account_event(self, event: Credited | Withdrawn) -> None:
        account, block = self._account(event.owner), self._rows.block
        if isinstance(event, Withdrawn):
            self._rows.put(account.withdraw(event.amount, block))
            return
        self._rows.put(account.credit(event.amount, event.balance, block))
        judge = self._rows.standing.find(Judge, event.owner)
        duel = self._moved.get(event.log_index)
        if judge is not None and duel is not None and self._sits(event.owner, duel):
            self._change(judge, earned=judge.earned + event.amount)

    def _sits(self, judge: bytes, duel: bytes) -> bool:
        """Whether it is one of a duel's judges: what anybody else gets is a fee's rest."""
        root = self._duel(duel)
        panels = [root.judges]
        if root.appealed:
            panels.append(self._duel(appeal_id(Hash32(duel))).judges)
        return any(judge == panel[at : at + 20] for panel in panels for at in range(0, len(panel), 20))
