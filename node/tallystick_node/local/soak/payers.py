"""Some payers in one process, each with a wallet and a purse of its own: they buy until they are told to
stop, or, with --finish, acknowledge what is left to acknowledge.

    python -m tallystick_node.local.soak.payers FILE [--finish]
"""

import argparse
import asyncio
import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx2

import tallystick
from tallystick.protocol.signed import Key
from tallystick.protocol.units import to_hex

TOKENS: Final = 24
"""Of each answer, at most."""
_BUDGET: Final = tallystick.Budget(total=40_000_000, per_request=50_000)
_FINISH_S: Final = 120.0
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one process is told."""

    rpc: str
    deployment: Path
    homes: tuple[Path, ...]
    secrets: tuple[bytes, ...]
    """Keys of worthless wallets, one a home."""
    seed: int
    """Of the payers' choices."""
    pause_s: float
    """Between two requests of one payer, on average."""

    def to_json(self) -> dict[str, Any]:
        return {
            "rpc": self.rpc,
            "deployment": str(self.deployment),
            "homes": [str(home) for home in self.homes],
            "secrets": [secret.hex() for secret in self.secrets],
            "seed": self.seed,
            "pause_s": self.pause_s,
        }

    @classmethod
    def load(cls, path: Path) -> Self:
        data = json.loads(path.read_text())
        return cls(
            rpc=data["rpc"],
            deployment=Path(data["deployment"]),
            homes=tuple(map(Path, data["homes"])),
            secrets=tuple(map(bytes.fromhex, data["secrets"])),
            seed=data["seed"],
            pause_s=data["pause_s"],
        )

    def transport(self, number: int) -> tallystick.Transport:
        return tallystick.transport(
            Key(self.secrets[number]),
            rpc=self.rpc,
            deployment=self.deployment,
            budget=_BUDGET,
            home=self.homes[number],
        )

    def transports(self) -> list[tallystick.Transport]:
        return [self.transport(number) for number in range(len(self.homes))]


async def keep_buying(group: Group) -> Counter[str]:
    """Until SIGTERM; what became of the requests."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    became: Counter[str] = Counter()
    transports = group.transports()
    chances = [random.Random(f"{group.seed} {number}") for number in range(len(transports))]
    await asyncio.gather(
        *(
            _pay(each, group.pause_s, chance, over, became)
            for each, chance in zip(transports, chances, strict=True)
        )
    )
    for each in transports:
        await each.aclose()
    return became


async def _pay(
    transport: tallystick.Transport,
    pause_s: float,
    chance: random.Random,
    over: asyncio.Event,
    became: Counter[str],
) -> None:
    client = httpx2.AsyncClient(transport=transport, base_url=tallystick.BASE_URL, timeout=60)
    while not over.is_set():
        try:
            async with asyncio.timeout(chance.expovariate(1 / pause_s)):
                await over.wait()
        except TimeoutError:
            became[await _buy(client, streamed=chance.random() < 0.5)] += 1


async def _buy(client: httpx2.AsyncClient, *, streamed: bool) -> str:
    messages = [{"role": "user", "content": "Tell me of the sea, and of what lives in it."}]
    body = {"model": "echo", "messages": messages, "max_tokens": TOKENS, "stream": streamed}
    try:
        answer = await client.post("/chat/completions", json=body)
    except httpx2.HTTPError as error:
        return type(error).__name__
    if answer.status_code != httpx2.codes.OK:
        return str(answer.json()["error"]["code"])
    return "cut" if b'"error"' in answer.content[-400:] else "answered"


def finish(group: Group) -> int:
    """How many purses still hold something open when time is up: none, if all goes well. They take turns, so
    that one which is stuck keeps no other from its end."""
    deadline = time.monotonic() + _FINISH_S
    left = dict.fromkeys(range(len(group.homes)), "not tried")
    while left := {number: found for number in left if (found := _unsettled(group.transport(number)))}:
        if time.monotonic() > deadline:
            break
        time.sleep(_AGAIN_S)
    for number, found in left.items():
        print(f"not done: {group.homes[number].name}: {found}", flush=True)  # noqa: T201
    return len(left)


def _unsettled(transport: tallystick.Transport) -> str:
    """Channels with something to settle; each is tried once, as the purse closes."""
    try:
        return ", ".join(
            f"{to_hex(channel.id)} ({channel.state}, {channel.tally.count} receipts of which "
            f"{channel.delivered} are known to be acknowledged, {len(channel.running)} open requests)"
            for channel in transport.session.purse.adopt_unsettled()
        )
    finally:
        transport.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", type=Path)
    parser.add_argument("--finish", action="store_true")
    options = parser.parse_args()
    group = Group.load(options.group)
    if options.finish:
        return finish(group)
    became = asyncio.run(keep_buying(group))
    print(json.dumps(became), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
