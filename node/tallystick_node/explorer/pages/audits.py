"""`/audit`: channels and providers held against what the chain paid, the market's conservation, and the
publication of receipts."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from tallystick.protocol.documents import ReceiptDocument
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.reconcile import ChannelAudit, Fault, ManyAudit, Row
from tallystick.protocol.units import ChannelId, address, hash32
from tallystick_node.explorer import schema
from tallystick_node.explorer.audit import checking, intake
from tallystick_node.explorer.audit.publishing import Publication, publish
from tallystick_node.explorer.errors import Malformed, NoRoom, NotFound, PageError, TooLarge, Unavailable
from tallystick_node.explorer.pages.frame import Db, Pages, render
from tallystick_node.explorer.pages.sent import TAKES_JSON, Sent, ToPublish, Turn
from tallystick_node.explorer.queries import facts as fact_queries
from tallystick_node.explorer.queries.home import Conservation, conservation
from tallystick_node.explorer.site import Site, TheSite, site_of
from tallystick_node.explorer.values import Address, Amount, Hash, shown

pages = Pages()
router: Final[APIRouter] = pages.router
_PAYMENTS: Final = 5_000
"""Of a provider that are held against receipts on one page."""
_PUBLISHED_AT_A_TIME: Final = 200
_ROOM: Final = 512 << 20
"""Bytes that publications leave to the index."""
BlockAsked = Annotated[int | None, Query(ge=0, lt=2**63, description="At this block instead of the newest")]


@shown
class AuditFault:
    """Something that is not as it should be."""

    kind: str
    """`gap` is none of anybody's making: a receipt was not given."""
    first: int
    last: int
    reason: str
    lie: bool

    @classmethod
    def of(cls, fault: Fault) -> "AuditFault":
        return cls(kind=fault.kind, first=fault.first, last=fault.last, reason=fault.reason, lie=fault.is_lie)


@shown
class AuditRow:
    """One payment, held against the receipts."""

    block: int
    log_index: int
    transaction_hash: Hash
    timestamp: int
    settled: Amount
    by_close: bool
    receipts: int | None
    amount: Amount | None
    """What they come to."""
    holds: bool | None
    reason: str

    @classmethod
    def of(cls, row: Row) -> "AuditRow":
        paid = row.settlement
        return cls(
            block=paid.block,
            log_index=paid.log_index,
            transaction_hash=paid.transaction,
            timestamp=paid.timestamp,
            settled=paid.settled,
            by_close=paid.acknowledgement_hash is None,
            receipts=row.receipts,
            amount=row.amount,
            holds=row.holds,
            reason=row.reason,
        )


@shown
class AuditedChannel:
    """Receipts of one channel beside what it paid. Amounts are atoms."""

    channel_id: Hash
    payer: Address | None
    provider: Address | None
    adds_up: bool | None
    """None: not all of its receipts were given."""
    receipts: int
    input_tokens: int
    output_tokens: int
    amount: Amount
    settled: Amount
    explained: Amount
    unexplained: Amount
    unsettled: Amount
    faults: tuple[AuditFault, ...]
    rows: tuple[AuditRow, ...]

    @classmethod
    def of(cls, audit: ChannelAudit) -> "AuditedChannel":
        key = audit.facts.channel
        return cls(
            channel_id=audit.channel_id,
            payer=None if key is None else key.payer,
            provider=None if key is None else key.provider,
            adds_up=audit.adds_up,
            receipts=audit.receipts,
            input_tokens=audit.input_tokens,
            output_tokens=audit.output_tokens,
            amount=audit.amount,
            settled=audit.settled,
            explained=audit.explained,
            unexplained=audit.unexplained,
            unsettled=audit.unsettled,
            faults=tuple(map(AuditFault.of, audit.faults)),
            rows=tuple(map(AuditRow.of, audit.rows)),
        )


@shown
class Audit:
    """Channels, held against what the chain paid up to a block. Amounts are atoms."""

    about: str
    block: int
    adds_up: bool | None
    receipts: int
    amount: Amount
    settled: Amount
    explained: Amount
    unexplained: Amount
    unsettled: Amount
    channels: tuple[AuditedChannel, ...]
    more: bool
    """There are older channels than are shown."""

    @classmethod
    def of(cls, found: ManyAudit, about: str, *, more: bool = False) -> "Audit":
        return cls(
            about=about,
            block=found.block,
            adds_up=found.adds_up,
            receipts=found.total("receipts"),
            amount=found.total("amount"),
            settled=found.total("settled"),
            explained=found.total("explained"),
            unexplained=found.total("unexplained"),
            unsettled=found.total("unsettled"),
            channels=tuple(map(AuditedChannel.of, found.channels)),
            more=more,
        )


_AUDIT: Final = TypeAdapter(Audit)
_PUBLICATION: Final = TypeAdapter(Publication)


# -------------------------------------------------------------------------------- what was sent


@router.get("/audit", include_in_schema=False, response_class=HTMLResponse)
async def audit(
    request: Request, db: Db, channel: str | None = None, provider: str | None = None
) -> Response:
    try:
        if channel:
            return RedirectResponse(f"/audit/channel/0x{hash32(channel.strip().lower()).hex()}", 303)
        if provider:
            return RedirectResponse(f"/audit/provider/0x{address(provider.strip().lower()).hex()}", 303)
    except ValueError as error:
        raise Malformed("A channel is named by 0x and 64 hex digits, a provider by 0x and 40.") from error
    return render(request, "audit.html", {"market": await _market(db, request), "trouble": None}, twin=False)


@router.post("/audit", include_in_schema=False, response_class=HTMLResponse)
async def audit_form(request: Request, raw: Sent, db: Db, site: TheSite) -> Response:
    """Of documents that were pasted."""
    try:
        page = await _uploaded(request, db, site, intake.form(request, raw).get("documents", ""))
    except PageError as error:
        values = {"market": await _market(db, request), "trouble": str(error)}
        return render(request, "audit.html", values, twin=False, status=error.status)
    return render(request, "audited.html", {"page": page}, twin=False)


@router.post(
    "/api/audit",
    operation_id="audit",
    response_model=Audit,
    summary="Audits every channel that these documents hold receipts of",
    **TAKES_JSON,
)
async def audit_twin(request: Request, raw: Sent, db: Db, site: TheSite) -> Response:
    page = await _uploaded(request, db, site, raw)
    return Response(_AUDIT.dump_json(page, by_alias=True), media_type="application/json")


async def _uploaded(request: Request, db: Db, site: TheSite, text: bytes | str) -> Audit:
    documents = await asyncio.to_thread(lambda: intake.documents(intake.json(text)))
    found = await checking.uploaded(db, site.deployment.domain, request.state.read.block, documents)
    return Audit.of(found, "the documents that were given")


# -------------------------------------------------------------------------------- what is here


@pages.page("/audit/channel/{channel}", "audited.html")
async def audited_channel(request: Request, channel: Hash, _: Turn, db: Db, site: TheSite) -> Audit:
    """A channel, by the receipts that were published here."""
    table = schema.channels.c
    if (await db.execute(select(table.channel_id).where(table.channel_id == channel))).first() is None:
        raise NotFound("The chain has seen no such channel.")
    block = request.state.read.block
    found = await checking.of_published(db, site.deployment.domain, block, [ChannelId(channel)])
    return Audit.of(found, "what was published of the channel")


@pages.page("/audit/provider/{provider}", "audited.html")
async def audited_provider(request: Request, provider: Address, _: Turn, db: Db, site: TheSite) -> Audit:
    """A provider's channels that paid, the newest first, by the receipts that were published here."""
    table = schema.providers.c
    if (await db.execute(select(table.address).where(table.address == provider))).first() is None:
        raise NotFound("There is no such provider.")
    ids, more = await fact_queries.channels_of(db, provider, checking.CHANNELS, _PAYMENTS)
    found = await checking.of_published(db, site.deployment.domain, request.state.read.block, ids)
    return Audit.of(found, "what was published of the provider's channels", more=more)


# -------------------------------------------------------------------------------- the market


@pages.page("/audit/market", "audit_market.html")
async def audited_market(request: Request, db: Db, block: BlockAsked = None) -> Conservation:
    """Whether the market holds what it owes (INV-1), now or at a block."""
    return await _market(db, request, block)


async def _market(db: Db, request: Request, block: int | None = None) -> Conservation:
    newest = request.state.read.block
    at = newest if block is None else block
    if at > newest:
        raise NotFound(f"The index has come to block {newest}.")
    return await conservation(db, at, site_of(request).live.head)


# -------------------------------------------------------------------------------- publication


@router.post(
    "/api/receipts",
    operation_id="publish",
    response_model=Publication,
    summary="Publishes receipts: documents of receipts that are proven to be paid",
    **TAKES_JSON,
)
async def published(request: Request, raw: ToPublish, db: Db, site: TheSite) -> Response:
    if site.writing is None:
        raise Unavailable("Nothing can be published at this explorer.")
    await asyncio.to_thread(_require_room, site)
    try:
        done = await _published(request, db, site.writing, site.deployment.domain, intake.json(raw))
    except OperationalError as error:
        raise Unavailable("The index is being written. Send them again.") from error
    return Response(_PUBLICATION.dump_json(done, by_alias=True), media_type="application/json")


def _require_room(site: Site) -> None:
    """Who pays itself may publish without end, for little; the chain's own index has to go on."""
    free = site.free_bytes()
    if free is not None and free < _ROOM:
        raise NoRoom(
            f"Publications need {_ROOM:,} free bytes on this explorer's disk, and it has {free:,}. "
            "What was published before is still shown."
        )


async def _published(
    request: Request, db: Db, writing: AsyncEngine, domain: Domain, data: Any
) -> Publication:
    documents = [item for item in intake.documents(data) if isinstance(item, ReceiptDocument)]
    if len(documents) < (len(data) if isinstance(data, list) else 1):
        raise Malformed("Documents of receipts are published, one by one: a channel's is for an audit.")
    if len(documents) > _PUBLISHED_AT_A_TIME:
        raise TooLarge(f"At most {_PUBLISHED_AT_A_TIME} receipts at a time.")
    return await publish(db, writing, domain, request.state.read.block, documents)
