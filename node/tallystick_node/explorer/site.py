"""What every page knows: the database, the market that it is about, and how far the index reads."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Asset
from tallystick_node.explorer.audit.intake import Intake
from tallystick_node.explorer.kept import Kept
from tallystick_node.explorer.live import Live
from tallystick_node.explorer.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    database: AsyncEngine
    """Read-only."""
    writing: AsyncEngine | None = None
    """For the publication of receipts alone; none: nothing can be published here."""
    free_bytes: Callable[[], int | None] = lambda: None
    """Of the disk that receipts are kept on; None: not known."""
    deployment: Deployment
    asset: Asset
    minimum_stake: int = 1
    """Atoms that a provider must have staked for its offers to hold."""
    rpc: str | None = None
    """The node that the index is read from."""
    node: Node | None = None
    """The same, asked for what is not indexed; none: only the index is shown."""
    live: Live = field(default_factory=Live)
    kept: Kept = field(default_factory=Kept)
    intake: Intake = field(default_factory=Intake)
    now: Callable[[], float] = time.time
    """Unix seconds."""


def site_of(request: Request) -> Site:
    return cast(Site, request.app.state.site)


TheSite = Annotated[Site, Depends(site_of)]
"""A page's parameter that gives it the site."""
