"""What a node looks after on chain, whether it judges or not, put together: strikes against it, those that
its auditor filed, and what it is drawn to re-audit. Nothing is decided here."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tallystick.chain.audits import Audits
from tallystick.chain.duels import Duels
from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.chain.market import Market
from tallystick.ports import Clock
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms
from tallystick_node.quality.accusations import Accusations
from tallystick_node.quality.dossiers import Dossiers
from tallystick_node.quality.reauditor import Auditing, Reauditor, Viewer
from tallystick_node.quality.showing import Showing

_FORGET_S: Final = 600.0
"""Between looks at what may be forgotten."""


class Errand:
    """Of one provider."""

    def __init__(
        self,
        *,
        accusations: Accusations,
        showing: Showing,
        reauditor: Reauditor | None,
        dossiers: Dossiers,
        kept_s: int,
    ):
        """`kept_s`: for so long a strike may still be filed, count, and be re-audited."""
        self._accusations, self._showing, self._reauditor = accusations, showing, reauditor
        self._dossiers, self._kept_s = dossiers, kept_s
        self._forgot_at = 0.0

    def look(self) -> None:
        """As the gateway's `Errand` says."""
        self._accusations.step()
        now = time.time()
        if now - self._forgot_at >= _FORGET_S:
            self._forgot_at = now
            self._dossiers.forget(now - self._kept_s)

    @property
    def reaudits(self) -> bool:
        return self._reauditor is not None

    async def run(self, every_s: float) -> None:
        """As the gateway's `Errand` says."""
        assert self._reauditor is not None
        await self._reauditor.run(every_s)

    async def show(self, data: Mapping[str, Any]) -> bytes:
        """As the gateway's `Errand` says."""
        return await self._showing.show(data)


def open_errand(
    *,
    market: Market,
    purse: Market,
    provider: Address,
    key: Key,
    answer: Atoms | None,
    auditing: Auditing | None,
    engine_models: Mapping[str, str],
    dossiers: Path,
    viewer: Viewer,
    clock: Clock,
) -> Errand | None:
    """As the gateway's `Cares` says."""
    if market.deployment.audits is None:
        return None
    audits, kept = Audits(market), Dossiers(dossiers)
    reauditor = None
    if auditing is not None:
        reauditor = Reauditor(
            provider=provider,
            key=key,
            domain=market.deployment.domain,
            offers=market.offers,
            auditing=auditing,
            engine_models=engine_models,
            viewer=viewer,
            clock=clock,
            local=market.deployment.chain_id in LOCAL_CHAIN_IDS,
        )
    return Errand(
        accusations=Accusations(
            provider=provider,
            key=key,
            audits=audits,
            purse=Audits(purse),
            answer=answer,
            reauditor=reauditor,
        ),
        showing=Showing(audits=audits, dossiers=kept, clock=clock),
        reauditor=reauditor,
        dossiers=kept,
        # Filed at the end of one window, the first of three for another; then what an accusation takes.
        kept_s=2 * audits.window_s() + 5 * Duels(market).terms().period_s,
    )
