"""Pages hear of new blocks: the newest at once, slow ones only the newest, and not too many listen."""

import asyncio
import json
from dataclasses import replace

import httpx2
import pytest

from tallystick_node import listening
from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.errors import ListenersFull
from tallystick_node.explorer.live import Head, Live
from tallystick_node.explorer.site import Site


def head(block: int) -> Head:
    return Head(block=block, timestamp=0, chain_head=block)


async def test_a_listener_hears_the_newest_at_once_and_each_after_it() -> None:
    live = Live()
    await live.publish(head(1))
    async with live.listen() as heads:
        assert await anext(heads) == head(1)
        await live.publish(head(2))
        assert await anext(heads) == head(2)


async def test_who_is_slow_hears_the_newest_only() -> None:
    live = Live()
    async with live.listen() as heads:
        for block in (1, 2, 3):
            await live.publish(head(block))
        assert await anext(heads) == head(3)


async def test_no_more_listen_than_may_and_a_place_is_given_back() -> None:
    live = Live(listeners=1)
    async with live.listen():
        with pytest.raises(ListenersFull):
            async with live.listen():
                pass
    async with live.listen():
        pass


async def test_who_listens_is_let_go_at_the_end() -> None:
    live = Live()
    async with live.listen() as heads:
        waiting = asyncio.ensure_future(anext(heads, None))
        await asyncio.sleep(0)
        await live.end()
        assert await waiting is None


async def test_a_page_hears_over_http_and_one_too_many_is_refused(site: Site) -> None:
    site = replace(site, live=Live(listeners=1))
    await site.live.publish(head(7))
    listener = listening.listener("127.0.0.1", 0)
    server = listening.server(make_app(site))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with (
            httpx2.AsyncClient(base_url=f"http://{listening.written(listener)}", trust_env=False) as client,
            client.stream("GET", "/live") as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            assert await _block(lines) == 7
            assert (await client.get("/live")).status_code == 503
            await site.live.publish(head(8))
            assert await _block(lines) == 8
    finally:
        await site.live.end()
        server.should_exit = True
        await serving
        listener.close()
        await site.database.dispose()


async def _block(lines: object) -> int:
    async for line in lines:  # type: ignore[attr-defined]
        if line.startswith("data:"):
            block: int = json.loads(line.removeprefix("data:"))["block"]
            return block
    raise AssertionError("The stream ended.")
