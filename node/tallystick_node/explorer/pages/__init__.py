"""The pages, one file a page's worth: each is a query's answer as HTML, as JSON and, where it is a table, as
CSV.

`ROUTERS` lists them. A new file adds its router there.
"""

from typing import Final

from fastapi import APIRouter

from tallystick_node.explorer.pages import contract, home

ROUTERS: Final[tuple[APIRouter, ...]] = (
    contract.pages.router,
    home.pages.router,
)
