"""The arms of the latency figures, each a server over the same kind of echo engine: the engine alone, our
gateway over TLS and without it, LiteLLM's proxy.

What is measured runs on a core of its own; the load generator, the engines and the chain share another.
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tallystick.chain.market import Opening
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms
from tallystick_node.local.bench.cpu import cores, pin
from tallystick_node.local.bench.paying import LoadPayer, ask
from tallystick_node.local.bench.wire import Reply, Server
from tallystick_node.local.engines import REPOSITORY
from tallystick_node.local.market import LocalMarket, LocalProvider
from tallystick_node.local.process import Process, answers, free_ports

LITELLM: Final = REPOSITORY / ".venv-litellm" / "bin" / "litellm"
_CHANNEL_KNOWN_S: Final = 10.0
_LITELLM_READY_S: Final = 120.0
_CAP: Final = Atoms(20_000_000)
_LITELLM_CONFIG: Final = """\
model_list:
  - model_name: echo
    litellm_params:
      model: openai/echo
      api_base: http://127.0.0.1:{engine_port}/v1
      api_key: none
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A server and how to ask it."""

    name: str
    pid: int
    """Of the process whose time counts."""
    server: Server
    buy: Callable[[bytes], Awaitable[Reply]]
    payer: LoadPayer | None = None


def start_arms(market: LocalMarket, stack: ExitStack, *, litellm: bool) -> list[Arm]:
    """Of a market with two providers, of which the second serves without TLS. The engine alone comes
    first."""
    tls, plain = market.providers
    engine = Server(tls.engine_port)
    arms = [Arm(name="direct", pid=tls.engine.pid, server=engine, buy=lambda body: ask(engine, body))]
    arms += [_gateway_arm(market, tls, "ours"), _gateway_arm(market, plain, "ours, no TLS")]
    if litellm:
        arms.append(_litellm_arm(market.folder, stack, tls.engine_port))
    _spread(market, arms)
    return arms


def _gateway_arm(market: LocalMarket, provider: LocalProvider, name: str) -> Arm:
    session = Key.generate()
    chain = market.market_of(market.payer)
    chain.open_own_channels([Opening(provider=provider.address, session_key=session.address, cap=_CAP)])
    offer = next(item.offer for item in chain.offers() if item.offer.provider == provider.address)
    payer = LoadPayer(
        domain=market.deployment.domain,
        offer=offer,
        receipt_key=provider.receipt_key,
        session=session,
        channel=ChannelKey(
            payer=market.payer.address, provider=provider.address, session_key=session.address
        ),
    )
    provider.running.wait_ready(lambda: _knows_a_channel(provider), timeout_s=_CHANNEL_KNOWN_S)
    server = Server(provider.port, tls=not provider.make.plain)
    return Arm(
        name=name,
        pid=provider.running.pid,
        server=server,
        buy=lambda body: payer.buy(server, body),
        payer=payer,
    )


def _knows_a_channel(provider: LocalProvider) -> bool:
    page = httpx2.get(f"{provider.url}/metrics", verify=False, trust_env=False)
    return "tallystick_channels 1.0" in page.text


def _litellm_arm(folder: Path, stack: ExitStack, engine_port: int) -> Arm:
    config, key = folder / "litellm.yaml", f"sk-{secrets.token_hex(16)}"
    config.write_text(_LITELLM_CONFIG.format(engine_port=engine_port))
    (port,) = free_ports(1)
    command: list[str | Path] = [
        LITELLM,
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    # It would look its prices up on the network, and report that it was started.
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
    process = Process("litellm", command, log=folder / "litellm.log", env={"LITELLM_MASTER_KEY": key} | quiet)
    stack.callback(process.kill)
    ready = answers(f"http://127.0.0.1:{port}/health/liveliness")
    process.wait_ready(ready, timeout_s=_LITELLM_READY_S)
    server = Server(port, headers=f"Authorization: Bearer {key}\r\n")
    return Arm(name="LiteLLM", pid=process.pid, server=server, buy=lambda body: ask(server, body))


def _spread(market: LocalMarket, arms: list[Arm]) -> None:
    """Where there is more than one core: what is measured on the first, everything else on the second."""
    first, *others = cores()
    if not others:
        return
    for arm in arms[1:]:
        pin(arm.pid, first)
    pin(market.chain.pid, others[0])
    for provider in market.providers:
        pin(provider.engine.pid, others[0])
