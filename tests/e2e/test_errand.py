"""A node looks after strikes and summons while a transaction of its own hangs: whoever strikes, or summons,
would choose that hour."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tallystick.chain.errors import RpcError
from tallystick.chain.local import LocalChain
from tallystick_node.gateway import serve
from tallystick_node.gateway.cashier import Cashier
from tallystick_node.gateway.start import Quality
from tallystick_node.quality.inspector import open_inspector
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


class Bench:
    """Is told whether something hangs."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.twice = asyncio.Event()

    async def answer_summons(self, *, clear: bool) -> None:
        self.told.append(clear)
        if len(self.told) == 2:
            self.twice.set()


async def test_what_hangs_keeps_no_node_from_its_defence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_clear(_: Cashier) -> bool:
        if bench.told:
            raise RpcError("replacement transaction underpriced", number=-32000)
        return False

    errand, bench = Errand(), Bench()

    def open_errand(**_: Any) -> Any:
        return errand

    def open_bench(**_: Any) -> Any:
        return bench

    quality = Quality(judge=open_bench, auditor=open_inspector, errand=open_errand)
    monkeypatch.setattr(Cashier, "is_clear", never_clear)
    monkeypatch.setattr(court, "_QUALITY", quality)
    monkeypatch.setattr(serve, "_SUMMONS_S", 0.1)
    with LocalChain() as chain:
        async with StubEngine() as engine, Court(tmp_path, chain) as made:
            made.add(engine.url, MODEL, "\n[quality]\njudge = true\n", enlists=False)
            await made.start()
            async with asyncio.timeout(120):
                await errand.looked.wait()
                await bench.twice.wait()
    assert not any(bench.told)
