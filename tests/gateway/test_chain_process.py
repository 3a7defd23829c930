"""The gateway's process on a chain in trouble: it stalls, takes back what it said, or grows dear."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain, deploy
from tallystick.protocol.channel import Status
from tallystick.protocol.units import Atoms
from tests.conftest import Party
from tests.gateway.payer import Payer
from tests.gateway.test_process import Serving, Setting, connect, echo, paying, setting

__all__ = ["echo", "setting"]

GWEI = 10**9


@pytest.fixture
def local_chain() -> Iterator[LocalChain]:
    """One a test, because some of them run ahead of the clock: it mines every second, and is none of those
    whose newest block may be old."""
    with LocalChain(block_time_s=1, chain_id=4242) as chain:
        yield chain


@pytest.fixture
def deployment(local_chain: LocalChain) -> Deployment:
    return deploy(local_chain.rpc, local_chain.keys[0])


async def eventually(reached: Callable[[], Any], limit_s: float = 120) -> None:
    """Of something that another process brings about."""
    deadline = time.monotonic() + limit_s
    while not (await reached() if asyncio.iscoroutinefunction(reached) else reached()):
        assert time.monotonic() < deadline, "in vain"
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def serving(setting: Setting, wallet: Party):
    """A gateway whose new database is dated, and a payer of it with its grant."""
    setting.config["limits"]["clocks_apart_s"] = 1  # Both clocks are this machine's.
    node = Serving.of(setting)
    try:
        async with connect(node.url) as http:
            await eventually(lambda: any(_ours(setting)))
            first = (await health(http))[1]["head"]

            async def is_dated() -> bool:
                return bool((await health(http))[1]["head"] >= first + 4)

            await eventually(is_dated)
            payer, grant = paying(setting, http, wallet)
            yield node, payer, grant
    finally:
        if node.process.poll() is None:
            node.process.kill()
            print(node.process.communicate()[1])  # What it logged, for whoever reads why the test failed.


def _ours(setting: Setting) -> list[bool]:
    offers = setting.provider.market.offers()
    return [item.offer.provider == setting.provider.address for item in offers]


async def refusal(payer: Payer) -> tuple[int, str]:
    response = await payer.post(payer.body())
    return response.status_code, response.json()["error"]["code"] if response.status_code != 200 else ""


async def health(http: httpx2.AsyncClient) -> tuple[int, dict[str, Any]]:
    response = await http.get("/healthz")
    return response.status_code, response.json()["chain"]


@contextlib.contextmanager
def paused(chain: LocalChain) -> Iterator[None]:
    """The node's process does nothing, and its sockets hang."""
    os.kill(chain.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(chain.pid, signal.SIGCONT)


@contextlib.contextmanager
def without_blocks(chain: LocalChain) -> Iterator[None]:
    """The node answers, and its newest block gets old."""
    chain.rpc.call("evm_setIntervalMining", 0)
    try:
        yield
    finally:
        chain.rpc.call("evm_setIntervalMining", 1)


@pytest.mark.parametrize("trouble", [paused, without_blocks])
async def test_a_chain_that_stalls(
    setting: Setting,
    funded_payer: Callable[..., Party],
    trouble: Callable[[LocalChain], contextlib.AbstractContextManager[None]],
) -> None:
    setting.config["limits"]["head_age_s"] = 4
    wallet = funded_payer()
    async with serving(setting, wallet) as (node, payer, grant):
        await payer.complete(grant=grant)
        tab_opened = wallet.market.channel
        await eventually(
            lambda: (
                tab_opened(wallet.address, setting.provider.address, payer.session.address).status
                is Status.OPEN
            )
        )
        with trouble(setting.chain):

            async def stale() -> bool:
                return (await health(payer.http))[0] == 503

            await eventually(stale)
            assert await refusal(payer) == (503, "chain-stale")
            _, chain = await health(payer.http)
            assert (chain["ok"], chain["headAgeSeconds"] > 4) == (False, True)
            metrics = (await payer.http.get("/metrics")).text
            age = next(line for line in metrics.splitlines() if line.startswith("tallystick_chain_head_age"))
            assert float(age.split()[1]) > 4
            assert (await payer.acknowledge()).status_code == 200  # What is owed may be acknowledged.

        async def well() -> bool:
            return (await health(payer.http))[0] == 200

        await eventually(well)
        await payer.complete()
        status, err = node.stop()
        assert status == 0, err


async def test_blocks_that_are_taken_back(setting: Setting, funded_payer: Callable[..., Party]) -> None:
    """Grant, opening, settlement and close request, at depths up to twenty: books and chain agree afterwards,
    no voucher is lost, and nothing is paid twice."""
    setting.config["settle"] = {"interval_s": 1, "minimum": 1}
    chain, provider, wallet = setting.chain, setting.provider, funded_payer()
    chain.rpc.call("anvil_mine", hex(25))
    async with serving(setting, wallet) as (node, payer, grant):
        market = wallet.market

        def channel() -> Any:
            return market.channel(wallet.address, provider.address, payer.session.address)

        await payer.complete(grant=grant)
        await payer.acknowledge()
        await eventually(lambda: channel().settled == payer.tally.amount)
        for depth in (1, 5, 20):
            await payer.complete(grant=grant)
            await payer.acknowledge()
            await eventually(lambda: channel().settled == payer.tally.amount)
            chain.rpc.call("anvil_reorg", depth, [])
            await payer.complete(grant=grant)  # While the books catch up.
            await payer.acknowledge()
            await eventually(lambda: channel().settled == payer.tally.amount)
            assert market.balance_of(provider.address) == payer.tally.amount
        market.request_close(provider.address, payer.session.address)

        async def refused() -> bool:
            return await refusal(payer) == (409, "channel-not-open")

        await eventually(refused)
        depth = market.head().number - _block_of_close(market)
        chain.rpc.call("anvil_reorg", depth + 1, [])

        async def served() -> bool:
            """Under the offer that holds: the one before may be among what was taken back."""
            for offer in (item.offer for item in market.offers()):
                if offer.provider == provider.address:
                    payer.offer, payer.offer_hash = offer, offer.struct_hash()
            return (await payer.post(payer.body(), grant=grant)).status_code == 200

        await eventually(served)
        status, err = node.stop()
        assert status == 0, err
        assert "node.broken" not in err
    assert "chain.rewound" in err
    assert channel().settled == payer.tally.amount == market.balance_of(provider.address)


def _block_of_close(market: Any) -> int:
    from tallystick.chain.events import CloseRequested
    from tallystick.chain.follower import Follower

    events = Follower(market.rpc, market.deployment, events=(CloseRequested,)).poll().events
    return events[-1].block


@contextlib.contextmanager
def spike(chain: LocalChain, wei: int) -> Iterator[None]:
    """Every block is so dear, until it ends."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.2):
            chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(wei))

    chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(wei))
    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI))


async def test_a_spike_is_waited_out_but_not_past_a_deadline(
    setting: Setting, funded_payer: Callable[..., Party]
) -> None:
    """A settlement of one row costs 550 atoms at 500 gwei, and two at one."""
    setting.config["settle"] = {
        "interval_s": 1,
        "minimum": 1,
        "gas_coin_price": 25_000,
        "gas_share": 50,
        "closing_margin_s": 4000,
    }
    chain, provider = setting.chain, setting.provider
    patient, closing = funded_payer(), funded_payer()

    def settled(wallet: Party, payer: Payer) -> Atoms:
        return wallet.market.channel(wallet.address, provider.address, payer.session.address).settled

    async with serving(setting, patient) as (node, one, grant):
        other, its_grant = paying(setting, one.http, closing)
        await one.complete(grant=grant)
        await other.complete(grant=its_grant)

        def opened() -> bool:
            channels = (
                wallet.market.channel(wallet.address, provider.address, payer.session.address)
                for wallet, payer in ((patient, one), (closing, other))
            )
            return all(channel.status is Status.OPEN for channel in channels)

        await eventually(opened)
        with spike(chain, 500 * GWEI):

            async def dear() -> bool:
                """Enough is bought, and no more: however long it takes, it must not come to be worth it."""
                if not (enough := other.tally.amount - settled(closing, other) > 1000):
                    for payer in (one, other):
                        await payer.complete()
                        await payer.acknowledge()
                waits = (
                    'tallystick_waiting_atoms{reason="gas-price"}' in (await one.http.get("/metrics")).text
                )
                return waits and enough

            await eventually(dear)
            before = settled(patient, one), settled(closing, other)
            closing.market.request_close(provider.address, other.session.address)
            await eventually(lambda: settled(closing, other) == other.tally.amount)
            assert settled(patient, one) == before[0]
        await eventually(lambda: settled(patient, one) == one.tally.amount)
        status, err = node.stop()
        assert status == 0, err
    assert "voucher.waits" in err


async def test_a_node_that_a_witness_contradicts(
    setting: Setting, funded_payer: Callable[..., Party], local_chain: LocalChain
) -> None:
    """Two nodes of one chain, as far as anybody knows: then the followed one goes a way of its own."""
    wallet = funded_payer()
    with LocalChain(block_time_s=1, chain_id=4242) as other:
        setting.config[""]["rpc"] = [setting.chain.url, setting.chain.url]
        async with serving(setting, wallet) as (node, payer, grant):
            await payer.complete(grant=grant)
            status, err = node.stop()
            assert status == 0, err
        setting.config[""]["rpc"] = [setting.chain.url, other.url]
        process = setting.start()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert re.search(r"witness|dispute|disagree", err), err
