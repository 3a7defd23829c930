"""A real market that ran, explorers over real chains."""

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

import tallystick
from tallystick_node.local.load import buy, openai_client
from tallystick_node.local.market import LocalMarket
from tallystick_node.local.process import Process, answers, free_ports

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
        for provider in self.market.providers:
            self.market.launch_gateway(provider)
        for provider in self.market.providers:
            provider.running.wait_ready(answers(provider.url + "/healthz"), timeout_s=30)

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


@dataclass
class ExplorerProcess:
    """`tally-node explorer`, of a test's own."""

    folder: Path
    rpc: str
    deployment: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Process:
        command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--port", str(self.port)]
        command += ["--rpc", self.rpc, "--deployment", str(self.deployment)]
        command += ["--database", f"sqlite+aiosqlite:///{self.folder / 'explorer.db'}"]
        running = Process("explorer", command, log=self.folder / "explorer.log")
        running.wait_ready(answers(self.url + "/static/app.css"), timeout_s=30)
        return running

    def wait_for(self, block: int) -> None:
        """Returns once the index is so far."""
        deadline = time.monotonic() + 20
        while httpx2.get(f"{self.url}/api/audit/market?block={block}", trust_env=False).status_code != 200:
            assert time.monotonic() < deadline, (self.folder / "explorer.log").read_text()
            time.sleep(0.1)
