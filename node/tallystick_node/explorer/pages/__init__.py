"""The pages, one file a page's worth: each is a query's answer as HTML, as JSON and, where it is a table, as
CSV.

`ROUTERS` lists them. A new file adds its router there.
"""

from typing import Final

from fastapi import APIRouter

from tallystick_node.explorer.pages import (
    accounts,
    blocks,
    channels,
    contract,
    disputes,
    home,
    providers,
    receipts,
    settlements,
    transactions,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    contract.pages.router,
    home.pages.router,
    blocks.pages.router,
    transactions.pages.router,
    accounts.pages.router,
    providers.pages.router,
    channels.pages.router,
    settlements.pages.router,
    receipts.pages.router,
    disputes.pages.router,
)
