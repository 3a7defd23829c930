"""A real market that ran."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2

import tallystick
from tallystick_node.local.load import buy, openai_client
from tallystick_node.local.market import LocalMarket

BUDGET = tallystick.Budget(total=20_000_000, per_request=100_000)


@dataclass
class Shop:
    """A local market whose payer buys when told to."""

    market: LocalMarket
    url: str = ""
    """Of the explorer."""

    def buy(self, requests: int) -> None:
        """And everything settled, which the gateways do on their way out; they come back."""
        with ThreadPoolExecutor(1) as thread:  # Playwright holds an event loop in the tests' own.
            thread.submit(asyncio.run, self._buy(requests)).result()
        self.market.stop_gateways()
        self.market.start_gateways()

    async def _buy(self, requests: int) -> None:
        transport = tallystick.transport(
            self.market.payer,
            rpc=self.market.chain.url,
            deployment=self.market.deployment,
            budget=BUDGET,
            home=self.market.home,
        )
        async with openai_client(transport) as client:
            await buy(client, model="echo", requests=requests, parallel=8)

    def api(self, path: str) -> Any:
        answer = httpx2.get(f"{self.url}/api{path}", trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def first(self, path: str, name: str) -> str:
        """Of a list's rows, the newest's field."""
        return self.api(path)["rows"][0][name]
