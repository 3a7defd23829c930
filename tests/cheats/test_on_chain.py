"""Payers that cheat with transactions: a node as a process, over TLS, on a real chain.

What the provider could withdraw at the end is compared with what reached the payer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest

from tallystick.chain.local import LocalChain
from tallystick.chain.market import Opening
from tallystick.chain.rpc import Rpc
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.units import Atoms
from tests.cheats.gains import Gain, Gains
from tests.conftest import Party
from tests.gateway.conftest import until
from tests.gateway.payer import CHAT, Payer, Stream
from tests.gateway.test_process import Serving, Setting, connect, echo, paying, setting
from tests.gateway.test_streaming import asking

__all__ = ["echo", "setting"]

CREDIT = 4_000
UNSECURED = 2_000


class ClosesOnChainWhileStreaming:
    """Asks for its channel back in mid-stream, acknowledges nothing more, and takes all there is after the
    notice."""


class DrainsItsAccountOnChain:
    """Has a grant served on, and spends the deposit elsewhere before the grant is mined."""


@pytest.fixture(scope="module")
def local_chain() -> Iterator[LocalChain]:
    """One of its own: how it mines is changed, and cannot be changed back."""
    with LocalChain() as chain:
        yield chain


@pytest.fixture
def node(setting: Setting) -> Iterator[Callable[[], Serving]]:  # a fixture of another module
    setting.offers[0]["credit"] = CREDIT
    setting.config["limits"] |= {"pause_s": 1, "unsecured": UNSECURED, "drain_s": 1}
    started: list[Serving] = []

    def start() -> Serving:
        started.append(Serving.of(setting))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.kill()


def price(stream: Stream) -> int:
    """Of what came: an atom a token of input, ten a word."""
    words = stream.transcript.output_tokens
    return int(stream.transcript.input_tokens + 10 * words) if words else 0


async def test_a_payer_that_closes_in_mid_stream(
    setting: Setting,
    node: Callable[[], Serving],
    funded_payer: Callable[..., Party],
    pass_time: Callable[[int], None],
    gains: Gains,
) -> None:
    wallet = funded_payer()
    serving = node()
    async with connect(serving.url) as http:
        payer, _ = paying(setting, http, wallet)
        wallet.market.open_own_channels([opening(payer, 10**6)])
        while (await payer.acknowledge()).status_code == 404:  # noqa: ASYNC110  # until the node has read it
            await asyncio.sleep(0.05)
        came = 0
        async with asked(payer, http) as stream:
            while (event := await stream.next_event()) is not None:
                if isinstance(event, Receipt) and event.sequence == 0:
                    assert (await payer.acknowledge()).status_code == 200
                    wallet.market.request_close(payer.offer.provider, payer.session.address)
            came = price(stream)
    notice = setting.provider.market.notices().close_s
    pass_time(notice + 1)
    market = setting.provider.market
    wallet.market.finalize_close(wallet.address, payer.offer.provider, payer.session.address)
    gains.require(Gain(ClosesOnChainWhileStreaming, CREDIT, came - market.balance_of(payer.offer.provider)))
    assert market.balance_of(payer.offer.provider) > 0


async def test_a_payer_that_drains_its_account_while_a_grant_is_pending(
    setting: Setting,
    node: Callable[[], Serving],
    funded_payer: Callable[..., Party],
    gains: Gains,
) -> None:
    """Its own transaction is in the pool first; the provider, who asks the chain, still sees the deposit."""
    deposit = 10**7
    wallet, rpc = funded_payer(deposit), setting.chain.rpc
    serving = node()
    async with connect(serving.url) as http:
        payer, grant = paying(setting, http, wallet)
        rpc.call("evm_setIntervalMining", 0)
        try:
            drain = replace(opening(payer, deposit), provider=Key.generate().address)
            draining = asyncio.create_task(asyncio.to_thread(wallet.market.open_own_channels, [drain]))
            await until(lambda: pending(rpc) == 1, 20)
            async with asked(payer, http, grant) as stream:
                await stream.finish()
            assert (await payer.acknowledge()).status_code == 200
            await until(lambda: pending(rpc) == 2, 20)
        finally:
            rpc.call("evm_setAutomine", True)
            rpc.call("evm_mine")
        await draining
    status, err = serving.stop()
    assert status == 0, err
    market = setting.provider.market
    assert market.channel(wallet.address, payer.offer.provider, payer.session.address).cap == 0
    gains.require(
        Gain(DrainsItsAccountOnChain, UNSECURED, price(stream) - market.balance_of(payer.offer.provider))
    )
    assert price(stream) > 0


def pending(rpc: Rpc) -> int:
    """Transactions in the pool."""
    return int(rpc.call("txpool_status")["pending"], 16)


@asynccontextmanager
async def asked(
    payer: Payer, http: httpx2.AsyncClient, grant: Signed[Grant] | None = None
) -> AsyncIterator[Stream]:
    """A long answer, begun."""
    body = asking(payer, 2_000, messages=[{"role": "user", "content": "word " * 20}])
    headers = payer.headers(body, grant=grant)
    async with http.stream("POST", CHAT, content=body, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Stream(payer, body, response)


def opening(payer: Payer, cap: int) -> Opening:
    return Opening(provider=payer.offer.provider, session_key=payer.session.address, cap=Atoms(cap))
