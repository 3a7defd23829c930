"""What the index holds of the chain's word about one accusation, as its check takes it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.chain.strike_audit import AccusationFacts, Moved, ReauditFacts, StrikeFacts
from tallystick.chain.strike_calls import AuditCall, audit_call
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.strikes import Opinion, Outcome
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Hash32
from tallystick_node.explorer import schema
from tallystick_node.explorer.queries.duel_facts import candidates, named_keys
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.queries.strikes import Accusation, Strike
from tallystick_node.explorer.values import Hash

Place = tuple[int, int]


async def accusation_facts(
    db: AsyncConnection,
    domain: Domain,
    accusation: Accusation,
    strikes: Sequence[Strike],
    events: Sequence[Event],
) -> AccusationFacts:
    hashes = [*(strike.transaction_hash for strike in strikes), *(event.transaction_hash for event in events)]
    calls = await _calls(db, hashes)
    concluded = next((event for event in events if event.name == "Audits.Concluded"), None)
    end = _beginning(events, concluded)
    parties = {Address(one) for one in (accusation.provider, *accusation.auditors)}
    named = await named_keys(db, parties)
    return AccusationFacts(
        domain=domain,
        accusation=Hash32(accusation.accusation),
        provider=Address(accusation.provider),
        strikes=[await _strike(db, strike, calls, end) for strike in strikes],
        keys={
            one: frozenset({one, *(key.receipt_key for key in named if key.provider == one)})
            for one in parties
        },
        reaudit=None if accusation.answerer is None else await _reaudit(db, accusation, events, calls, end),
        moved=None if concluded is None else await _moved(db, accusation, events, concluded, end),
    )


def _beginning(events: Sequence[Event], concluded: Event | None) -> Place:
    """Where the first log of what concluded it stands; while there is none, after all."""
    if concluded is None:
        return (1 << 62, 0)
    its = (event for event in events if event.transaction_hash == concluded.transaction_hash)
    first = next(its)
    return first.block, first.log_index


async def _calls(db: AsyncConnection, hashes: Sequence[Hash]) -> Mapping[bytes, AuditCall]:
    """That went to the audits' contract itself, by transaction."""
    table = schema.transactions.c
    asked = select(table.hash, table.input).where(
        table.hash.in_(set(hashes)), table.call.in_(["Audits.strike", "Audits.reveal"])
    )
    found = {row.hash: audit_call(row.input) for row in await db.execute(asked)}
    return {name: call for name, call in found.items() if call is not None}


async def _stake(db: AsyncConnection, provider: bytes, before: Place) -> tuple[Atoms, Atoms]:
    """What it had staked, and on its way out."""
    table = schema.stakes.c
    statement = (
        select(table.staked, table.exiting)
        .where(table.provider == provider, tuple_(table.block, table.log_index) < tuple_(*before))
        .order_by(table.block.desc(), table.log_index.desc())
        .limit(1)
    )
    row = (await db.execute(statement)).first()
    return (Atoms(0), Atoms(0)) if row is None else (Atoms(row.staked), Atoms(row.exiting))


async def _strike(
    db: AsyncConnection, strike: Strike, calls: Mapping[bytes, AuditCall], end: Place
) -> StrikeFacts:
    call = calls.get(strike.transaction_hash)
    staked, _ = await _stake(db, strike.auditor, (strike.block, strike.log_index))
    stake = sum(await _stake(db, strike.auditor, end))
    known = select(schema.blocks.c.hash).where(schema.blocks.c.number == strike.draw_block)
    draw_hash = await db.scalar(known)
    return StrikeFacts(
        receipt_hash=Hash32(strike.receipt_hash),
        auditor=Address(strike.auditor),
        draw_block=strike.draw_block,
        exhibit=None if call is None else call.exhibit,
        draw_hash=None if draw_hash is None else Hash32(draw_hash),
        candidates=await candidates(db, strike.draw_block - 1),
        staked=staked,
        stake=Atoms(stake),
    )


async def _reaudit(
    db: AsyncConnection,
    accusation: Accusation,
    events: Sequence[Event],
    calls: Mapping[bytes, AuditCall],
    end: Place,
) -> ReauditFacts:
    table = schema.draws.c
    draw_hash = await db.scalar(select(table.hash).where(table.block == accusation.draw_block))
    seats = [ZERO_ADDRESS if seat.auditor is None else Address(seat.auditor) for seat in accusation.seats]
    revealing = dict.fromkeys(event.transaction_hash for event in events if event.name == "Audits.Revealed")
    return ReauditFacts(
        answerer=Address(accusation.answerer or ZERO_ADDRESS),
        fee=Atoms(accusation.fee),
        draw_hash=None if draw_hash is None else Hash32(draw_hash),
        candidates=await candidates(db, accusation.answered_block),
        seats=seats,
        opinions=[tuple(Opinion[one.upper()] for one in seat.opinions) for seat in accusation.seats],
        committed={
            Address(_hex(event.arguments["auditor"])): Hash32(_hex(event.arguments["ballotHash"]))
            for event in events
            if event.name == "Audits.Committed"
        },
        revealed=[reveal for name in revealing if name in calls for reveal in calls[name].reveals],
        stakes=[Atoms(sum(await _stake(db, seat, end))) for seat in seats],
    )


async def _moved(
    db: AsyncConnection, accusation: Accusation, events: Sequence[Event], concluded: Event, end: Place
) -> Moved:
    gained: Counter[Address] = Counter()
    burnt = int(concluded.arguments["burnt"])
    if accusation.answerer is not None:
        gained[Address(accusation.answerer)] -= accusation.fee
    for event in events:
        said = event.arguments
        if event.name == "Audits.Credited":
            gained[Address(_hex(said["owner"]))] += int(said["amount"])
        if event.name == "Slashed":
            provider = Address(_hex(said["provider"]))
            gained[provider] -= int(said["reward"]) + int(said["burnt"])
            burnt += int(said["burnt"])
            if provider != accusation.provider:  # Else it goes to who struck, through the audits.
                gained[Address(_hex(said["recipient"]))] += int(said["reward"])
    return Moved(
        outcome=Outcome[concluded.arguments["outcome"]],
        outcomes=[Outcome[one] for one in concluded.arguments["outcomes"]],
        burnt=Atoms(burnt),
        gained=gained,
        provider_stake=Atoms(sum(await _stake(db, accusation.provider, end))),
    )


def _hex(text: str) -> bytes:
    return bytes.fromhex(text[2:])
