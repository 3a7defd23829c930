"""What the index holds of the chain's word about one duel, as its check takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.chain.duel_audit import DuelFacts
from tallystick.chain.duel_calls import DuelCall, duel_call
from tallystick.chain.duel_telling import Told, duellists_and_judges, facts_of
from tallystick.chain.events import ChainEvent, ReceiptKeySet
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.panel import Candidate
from tallystick.protocol.units import Address, Atoms, Hash32
from tallystick_node.explorer import schema
from tallystick_node.explorer.index.facts import event_again
from tallystick_node.explorer.queries.duels import Duel, calls, events
from tallystick_node.explorer.queries.rows import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class OfDuel:
    facts: DuelFacts
    events: tuple[Event, ...]
    """That they were read from."""


async def duel_facts(db: AsyncConnection, domain: Domain, panels: Sequence[Duel]) -> OfDuel:
    """Of a duel and of its appeal."""
    told = await events(db, panels[0].duel)
    again = [_again(event) for event in told]
    said: Mapping[Hash32, DuelCall] = {
        Hash32(name): call
        for name, data in (await calls(db, told)).items()
        if (call := duel_call(data)) is not None
    }
    facts = facts_of(
        Told(
            domain=domain,
            duel=Hash32(panels[0].duel),
            events=again,
            calls=said,
            draw_hashes=await _draw_hashes(db, panels),
            candidates={panel.opened_block: await candidates(db, panel.opened_block) for panel in panels},
            keys=await named_keys(db, duellists_and_judges(again, said)),
        )
    )
    assert facts is not None, "A duel in the index was opened."
    return OfDuel(facts=facts, events=told)


def _again(event: Event) -> ChainEvent:
    transaction = Hash32(event.transaction_hash)
    return event_again(
        event.name,
        event.arguments,
        block=event.block,
        log_index=event.log_index,
        transaction=transaction,
    )


async def _draw_hashes(db: AsyncConnection, panels: Sequence[Duel]) -> Mapping[int, Hash32]:
    table = schema.draws.c
    found = select(table.block, table.hash).where(table.block.in_([panel.draw_block for panel in panels]))
    return {row.block: Hash32(row.hash) for row in await db.execute(found)}


async def candidates(db: AsyncConnection, block: int) -> list[Candidate]:
    """Who may be drawn by what was so at the end of a block, in the order of slots."""
    judges, weights = schema.judges.c, schema.weights.c
    weight = (
        select(weights.weight)
        .where(weights.judge == judges.address, weights.block <= block)
        .order_by(weights.block.desc(), weights.log_index.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = select(judges.address, judges.owner, weight.label("weight"))
    statement = statement.where(judges.enlisted_block <= block).order_by(judges.slot)
    return [
        Candidate(provider=Address(row.address), owner=Address(row.owner), weight=Atoms(row.weight or 0))
        for row in await db.execute(statement)
    ]


async def named_keys(db: AsyncConnection, providers: set[Address]) -> list[ReceiptKeySet]:
    table = schema.receipt_keys.c
    statement = select(schema.receipt_keys).where(table.provider.in_(providers))
    return [
        ReceiptKeySet(
            block=row.block,
            log_index=row.log_index,
            transaction=Hash32(bytes(32)),
            provider=Address(row.provider),
            receipt_key=Address(row.receipt_key),
        )
        for row in await db.execute(statement.order_by(table.block, table.log_index))
    ]
