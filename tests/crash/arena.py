"""One provider with a real gateway on a real chain, payers in processes of their own, and what must be true
when all have come back."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tallystick.chain.events import ChannelClosed, Settled
from tallystick.chain.follower import Follower
from tallystick.chain.history import channels_of
from tallystick.client.budget import Budget
from tallystick.client.holdings import HeldReceipt
from tallystick.client.purse import Purse
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Atoms, Milliseconds
from tallystick.protocol.wire import read_receipt_text
from tallystick_node.local.audit import charged_twice
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider
from tallystick_node.local.process import NotReady, answers
from tests.warm import ROOT, Warm

DYING = Path(__file__).with_name("dying.py")
CHEATING = ROOT / "tests" / "wallet" / "cheating_node.py"
DEPOSIT = Atoms(10_000_000)
PATIENCE_S = 60
MOST_WORDS = 400
"""That paying.py asks for at once."""
_SETTLING = """
[settle]
amount = 1
interval_s = 1
minimum = 1

[limits]
answers_kept_s = 1
drain_s = 2
"""


@dataclass
class Wallet:
    """A payer, and where its purse is."""

    key: Key
    home: Path

    def purse_folder(self) -> Path:
        (folder,) = (path.parent for path in self.home.glob("**/purse.db"))
        return folder


@dataclass
class Arena:
    market: LocalMarket
    warm: Warm
    _wallets: int = 0
    _credit: int = 8_000

    @classmethod
    @contextmanager
    def open(cls, folder: Path, warm: Warm) -> Iterator[Self]:
        slow = ("--token-delay-ms", "1")
        with LocalMarket(
            folder=folder,
            engine=EngineKind.ECHO,
            engine_options=slow,
            provider_count=1,
            credit=Atoms(8_000),
            popen=warm.popen,
        ) as market:
            arena = cls(market, warm)
            market.stop_gateways()
            arena.provider.config.write_text(arena.provider.config.read_text() + _SETTLING)
            yield arena

    @property
    def provider(self) -> LocalProvider:
        return self.market.providers[0]

    @property
    def database(self) -> Path:
        return self.provider.config.parent / "node.db"

    # ---------------------------------------------------------------------------------------------- gateway

    def start(self, point: str | None = None, passing: int = 1) -> None:
        """Runs it, and returns once it serves, or is dead because it came to `point`."""
        by = ("-m",) if point is None else (DYING, point, str(passing))
        self.market.launch_gateway(self.provider, by=by)
        try:
            self.provider.running.wait_ready(answers(self.provider.url + "/healthz"), timeout_s=PATIENCE_S)
        except NotReady:
            if point is None or not self.dead():
                raise

    def start_cheating(self) -> None:
        """It signs receipts above its price."""
        kind = self.market.folder / "kind"
        kind.write_text("overcharge")
        self.market.launch_gateway(self.provider, by=(CHEATING, kind))
        self.provider.running.wait_ready(answers(self.provider.url + "/healthz"), timeout_s=PATIENCE_S)

    def stop(self) -> None:
        self.provider.running.stop()

    def dead(self) -> bool:
        return self.provider.running.exit_status == -signal.SIGKILL

    def wait_until_dead(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not self.dead():
            assert self.provider.running.exit_status is None, "it ended otherwise"
            assert time.monotonic() < deadline, "it never came to the point"
            time.sleep(0.02)

    @contextmanager
    def on_power(self) -> Iterator[None]:
        """Gateways that start meanwhile wait for their disk."""
        config = self.provider.config
        quick = config.read_text()
        config.write_text('durability = "power"\n' + quick)
        yield
        config.write_text(quick)

    def change_offer(self) -> None:
        """The next start posts a new one."""
        config = self.provider.config
        config.write_text(
            config.read_text().replace(f"credit = {self._credit}", f"credit = {self._credit + 1}")
        )
        self._credit += 1

    def lose_database(self) -> None:
        for path in self.database.parent.glob("node.db*"):
            path.unlink()

    # ---------------------------------------------------------------------------------------------- payers

    def wallet(self) -> Wallet:
        self._wallets += 1
        key = Key.generate()
        self.market.fund(key, DEPOSIT).deposit_with_permit(DEPOSIT)
        return Wallet(key, self.market.folder / f"payer-{self._wallets}")

    def begin(
        self, wallet: Wallet, jobs: Sequence[str], point: str | None = None, passing: int = 1
    ) -> "subprocess.Popen[str]":
        told = {
            "wallet": wallet.key.secret.hex(),
            "rpc": self.market.chain.url,
            "deployment": str(self.market.deployment_file),
            "home": str(wallet.home),
            "jobs": list(jobs),
        }
        command = (
            [sys.executable, "-m"] if point is None else [sys.executable, str(DYING), point, str(passing)]
        )
        return self.warm.popen(
            [*command, "tests.crash.paying", json.dumps(told)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def pay(self, wallet: Wallet, jobs: Sequence[str]) -> None:
        """To the end, and all of it answered."""
        finish(self.begin(wallet, jobs), len(jobs))

    # ---------------------------------------------------------------------------------------------- the truth

    def require_whole(self, wallet: Wallet) -> list[Receipt]:
        """No acknowledged atom is lost, nothing is charged twice, no nonce is used twice, both halves are
        one, and Σ receipts = Σ settled; the receipts."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            held, asked, spending = self._purse(wallet)
            sums: dict[bytes, int] = defaultdict(int)
            for item in held:
                sums[item.receipt.message.channel_id] += item.receipt.message.cost
            settled = {key: amount for key, amount in self._settled().items() if key in sums}
            if settled == dict(sums) or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert settled == dict(sums)
        assert spending == (sum(sums.values()), 0)
        assert all(item.acknowledged for item in held)
        assert len({nonce for _, _, nonce in asked}) == len(asked)
        assert not charged_twice(held, MOST_WORDS)
        receipts = [item.receipt.message for item in held]
        places = [(receipt.channel_id, receipt.sequence) for receipt in receipts]
        assert len(set(places)) == len(places)
        self._require_no_equivocation(receipts)
        return receipts

    def held(self, wallet: Wallet) -> list[Receipt]:
        """What the payer has accepted."""
        return [item.receipt.message for item in self._purse(wallet)[0]]

    def unsettled(self, wallet: Wallet) -> int:
        """Channels on which its purse still has something to do."""
        with closing(self._open(wallet)) as purse:
            return len(purse.adopt_unsettled(refused=True))

    def closing(self, wallet: Wallet) -> list[bool]:
        """Whether its notice runs, of each of its channels."""
        channels = channels_of(self.market.market_of(wallet.key), wallet.key.address)
        return [channel.closes_at > 0 for channel in channels]

    def _purse(
        self, wallet: Wallet
    ) -> tuple[list[HeldReceipt], list[tuple[bytes, bytes, int]], tuple[int, int]]:
        with closing(self._open(wallet)) as purse:
            return purse.held_receipts(), list(purse.asked()), purse.spending()

    def _open(self, wallet: Wallet) -> Purse:
        return Purse(
            wallet.home / "purse",
            wallet=wallet.key,
            domain=self.market.deployment.domain,
            budget=Budget(total=1, per_request=1),
            now=lambda: Milliseconds(0),
        )

    def _settled(self) -> dict[bytes, int]:
        events = Follower(self.market.chain.rpc, self.market.deployment).poll().events
        found: dict[bytes, int] = {}
        for event in events:
            if isinstance(event, Settled) or (isinstance(event, ChannelClosed) and event.settled):
                found[event.channel_id] = event.settled
        return found

    def _require_no_equivocation(self, receipts: Sequence[Receipt]) -> None:
        """What the provider has under a channel and a sequence is what the payer has there."""
        ours = {(receipt.channel_id, receipt.sequence): receipt for receipt in receipts}
        for theirs in self.issued():
            held = ours.get((theirs.channel_id, theirs.sequence), theirs)
            assert held == theirs

    def issued(self) -> list[Receipt]:
        """What the provider's database holds."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as db:
            texts = db.execute("SELECT text FROM receipts").fetchall()
        db.close()
        return [read_receipt_text(text).message for (text,) in texts]


def finish(child: "subprocess.Popen[str]", jobs: int) -> None:
    out, err = child.communicate(timeout=2 * PATIENCE_S)
    assert child.returncode == 0, err
    assert json.loads(out) == [""] * jobs, err
