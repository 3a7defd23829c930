"""One visitor at its worst: what it sends, holds open or reads slowly; others are answered meanwhile."""

import asyncio
import shutil
import socket
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from tallystick.chain.market import Asset
from tallystick.protocol.documents import document_to_json
from tallystick.protocol.units import to_hex
from tallystick_node import listening
from tallystick_node.explorer import database as databases
from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.audit import intake
from tallystick_node.explorer.database import CONNECTIONS, reading
from tallystick_node.explorer.errors import Unavailable
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.live import Live
from tallystick_node.explorer.queries import facts
from tallystick_node.explorer.site import Site

from .conftest import asked
from .halves import Held
from .test_live import head


def test_a_list_of_channels_without_receipts_is_no_work_without_end(
    held: Held, auditor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    of_channel = facts.of_channel

    async def counted(*given: Any) -> Any:
        nonlocal asked
        asked += 1
        return await of_channel(*given)

    monkeypatch.setattr(facts, "of_channel", counted)
    empty = document_to_json(replace(held.settled.whole(), receipts=[], acknowledgements=[]))

    answer = auditor.post("/api/audit/receipt", content=orjson.dumps([empty] * 1_000))

    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert asked <= 200


def test_a_publication_waits_for_the_index_and_is_no_defect(
    held: Held, auditor: TestClient, tmp_path: Path
) -> None:
    """The index is being written for longer than a publication waits."""
    document = document_to_json(held.settled.documents()[0])
    index = sqlite3.connect(tmp_path / "held.db", isolation_level=None)
    index.execute("BEGIN IMMEDIATE")
    try:
        answer = auditor.post("/api/receipts", content=orjson.dumps(document))
    finally:
        index.execute("ROLLBACK")
        index.close()

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert auditor.post("/api/receipts", content=orjson.dumps(document)).json()["kept"] == 1


def test_nothing_more_is_published_where_the_disk_is_nearly_full(
    held: Held, auditor: TestClient, tmp_path: Path
) -> None:
    """Else whoever pays itself atom by atom ends the index for everybody."""
    one, other = (orjson.dumps(document_to_json(item)) for item in held.settled.documents()[:2])
    assert auditor.post("/api/receipts", content=one).json()["kept"] == 1
    site: Site = auditor.app.state.site  # type: ignore[attr-defined]
    auditor.app.state.site = replace(site, free_bytes=lambda: 300 << 20)  # type: ignore[attr-defined]

    answer = auditor.post("/api/receipts", content=other)

    assert (answer.status_code, answer.json()["code"]) == (507, "no-room")
    assert (
        "536,870,912 free bytes on this explorer's disk, and it has 314,572,800" in answer.json()["message"]
    )
    channel = to_hex(held.settled.key.id)
    assert len(auditor.get(f"/api/channel/{channel}").json()["receipts"]) == 1
    auditor.app.state.site = site  # type: ignore[attr-defined]
    assert auditor.post("/api/receipts", content=other).json()["kept"] == 1


def test_the_disk_is_the_one_that_the_database_lies_on(tmp_path: Path) -> None:
    free = databases.free_bytes(f"sqlite+aiosqlite:///{tmp_path}/explorer.db")
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert databases.free_bytes("postgresql+asyncpg://somewhere/else") is None


@pytest.mark.parametrize("path", ["/api/audit", "/api/audit/receipt"])
def test_channels_of_one_answer_share_what_may_be_read_of_them(
    held: Held, auditor: TestClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have as many payments as all together."""
    monkeypatch.setattr(facts, "SETTLEMENTS", 2)
    documents = [document_to_json(half.whole()) for half in (held.settled, held.closed)]
    assert [auditor.post(path, content=orjson.dumps(one)).status_code for one in documents] == [200, 200]
    answer = auditor.post(path, content=orjson.dumps(documents))
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert "more than 2 payments together" in answer.json()["message"]


async def test_one_address_does_not_take_all_places_to_listen(site: Site) -> None:
    site = replace(site, live=Live(listeners=64))
    await site.live.publish(head(7))
    listener = listening.listener("0.0.0.0", 0)
    server = listening.server(make_app(site))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    port = listener.getsockname()[1]
    limits = httpx2.Limits(max_connections=100)
    try:
        async with httpx2.AsyncClient(trust_env=False, limits=limits, timeout=60) as client:
            answers = [
                await client.send(client.build_request("GET", f"http://127.0.0.1:{port}/live"), stream=True)
                for _ in range(64)
            ]
            from_elsewhere = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
            async with (
                httpx2.AsyncClient(transport=from_elsewhere, trust_env=False, timeout=60) as another,
                another.stream("GET", f"http://127.0.0.1:{port}/live") as other,
            ):
                assert other.status_code == 200
            for answer in answers:
                await answer.aclose()
        assert {answer.status_code for answer in answers} == {200, 503}
    finally:
        await site.live.end()
        server.should_exit = True
        await serving
        listener.close()
        await site.database.dispose()


async def test_who_reads_slowly_holds_nothing_that_others_need(market_db: Path) -> None:
    """More of them than there are connections to the database, each with a table that it does not read."""
    site = Site(
        database=reading(f"sqlite+aiosqlite:///{market_db}"),
        deployment=DEPLOYMENT,
        asset=Asset(symbol="TUSD", decimals=6),
    )
    listener = listening.listener("127.0.0.1", 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = listening.server(make_app(site))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    address = listener.getsockname()
    slow = []
    try:
        for _ in range(CONNECTIONS + 1):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.connect(address)
            one.sendall(b"GET /api/settlements.csv HTTP/1.1\r\nHost: x\r\n\r\n")
            slow.append(one)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{address[1]}", trust_env=False) as client:
            for one in slow:  # Each was begun.
                await asyncio.to_thread(one.recv, 1)
            assert (await client.get("/api/blocks", timeout=60)).status_code == 200
    finally:
        for one in slow:
            one.close()
        server.should_exit = True
        await serving
        listener.close()
        await site.database.dispose()


def test_an_audit_of_what_was_published_waits_for_its_turn(
    held: Held, auditor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_WAITING", 0)
    for path in (f"channel/{to_hex(held.settled.key.id)}", f"provider/{to_hex(held.provider.address)}"):
        assert auditor.get(f"/api/audit/{path}").status_code == 503, path


def test_where_all_connections_are_taken_one_is_told_so(
    site: Site, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PATIENCE_S", 0.1)
    site = replace(site, database=reading(f"sqlite+aiosqlite:///{database}"))
    with asked(site) as client:
        taken = [client.portal.call(site.database.connect().start) for _ in range(CONNECTIONS)]
        answer = client.get("/api/blocks")
        for connection in taken:
            client.portal.call(connection.close)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert client.get("/api/blocks").status_code == 200


def sent_by(address: str, size: int, *, ends: bool = True) -> Request:
    messages = [{"type": "http.request", "body": b"x" * size, "more_body": not ends}]

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    scope = {"type": "http", "method": "POST", "headers": [], "client": (address, 1)}
    return Request(scope, receive)


async def test_one_address_does_not_take_all_room_for_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_HELD", 100)
    taken = intake.Intake()

    async def send(address: str, *, ends: bool = False) -> int:
        async with taken.body(sent_by(address, 20, ends=ends)) as raw:
            return len(raw)

    stalled = [asyncio.ensure_future(send("192.0.2.1")) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert await send("192.0.2.2", ends=True) == 20
    with pytest.raises(Unavailable):
        await send("192.0.2.1", ends=True)
    for one in stalled:
        one.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)
    assert await send("192.0.2.1", ends=True) == 20


async def test_one_address_does_not_take_all_places_to_wait() -> None:
    taken, go_on = intake.Intake(), asyncio.Event()

    async def look(address: str) -> None:
        async with taken.body(sent_by(address, 1)):
            await go_on.wait()

    many = [asyncio.ensure_future(look("192.0.2.1")) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    other = asyncio.ensure_future(look("192.0.2.2"))
    for _ in range(5):
        await asyncio.sleep(0)
    go_on.set()

    await other
    refused = [one for one in await asyncio.gather(*many, return_exceptions=True) if one is not None]
    assert {type(error) for error in refused} == {Unavailable}
