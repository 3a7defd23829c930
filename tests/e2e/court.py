"""A market of many nodes in one process: each a real gateway on a port and a key of its own, over engines
that they share, on a real chain. For what takes more providers than this machine has room for processes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.audits import Audits
from tallystick.chain.deployment import Deployment
from tallystick.chain.duels import Duels
from tallystick.chain.keys import Keystore
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Market
from tallystick.chain.sender import Sender
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick_node.config import Config
from tallystick_node.gateway import serve
from tallystick_node.gateway.start import Quality, checked
from tallystick_node.local.process import answers, free_ports
from tallystick_node.quality.errand import open_errand
from tallystick_node.quality.inspector import open_inspector
from tallystick_node.quality.judge import open_judge

PASSWORD = "a test's"
STAKE = Atoms(400_000_000)
FUNDS = Atoms(1_000_000)
"""That each gateway's key has, to answer strikes."""
_QUALITY = Quality(judge=open_judge, auditor=open_inspector, errand=open_errand)
_CONFIG = """\
rpc = "{rpc}"
deployment = "{deployment}"
poll_s = 1

[keys]
receipt = "{receipt}"
provider = "{provider}"
password_file = "{password}"

[listen]
port = {port}

[engine]
url = "{engine}"

[network]
gossip = false

[[offers]]
model = "{model}"
input_price = 1_000_000
output_price = 2_000_000
context_length = 1024
credit = 100_000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One provider of it."""

    key: Key
    """The wallet."""
    receipt_key: Key
    config: Config
    port: int

    @property
    def address(self) -> Address:
        return self.key.address


class Court:
    """`async with Court(folder, chain) as court: await court.join(…)`; all nodes end with it."""

    def __init__(self, folder: Path, chain: LocalChain):
        self.folder, self.chain = folder, chain
        self.deployment: Deployment = deploy(chain.rpc, chain.keys[0])
        self.deployment.save(folder / "deployment.json")
        (folder / "password").write_text(PASSWORD)
        self.members: list[Member] = []
        self.audits = Audits(self.market_of(chain.keys[0]))
        self._stops: list[Callable[[], None]] = []
        self._running: list[asyncio.Task[None]] = []

    def market_of(self, key: Key) -> Market:
        return Market(self.chain.rpc, self.deployment, Sender(self.chain.rpc, self.deployment.chain_id, key))

    def fund(self, key: Key, atoms: Atoms) -> Market:
        self.chain.rpc.call("anvil_setBalance", to_hex(key.address), hex(10**20))
        market = self.market_of(key)
        if atoms:
            market.mint(atoms)
        return market

    def add(self, engine: str, model: str, settings: str = "", *, enlists: bool = True) -> Member:
        """A provider with a stake and a configuration, whose gateway does not run yet."""
        folder = self.folder / f"member-{len(self.members)}"
        receipt_key = Keystore(folder, scrypt_n=1 << 12).create("receipt", PASSWORD)
        wallet = Key.generate()
        market = self.fund(wallet, STAKE)
        market.add_stake(STAKE)
        market.set_receipt_key(receipt_key.address)
        if enlists:
            Duels(market).enlist()
        self.fund(receipt_key, FUNDS)
        (port,) = free_ports(1)
        path = folder / "node.toml"
        path.write_text(
            _CONFIG.format(
                rpc=self.chain.url,
                deployment=self.folder / "deployment.json",
                receipt=Keystore(folder).find("receipt").path,
                provider=to_hex(wallet.address),
                password=self.folder / "password",
                port=port,
                engine=engine,
                model=model,
            )
            + settings
        )
        member = Member(key=wallet, receipt_key=receipt_key, config=Config.load(path), port=port)
        self.members.append(member)
        return member

    async def start(self) -> None:
        """All gateways; returns once they serve."""
        for member in self.members:
            self._running.append(asyncio.create_task(self._run(member)))
        for member in self.members:
            serves = answers(f"https://127.0.0.1:{member.port}/healthz")
            while not await asyncio.to_thread(serves):
                for task in self._running:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.1)

    async def _run(self, member: Member) -> None:
        with checked(member.config) as provider:
            await serve._serve(member.config, provider, _QUALITY)

    async def __aenter__(self) -> "Court":
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(64))
        # Each node stops at a signal, and a process has one handler for it.
        loop.add_signal_handler = lambda _, stop: self._stops.append(stop)  # type: ignore
        return self

    async def __aexit__(self, *_: object) -> None:
        for stop in self._stops:
            stop()
        await asyncio.gather(*self._running, return_exceptions=True)

    def pass_time(self, seconds: int) -> None:
        self.chain.rpc.call("evm_increaseTime", seconds)
        self.chain.rpc.call("anvil_mine", "0x3")


async def until(happened: Callable[[], object], limit_s: float = 300) -> None:
    async with asyncio.timeout(limit_s):
        while not await asyncio.to_thread(happened):  # noqa: ASYNC110 (it happens in other threads)
            await asyncio.sleep(0.2)
