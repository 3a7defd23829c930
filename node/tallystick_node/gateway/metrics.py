"""What an operator watches: counters for Prometheus, and whether the node can sell. Never a prompt, key or
signature."""

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from tallystick.protocol.errors import MarketError
from tallystick.protocol.receipt import Finish, Receipt
from tallystick_node.gateway.gateway import Gateway


class Metrics:
    """One registry an instance: two nodes in one process do not share counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refused = Counter(
            "tallystick_refused", "Requests refused, by code.", ["code"], registry=self.registry
        )
        self._receipts = Counter(
            "tallystick_receipts", "Receipts issued, by why they end.", ["finish"], registry=self.registry
        )
        self._atoms = Counter("tallystick_billed_atoms", "Atoms on receipts.", registry=self.registry)
        self._output = Counter("tallystick_output_tokens", "Output tokens billed.", registry=self.registry)
        self._input = Counter("tallystick_input_tokens", "Input tokens billed.", registry=self.registry)
        self._settled = Counter(
            "tallystick_settled_atoms", "Atoms gained by settling.", registry=self.registry
        )
        self._running = self._gauge("running_requests", "Requests being served.")
        self._owed = self._gauge("owed_atoms", "Delivered and not acknowledged, all accounts.")
        self._reserved = self._gauge("reserved_atoms", "Held for running requests.")
        self._unsettled = self._gauge("unsettled_atoms", "Acknowledged and not settled.")
        self._waiting = Gauge(
            "tallystick_waiting_atoms",
            "Due and not settled, by why.",
            ["reason"],
            registry=self.registry,
        )
        self._disputed = self._gauge("chain_disputed", "1: the chain's nodes contradict one another.")
        self._rewinds = self._gauge("chain_rewinds", "How often the chain took blocks back.")
        self._head_age = self._gauge("chain_head_age_seconds", "Age of the newest block known.")
        self._staked = self._gauge("staked_atoms", "Behind what the provider signs.")
        self._slashed = self._gauge("slashed_atoms", "Ever taken for fraud.")
        self._channels = self._gauge("channels", "Channels known.")
        self.engine_up = True
        """As of the last look."""
        self.database_up = True

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"tallystick_{name}", text, registry=self.registry)

    def follow(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that asks for its value whenever it is read."""
        self._gauge(name, text).set_function(value)

    def refused(self, error: MarketError) -> None:
        self._refused.labels(error.code).inc()

    def receipt(self, receipt: Receipt) -> None:
        self._receipts.labels(Finish(receipt.finish).name.lower()).inc()
        self._atoms.inc(receipt.cost)
        self._output.inc(receipt.output_tokens)
        self._input.inc(receipt.input_tokens)

    def settled(self, atoms: int) -> None:
        self._settled.inc(atoms)

    def waiting(self, atoms: Mapping[str, int]) -> None:
        """Instead of what was said before."""
        self._waiting.clear()
        for reason, amount in atoms.items():
            self._waiting.labels(reason).set(amount)

    def exposition(self, gateway: Gateway) -> bytes:
        tabs = gateway.books.tabs.values()
        self._running.set(len(gateway.running))
        self._owed.set(sum(tab.owed for tab in tabs))
        self._reserved.set(sum(tab.reserved for tab in tabs))
        self._unsettled.set(sum(max(0, tab.acknowledged.amount - tab.channel.settled) for tab in tabs))
        self._head_age.set(gateway.head_age_s)
        self._disputed.set(gateway.chain_disputed)
        self._rewinds.set(gateway.rewinds)
        self._staked.set(gateway.staked)
        self._slashed.set(gateway.slashed)
        self._channels.set(len(tabs))
        return generate_latest(self.registry)

    def health(self, gateway: Gateway) -> tuple[bool, dict[str, Any]]:
        """Whether it can sell now, and why not."""
        chain_up = gateway.head_age_s <= gateway.limits.head_age_s and not gateway.chain_disputed
        healthy = (
            chain_up
            and self.engine_up
            and self.database_up
            and not gateway.draining
            and not gateway.key_revoked
            and gateway.is_staked
        )
        return healthy, {
            "status": "ok" if healthy else "unavailable",
            "chain": {
                "ok": chain_up,
                "head": gateway.head.number,
                "headAgeSeconds": gateway.head_age_s,
                "disputed": gateway.chain_disputed,
            },
            "engine": {"ok": self.engine_up},
            "database": {"ok": self.database_up},
            "receiptKey": {"ok": not gateway.key_revoked},
            "stake": {
                "ok": gateway.is_staked,
                "staked": str(gateway.staked),
                "required": str(gateway.limits.minimum_stake),
                "slashed": str(gateway.slashed),
            },
            "draining": gateway.draining,
            "running": len(gateway.running),
        }
