"""A node looks after strikes while a transaction of its own hangs: whoever strikes would choose that hour."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tallystick.chain.local import LocalChain
from tallystick_node.gateway import serve
from tallystick_node.gateway.cashier import Cashier
from tallystick_node.gateway.start import Quality
from tallystick_node.quality.inspector import open_inspector
from tallystick_node.quality.judge import open_judge
from tests.e2e import court
from tests.e2e.court import Court
from tests.gateway.stub_engine import MODEL, StubEngine

pytestmark = pytest.mark.e2e


class Errand:
    """Counts."""

    reaudits = False

    def __init__(self) -> None:
        self.looked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def look(self) -> None:
        self._loop.call_soon_threadsafe(self.looked.set)


async def test_what_hangs_keeps_no_node_from_its_defence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_clear(_: Cashier) -> bool:
        return False

    errand = Errand()

    def open_errand(**_: Any) -> Any:
        return errand

    quality = Quality(judge=open_judge, auditor=open_inspector, errand=open_errand)
    monkeypatch.setattr(Cashier, "is_clear", never_clear)
    monkeypatch.setattr(court, "_QUALITY", quality)
    monkeypatch.setattr(serve, "_SUMMONS_S", 0.1)
    with LocalChain() as chain:
        async with StubEngine() as engine, Court(tmp_path, chain) as made:
            made.add(engine.url, MODEL, enlists=False)
            await made.start()
            async with asyncio.timeout(30):
                await errand.looked.wait()
