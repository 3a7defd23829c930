"""The payers of a soak: funded at once, run in a few processes, killed and started again."""

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms
from tallystick_node.local.audit import PayersHalf
from tallystick_node.local.market import LocalMarket
from tallystick_node.local.process import Process
from tallystick_node.local.soak.payers import Group

_DEPOSIT: Final = Atoms(50_000_000)
_LEAVE_S: Final = 180.0


@dataclass(slots=True, kw_only=True)
class Crowd:
    market: LocalMarket
    groups: list[Group]
    processes: list[Process] = field(default_factory=list)

    @classmethod
    def funded(
        cls, market: LocalMarket, *, processes: int, wallets_each: int, seed: int, pause_s: float
    ) -> "Crowd":
        """Somebody else pays for all the deposits: the payers need no gas, ever."""
        keys = [Key.generate() for _ in range(processes * wallets_each)]
        sponsor = market.market_of(market.payer)
        total = Atoms(_DEPOSIT * len(keys))
        sponsor.mint(total)
        sponsor.approve(total)
        for key in keys:
            sponsor.deposit(_DEPOSIT, payer=key.address)
        groups = []
        for number in range(processes):
            own = keys[number * wallets_each :][:wallets_each]
            folder = market.folder / f"payers-{number}"
            groups.append(
                Group(
                    rpc=market.chain.url,
                    deployment=market.deployment_file,
                    homes=tuple(folder / key.address.hex() for key in own),
                    secrets=tuple(key.secret for key in own),
                    seed=seed + number,
                    pause_s=pause_s,
                )
            )
            folder.mkdir()
            (folder / "group.json").write_text(json.dumps(groups[-1].to_json()))
        return cls(market=market, groups=groups)

    def start(self) -> None:
        self.processes = [self._run(number) for number in range(len(self.groups))]

    def _run(self, number: int, *flags: str) -> Process:
        folder = self.market.folder / f"payers-{number}"
        command: list[str | Path] = [sys.executable, "-m", "tallystick_node.local.soak.payers"]
        name = f"payers {number}"
        return Process(name, [*command, folder / "group.json", *flags], log=folder / "log")

    def kill(self, number: int) -> None:
        """And start the same payers again, with what their purses remember."""
        self.processes[number].kill()
        self.processes[number] = self._run(number)

    def stop(self) -> None:
        """No new requests; what runs may end."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(_LEAVE_S)

    def finish(self) -> int:
        """How many purses could not acknowledge all that they hold."""
        finishing = [self._run(number, "--finish") for number in range(len(self.groups))]
        return sum(process.wait(_LEAVE_S) for process in finishing)

    def became(self) -> Counter[str]:
        """What the processes that lived to tell said of their requests."""
        found: Counter[str] = Counter()
        for number in range(len(self.groups)):
            for line in (self.market.folder / f"payers-{number}" / "log").read_text().splitlines():
                if line.startswith("{"):
                    found.update(json.loads(line))
        return found

    def half(self) -> PayersHalf:
        """What all of them hold of the market."""
        halves = []
        for group in self.groups:
            for transport in group.transports():
                halves.append(PayersHalf.of(transport))
                transport.close()
        return PayersHalf.joined(halves)
