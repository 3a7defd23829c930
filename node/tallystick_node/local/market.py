"""A market on this machine: a chain, a contract, providers with engines, one payer with a deposit.

Everything runs as it would elsewhere, in processes of its own and over TLS; only the chain is local and the
money worthless. It sells nothing itself.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tallystick.chain.deployment import Deployment
from tallystick.chain.keys import Keystore
from tallystick.chain.local import MINIMUM_STAKE, LocalChain, deploy
from tallystick.chain.market import Market
from tallystick.chain.sender import Sender
from tallystick.home import Home
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick_node.local.engines import MODEL, EngineKind, start_engine, wait_for_engine
from tallystick_node.local.explorer import LocalExplorer
from tallystick_node.local.process import Popen, Process, answers, free_ports

DEPOSIT: Final = Atoms(50_000_000)
CREDIT: Final = Atoms(50_000)
GAS: Final = 10**20
"""Wei."""
_READY_S: Final = 120.0
"""A gateway starts in two seconds; among a hundred payers that keep every core busy it has taken forty. One
that ends instead is noticed at once."""
_PUBLISH_S: Final = 120
_LIGHT_SCRYPT: Final = 1 << 12
"""These keys guard nothing, and a strong one costs a second each."""

_CONFIG: Final = """\
rpc = "{rpc}"
deployment = "{deployment}"
poll_s = 0.2

[keys]
receipt = "{receipt}"
provider = "{provider}"

[listen]
port = {port}
plain_http = {plain}
{endpoint}
[engine]
url = "{engine}"

[[offers]]
model = "{model}"
input_price = {input_price}
output_price = {output_price}
context_length = {context_length}
credit = {credit}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """What one provider is to be like."""

    name: str
    plain: bool = False
    """Serves without TLS."""
    stake: Atoms = MINIMUM_STAKE
    deposit: Atoms = Atoms(0)
    """Of the receipt key's own account: a node that also buys needs one."""
    cash: Atoms = Atoms(0)
    """That it keeps beside that on its own account."""
    input_price: int = 2_000_000
    output_price: int = 6_000_000
    engine: EngineKind | None = None
    """What answers under the market's name of the model; None: the market's engine."""
    engine_options: tuple[str, ...] = ()
    context_length: int = 0
    """Tokens, of its offer; 0: what its kind of engine serves."""
    engine_module: str = ""
    """What Python runs in place of the embedded engine, told the same."""
    model: Path = MODEL
    """What a real engine runs, under whatever name."""
    settings: str = ""
    """More TOML for its configuration."""
    port: int = 0
    """0: any free one."""
    endpoint: str = ""
    """What its offer names, where that is not where it listens."""
    later: bool = False
    """Its gateway is not started with the others."""
    by: tuple[str, ...] = ("-m",)
    """What Python runs its gateway with."""


@dataclass(slots=True, kw_only=True)
class LocalProvider:
    """One provider: its keys, its engine, its gateway."""

    make: Make
    key: Key
    """The wallet: stake and earnings."""
    receipt_key: Address
    port: int
    config: Path
    log: Path
    engine: Process
    engine_port: int
    gateway: Process | None = None

    @property
    def name(self) -> str:
        return self.make.name

    @property
    def address(self) -> Address:
        return self.key.address

    @property
    def url(self) -> str:
        return f"http{'' if self.make.plain else 's'}://127.0.0.1:{self.port}"

    @property
    def running(self) -> Process:
        assert self.gateway is not None, f"{self.name} has no gateway"
        return self.gateway


@dataclass(slots=True, kw_only=True)
class LocalMarket:
    """`with LocalMarket(folder=…) as market:` has a market running, and nothing left of it afterwards."""

    folder: Path
    """Where everything is kept: keys, databases, logs."""
    engine: EngineKind = EngineKind.ECHO
    engine_options: tuple[str, ...] = ()
    provider_count: int = 3
    makes: Sequence[Make] = ()
    """The providers one by one; else `provider_count` alike."""
    plain_count: int = 0
    """So many of them, the last ones, serve without TLS."""
    credit: Atoms = CREDIT
    settings: str = ""
    """More TOML for every gateway's configuration."""
    popen: Popen = subprocess.Popen
    """What starts its gateways, and engines that Python runs."""
    lasting_chain: bool = False
    """The chain keeps its state and its port, so that it can be stopped and started again."""
    tell: Callable[[str], None] = lambda _: None
    """Hears what happens, a line at a time."""

    chain: LocalChain = field(init=False)
    deployment: Deployment = field(init=False)
    payer: Key = field(init=False)
    password: str = field(init=False)
    providers: list[LocalProvider] = field(init=False, default_factory=list)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def deployment_file(self) -> Path:
        return Home(self.home).deployment

    @property
    def home(self) -> Path:
        """The payer's: keystore, deployment and purse."""
        return self.folder / "payer"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program of the payer needs to know."""
        return {
            "TALLYSTICK_RPC": self.chain.url,
            "TALLYSTICK_DEPLOYMENT": str(self.deployment_file),
            "TALLYSTICK_HOME": str(self.home),
            "TALLYSTICK_WALLET": "payer",
            "TALLYSTICK_PASSWORD": self.password,
            "TALLYSTICK_MODEL": self.engine.model_name,
        }

    def market_of(self, key: Key) -> Market:
        """The contract in the hands of `key`."""
        return Market(self.chain.rpc, self.deployment, Sender(self.chain.rpc, self.deployment.chain_id, key))

    def fund(self, key: Key, atoms: Atoms) -> Market:
        """Gas and atoms for its wallet; the contract in its hands."""
        self.chain.rpc.call("anvil_setBalance", to_hex(key.address), hex(GAS))
        market = self.market_of(key)
        market.mint(atoms)
        return market

    def start_gateway(self, provider: LocalProvider) -> None:
        """Runs it, anew or again; returns once it serves."""
        self.launch_gateway(provider)
        self._await(provider)

    def launch_gateway(self, provider: LocalProvider, *, by: Sequence[str | Path] = ()) -> None:
        """Without waiting. `by`: what Python runs the module with, this once."""
        command = [sys.executable, *(by or provider.make.by), "tallystick_node.cli", "serve", provider.config]
        gateway = Process(
            provider.name,
            command,
            log=provider.log,
            env={"TALLYSTICK_PASSWORD": self.password},
            popen=self.popen,
        )
        self._stack.callback(gateway.stop)
        provider.gateway = gateway

    def start_gateways(self, serves: Callable[[LocalProvider], None] = lambda _: None) -> None:
        """All at once; `serves` hears of each that does. Returns once all do."""
        started = [provider for provider in self.providers if not provider.make.later]
        for provider in started:
            self.launch_gateway(provider)
        for provider in started:
            self._await(provider)
            serves(provider)

    def _await(self, provider: LocalProvider) -> None:
        provider.running.wait_ready(answers(provider.url + "/healthz"), timeout_s=_READY_S)

    def stop_gateways(self, except_for: Collection[LocalProvider] = ()) -> None:
        """Each drains and settles what it was acknowledged."""
        stopped = [provider for provider in self.providers if all(provider is not one for one in except_for)]
        running = [provider.gateway for provider in stopped if provider.gateway is not None]
        for gateway in running:
            gateway.terminate()
        for gateway in running:
            gateway.stop()

    def start_explorer(self) -> str:
        """Its URL, once it has read as far as the chain goes now: receipts are held against what it knows."""
        explorer = LocalExplorer(folder=self.folder, rpc=self.chain.url, deployment=self.deployment_file)
        self._stack.callback(explorer.start().stop)
        explorer.wait_for(self.market_of(self.payer).head().number)
        return explorer.url

    def publish_receipts(self, explorer: str) -> None:
        """The payer's, as a person does it: only they say how many requests and tokens were paid for."""
        tally = Path(sys.executable).with_name("tally")
        command = [str(tally), "receipts", "--last", "100000", "--publish", explorer]
        subprocess.run(
            command, env=os.environ | self.environment, check=True, capture_output=True, timeout=_PUBLISH_S
        )

    # ------------------------------------------------------------------------------------------- setting up

    def _start(self) -> None:
        self.password = secrets.token_urlsafe(16)
        makes = self.makes or self._alike()
        ports = free_ports(2 * len(makes))
        engine_ports, gateway_ports = ports[: len(makes)], ports[len(makes) :]
        self.tell(f"starting {len(makes)} engines ({self.engine.value})")
        engines = [self._start_engine(port, make) for port, make in zip(engine_ports, makes, strict=True)]

        self.chain = self._stack.enter_context(self._local_chain())
        self.tell(f"a local chain runs at {self.chain.url}")
        self.deployment = deploy(self.chain.rpc, self.chain.keys[0])
        self.deployment.save(self.deployment_file)
        self.tell(f"the market is deployed at 0x{self.deployment.market.hex()}")

        self.payer = Keystore(Home(self.home).keystore, scrypt_n=_LIGHT_SCRYPT).create("payer", self.password)
        self.fund(self.payer, DEPOSIT).deposit_with_permit(DEPOSIT)
        self.tell(
            f"the payer 0x{self.payer.address.hex()[:8]}… deposited {DEPOSIT:,} atoms: its one transaction"
        )

        for make, engine, engine_port, port in zip(makes, engines, engine_ports, gateway_ports, strict=True):
            self.providers.append(self._join(make, engine, engine_port, make.port or port))
        for provider, engine_port in zip(self.providers, engine_ports, strict=True):
            wait_for_engine(self._kind(provider.make), provider.engine, port=engine_port)
        self.tell("the engines answer")
        self.start_gateways(self._tell_that_it_serves)

    def _alike(self) -> list[Make]:
        plain_from = self.provider_count - self.plain_count
        return [
            Make(
                name=f"provider-{number + 1}",
                plain=number >= plain_from,
                engine_options=self.engine_options,
                settings=self.settings,
            )
            for number in range(self.provider_count)
        ]

    def _tell_that_it_serves(self, provider: LocalProvider) -> None:
        staked = f"{provider.name} staked {provider.make.stake:,} atoms"
        self.tell(f"{staked}, posted its offer and serves at {provider.url}")

    def _local_chain(self) -> LocalChain:
        if not self.lasting_chain:
            return LocalChain()
        (port,) = free_ports(1)
        return LocalChain(state=self.folder / "chain.json", port=port)

    def _kind(self, make: Make) -> EngineKind:
        return make.engine or self.engine

    def _start_engine(self, port: int, make: Make) -> Process:
        log = self.folder / f"engine-{port}.log"
        engine = start_engine(
            self._kind(make),
            port=port,
            log=log,
            options=make.engine_options,
            name=self.engine.model_name,
            model=make.model,
            module=make.engine_module,
            popen=self.popen,
        )
        self._stack.callback(engine.stop)
        return engine

    def _join(self, make: Make, engine: Process, engine_port: int, port: int) -> LocalProvider:
        """Stakes with a wallet of its own, and names a receipt key that pays the gateway's gas."""
        folder = self.folder / make.name
        wallet = Key.generate()
        receipt_key = Keystore(folder, scrypt_n=_LIGHT_SCRYPT).create("receipt", self.password)
        self.chain.rpc.call("anvil_setBalance", to_hex(receipt_key.address), hex(GAS))
        market = self.fund(wallet, make.stake)
        market.add_stake(make.stake)
        market.set_receipt_key(receipt_key.address)
        if make.deposit:
            self.fund(receipt_key, Atoms(make.deposit + make.cash)).deposit_with_permit(make.deposit)
        config = folder / "node.toml"
        config.write_text(
            _CONFIG.format(
                rpc=self.chain.url,
                deployment=self.deployment_file,
                receipt=Keystore(folder).find("receipt").path,
                provider=to_hex(wallet.address),
                engine=f"http://127.0.0.1:{engine_port}",
                port=port,
                plain=str(make.plain).lower(),
                endpoint=f'endpoint = "{make.endpoint}"\n' if make.endpoint else "",
                input_price=make.input_price,
                output_price=make.output_price,
                model=self.engine.model_name,
                context_length=make.context_length or self._kind(make).context_length,
                credit=self.credit,
            )
            + make.settings
        )
        return LocalProvider(
            make=make,
            key=wallet,
            receipt_key=receipt_key.address,
            port=port,
            config=config,
            log=folder / "node.log",
            engine=engine,
            engine_port=engine_port,
        )
