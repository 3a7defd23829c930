"""The pages, one file a page's worth: each is a query's answer as HTML, as JSON and, where it is a table, as
CSV.

`ROUTERS` lists them. A new file adds its router there.
"""

from typing import Final

from fastapi import APIRouter

from tallystick_node.explorer.pages import (
    accounts,
    api,
    audits,
    blocks,
    channels,
    contract,
    disputes,
    duels,
    events,
    home,
    offers,
    providers,
    receipts,
    search,
    settlements,
    strikes,
    transactions,
    verify,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    home.pages.router,
    blocks.pages.router,
    transactions.pages.router,
    accounts.pages.router,
    providers.pages.router,
    channels.pages.router,
    settlements.pages.router,
    receipts.pages.router,
    duels.pages.router,
    strikes.pages.router,
    disputes.pages.router,
    events.pages.router,
    offers.pages.router,
    search.pages.router,
    contract.pages.router,
    verify.router,
    audits.router,
    api.pages.router,
)
