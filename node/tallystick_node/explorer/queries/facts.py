"""What the index holds of the chain's word about receipts, as audits take it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import ReceiptDocument
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.facts import Facts, Posted, Settlement
from tallystick.protocol.offer import Offer
from tallystick.protocol.units import Address, Atoms, AtomsPerMTok, ChannelId, Hash32, Timestamp, Tokens
from tallystick_node.explorer import schema
from tallystick_node.explorer.errors import TooLarge

SETTLEMENTS: Final = 20_000
"""Of one channel that an audit reads, and of all channels of one answer together, at most."""
_FEW: Final = 500
"""Payments of a channel that are read for all of its receipts together."""
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
"""What a text column may hold in the place of what no database keeps."""
_KEYS: Final = 10_000
"""Of one provider, at most: naming one costs a transaction."""


async def of_receipts(
    db: AsyncConnection, domain: Domain, block: int, documents: Sequence[ReceiptDocument]
) -> list[Facts]:
    """Enough to check each of these, in their order: what they share is read once."""
    offers: dict[ChannelId, set[bytes]] = defaultdict(set)
    for document in documents:
        offers[document.signed.message.channel_id].add(document.signed.message.offer_hash)
    shared = {
        channel_id: await of_channel(db, domain, block, channel_id, named)
        for channel_id, named in offers.items()
        if await payments(db, channel_id) <= _FEW
    }
    return [
        shared.get(document.signed.message.channel_id) or await _of_receipt(db, domain, block, document)
        for document in documents
    ]


async def payments(db: AsyncConnection, channel_id: bytes) -> int:
    """How many settlements paid it."""
    table = schema.channels.c
    statement = select(table.settlements).where(table.channel_id == channel_id)
    return (await db.execute(statement)).scalar() or 0


async def _of_receipt(db: AsyncConnection, domain: Domain, block: int, document: ReceiptDocument) -> Facts:
    """Of its channel's payments the one that carried its acknowledgement, the first that came to as much, and
    the last."""
    receipt, acknowledgement = document.signed.message, document.acknowledgement
    hashed = None if acknowledgement is None else acknowledgement.struct_hash()
    return await of_place(
        db, domain, block, receipt.channel_id, receipt.offer_hash, receipt.cumulative_cost, hashed
    )


async def of_place(
    db: AsyncConnection,
    domain: Domain,
    block: int,
    channel_id: bytes,
    offer_hash: bytes,
    cumulative_cost: int,
    acknowledgement_hash: bytes | None,
) -> Facts:
    """The same, for whoever checks elsewhere and says only where to look."""
    table = schema.settlements.c
    place = table.block, table.log_index
    ours = select(schema.settlements).where(table.channel_id == channel_id)
    asked = [
        ours.where(table.settled >= min(cumulative_cost, (1 << 128) - 1)).order_by(*place).limit(1),
        ours.order_by(*(column.desc() for column in place)).limit(1),
    ]
    if acknowledgement_hash is not None:
        asked.append(ours.where(table.acknowledgement_hash == acknowledgement_hash).order_by(*place).limit(1))
    rows = [row for statement in asked for row in await db.execute(statement)]
    found = {(row.block, row.log_index): _settlement(row) for row in rows}
    return await _facts(db, domain, block, channel_id, [offer_hash], [found[key] for key in sorted(found)])


async def of_channel(
    db: AsyncConnection, domain: Domain, block: int, channel_id: bytes, offer_hashes: Iterable[bytes]
) -> Facts:
    """All of the channel's payments, and these offers; raises TooLarge."""
    table = schema.settlements.c
    statement = select(schema.settlements).where(table.channel_id == channel_id)
    statement = statement.order_by(table.block, table.log_index).limit(SETTLEMENTS + 1)
    settlements = [_settlement(row) for row in await db.execute(statement)]
    if len(settlements) > SETTLEMENTS:
        raise TooLarge(f"A channel with more than {SETTLEMENTS:,} payments is audited from the shell.")
    return await _facts(db, domain, block, channel_id, offer_hashes, settlements)


async def _facts(
    db: AsyncConnection,
    domain: Domain,
    block: int,
    channel_id: bytes,
    offer_hashes: Iterable[bytes],
    settlements: Sequence[Settlement],
) -> Facts:
    channels = schema.channels.c
    row = (await db.execute(select(schema.channels).where(channels.channel_id == channel_id))).first()
    offers = await _offers(db, offer_hashes)
    providers = {posted.offer.provider for posted in offers.values()}
    if row is not None:
        providers.add(Address(row.provider))
        settlements = [*settlements, *await _closing(db, row, settlements)]
    return Facts(
        domain=domain,
        block=block,
        channel=None if row is None else _key(row),
        offers=offers,
        receipt_keys=await receipt_keys(db, providers),
        settlements=settlements,
    )


def _key(row: Row[Any]) -> ChannelKey:
    return ChannelKey(
        payer=Address(row.payer),
        provider=Address(row.provider),
        session_key=Address(row.session_key),
        epoch=row.epoch,
    )


def _settlement(row: Row[Any]) -> Settlement:
    return Settlement(
        settled=Atoms(row.settled),
        acknowledgement_hash=Hash32(row.acknowledgement_hash),
        block=row.block,
        log_index=row.log_index,
        transaction=Hash32(row.transaction_hash),
        timestamp=Timestamp(row.timestamp),
    )


async def _closing(
    db: AsyncConnection, channel: Row[Any], settlements: Sequence[Settlement]
) -> list[Settlement]:
    """The close, where it paid more than was settled."""
    if not channel.closed_at or channel.settled <= max((item.settled for item in settlements), default=0):
        return []
    table = schema.events.c
    statement = select(schema.events).where(
        table.channel_id == channel.channel_id, table.name == "ChannelClosed"
    )
    return [
        Settlement(
            settled=Atoms(channel.settled),
            acknowledgement_hash=None,
            block=event.block,
            log_index=event.log_index,
            transaction=Hash32(event.transaction_hash),
            timestamp=Timestamp(event.timestamp),
        )
        for event in await db.execute(statement.limit(1))
    ]


async def _offers(db: AsyncConnection, offer_hashes: Iterable[bytes]) -> dict[Hash32, Posted]:
    table = schema.offers.c
    wanted = list(dict.fromkeys(offer_hashes))
    found: dict[Hash32, Posted] = {}
    for start in range(0, len(wanted), 500):
        statement = select(schema.offers).where(table.offer_hash.in_(wanted[start : start + 500]))
        for row in await db.execute(statement.order_by(table.block, table.log_index)):
            if row.offer_hash in found:
                continue
            offer = await _offer(db, row)
            # One whose words are no UTF-8 can be said in no JSON, and so be checked by nobody.
            if offer.struct_hash() == row.offer_hash:
                withdrawn = await _withdrawn_at(db, row)
                found[Hash32(row.offer_hash)] = Posted(
                    offer=offer, posted_at=Timestamp(row.timestamp), withdrawn_at=withdrawn
                )
    return found


async def _offer(db: AsyncConnection, row: Row[Any]) -> Offer:
    if _REPLACED in row.model + row.endpoint:  # In its event stands what it was.
        table = schema.events.c
        place = table.block == row.block, table.log_index == row.log_index
        text = (await db.execute(select(table.arguments).where(*place))).scalar_one()
        return Offer.from_json(orjson.loads(text)["offer"])
    return Offer(
        provider=Address(row.provider),
        sequence=row.sequence,
        endpoint=row.endpoint,
        endpoint_key=Hash32(row.endpoint_key),
        model=row.model,
        model_hash=Hash32(row.model_hash),
        input_price=AtomsPerMTok(row.input_price),
        cached_input_price=AtomsPerMTok(row.cached_input_price),
        output_price=AtomsPerMTok(row.output_price),
        context_length=Tokens(row.context_length),
        credit=Atoms(row.credit),
        valid_until=Timestamp(row.valid_until),
    )


async def _withdrawn_at(db: AsyncConnection, offer: Row[Any]) -> Timestamp | None:
    """When the provider's minimum first rose above its sequence."""
    table = schema.events.c
    statement = select(table.arguments, table.timestamp).where(
        table.provider == offer.provider, table.name == "OffersWithdrawn"
    )
    for row in await db.execute(statement.order_by(table.block, table.log_index)):
        if int(orjson.loads(row.arguments)["minimumSequence"]) > offer.sequence:
            return Timestamp(row.timestamp)
    return None


async def receipt_keys(
    db: AsyncConnection, providers: Iterable[Address]
) -> dict[Address, frozenset[Address]]:
    """All of them, or a receipt would look forged that is not; raises TooLarge."""
    table = schema.receipt_keys.c
    found: dict[Address, frozenset[Address]] = {}
    for provider in providers:
        statement = select(table.receipt_key).where(table.provider == provider).distinct()
        keys = frozenset(Address(row.receipt_key) for row in await db.execute(statement.limit(_KEYS + 1)))
        if len(keys) > _KEYS:
            raise TooLarge(f"Receipts of a provider of more than {_KEYS:,} keys are checked from the shell.")
        found[provider] = keys
    return found


async def published(db: AsyncConnection, channel_id: bytes, most: int) -> list[str]:
    """The documents of a channel that were published, from its first."""
    table = schema.receipts.c
    statement = select(table.text).where(table.channel_id == channel_id)
    rows = await db.execute(statement.order_by(table.sequence).limit(most))
    return [row.text for row in rows]


async def channels_of(
    db: AsyncConnection, provider: bytes, most: int, payments: int
) -> tuple[list[ChannelId], bool]:
    """Of a provider, those that paid, the newest first, with no more than so many payments together; and
    whether there are others. The first is always one of them."""
    table = schema.channels.c
    statement = select(table.channel_id, table.settlements).where(
        table.provider == provider, table.settled > 0
    )
    ordered = statement.order_by(table.opened_block.desc(), table.channel_id).limit(most + 1)
    rows = (await db.execute(ordered)).all()
    found: list[ChannelId] = []
    for row in rows[:most]:
        payments -= row.settlements
        if payments < 0 and found:
            break
        found.append(ChannelId(row.channel_id))
    return found, len(found) < len(rows)
