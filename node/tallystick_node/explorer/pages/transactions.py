"""`/transactions` and `/tx/…`: what was called, what it logged, what it cost."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final

from fastapi import Query

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick_node.explorer.answers import Found, Frame
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import told_by_node
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import settlements
from tallystick_node.explorer.queries import transactions as queries
from tallystick_node.explorer.queries.rows import Event, Settlement, Transaction
from tallystick_node.explorer.site import Site, TheSite
from tallystick_node.explorer.told import ROWS, Argument, SettleRow, Told, call_told, log_told
from tallystick_node.explorer.values import Address, Amount, Bytes, Hash, Listing, shown

pages = Pages()
_BUILT_IN: Final = {1: "recover a signer", 2: "SHA-256", 4: "copy"}
"""Contracts of every chain, by address; the market asks the first for signatures."""
EVENTS = 200
"""Of one transaction shown; its block's page has them all."""


@shown
class PresentedRow:
    """A row of a settle call, and what came of it."""

    row: SettleRow
    log_index: int | None
    """Of its event; none where the call failed."""
    paid: Amount | None
    skipped: str | None
    """Why, where it was passed over."""


@shown
class ToldLog:
    """A log as the node tells it, by name and argument where it is the market's, or the duels'."""

    log_index: int
    address: Address
    name: str | None
    arguments: tuple[Argument, ...]


@shown
class TransactionPage:
    """One transaction: as the index has it, or else as the node tells it."""

    hash: Hash
    indexed: Transaction | None
    told: Found | None
    input: Bytes
    call: Told | None
    """What the market, or the duels, were called with, where they were called."""
    rows: tuple[PresentedRow, ...]
    events: tuple[Event, ...]
    logs: tuple[ToldLog, ...]
    """Where the node tells them."""
    traced: bool
    """The node may tell a trace: `/tx/…/trace`."""


@shown
class TracedCall:
    """One call of a trace."""

    frame: Frame
    contract: str | None
    """market, duels, asset or chain (one that every chain has built in), where it is one of these."""
    function: str | None
    """Its name, where the ABI has it."""


@shown
class Trace:
    """The calls of one transaction, each under the one that made it."""

    hash: Hash
    calls: tuple[TracedCall, ...]


@pages.table("/transactions", "transactions.html")
async def transactions(
    db: Db,
    cut: Cutting,
    sender: Annotated[Address | None, Query()] = None,
    block: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    failed: Annotated[bool, Query(description="Only those that failed")] = False,
) -> Listing[Transaction]:
    """Transactions of the market, newest first."""
    return await queries.transactions(db, cut, queries.Only(sender=sender, block=block, failed=failed))


@pages.page("/tx/{hash}", "transaction.html")
async def transaction(hash: Hash, db: Db, site: TheSite) -> TransactionPage:
    """One transaction: its call, its events, its cost."""
    sent = await queries.transaction(db, hash)
    if sent is None:
        return await _told(site, hash)
    place = sent.transaction.block, sent.transaction.position
    events = await queries.logged(db, *place, limit=ROWS + 1)
    contract = contracts.at(sent.transaction.recipient, site.deployment)
    call = None if contract is None else call_told(sent.input, contract)
    paid = await settlements.of_transaction(db, *place) if call and call.rows else {}
    return TransactionPage(
        hash=hash,
        indexed=sent.transaction,
        told=None,
        input=sent.input,
        call=call,
        rows=tuple(_presented(call.rows, events, paid)) if call else (),
        events=events[:EVENTS],
        logs=(),
        traced=site.node is not None and site.node.traces,
    )


def _presented(
    rows: Sequence[SettleRow], events: Sequence[Event], paid: Mapping[int, Settlement]
) -> Iterator[PresentedRow]:
    """Each row with its own event: every row logs one, in the order in which they stand."""
    logged = [event for event in events if event.name in settlements.ROWS]
    for row, event in zip(rows, logged if len(logged) >= len(rows) else [None] * len(rows), strict=False):
        if event is None or event.channel_id != row.channel_id:
            yield PresentedRow(row=row, log_index=None, paid=None, skipped=None)
            continue
        settled = paid.get(event.log_index)
        yield PresentedRow(
            row=row,
            log_index=event.log_index,
            paid=None if settled is None else settled.paid,
            skipped=event.arguments.get("reason"),
        )


async def _told(site: Site, hash: Hash) -> TransactionPage:
    if site.node is None:
        raise NotFound("No transaction of the market has this hash, and this explorer has no node to ask.")
    found = await told_by_node(site.node.transaction(hash))
    if found is None:
        raise NotFound("The chain has no transaction of this hash, as far as this explorer's node knows.")
    contract = contracts.at(found.recipient, site.deployment)
    return TransactionPage(
        hash=hash,
        indexed=None,
        told=found,
        input=found.input,
        call=None if contract is None else call_told(found.input, contract),
        rows=(),
        events=(),
        logs=tuple(_logs(found, site.deployment)),
        traced=found.block is not None and site.node.traces,
    )


def _logs(found: Found, deployment: Deployment) -> Iterator[ToldLog]:
    for log in found.logs[:EVENTS]:
        contract = contracts.at(log.address, deployment)
        told = None if contract is None else log_told(log.topics, log.data, contract)
        name, arguments = told or (None, ())
        yield ToldLog(log_index=log.log_index, address=log.address, name=name, arguments=arguments)


@pages.page("/tx/{hash}/trace", "trace.html")
async def trace(hash: Hash, site: TheSite) -> Trace:
    """The calls that a transaction made, as the node tells them."""
    frames = await told_by_node(site.node.trace(hash)) if site.node is not None else None
    if not frames:
        raise NotFound("The node tells no trace of this transaction.")
    return Trace(hash=hash, calls=tuple(_named(frame, site) for frame in frames))


def _named(frame: Frame, site: Site) -> TracedCall:
    contract = contracts.at(frame.callee, site.deployment)
    if contract is not None:
        name, functions = contract.name.lower(), contract.interface.functions
    elif frame.callee == site.deployment.asset:
        name, functions = "asset", contracts.asset().interface.functions
    else:
        built_in = _BUILT_IN.get(int.from_bytes(frame.callee or b"", "big"))
        return TracedCall(frame=frame, contract=built_in and "chain", function=built_in)
    called = next((key for key, (selector, _) in functions.items() if selector == frame.input[:4]), None)
    return TracedCall(frame=frame, contract=name, function=called)
