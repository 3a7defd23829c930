"""What each arm adds to the engine's latency, how many requests it serves, and what one costs it.

Arms take turns within a round, and every comparison is made within its round: on a machine that others use
too, a slow second is slow for all. Rows are medians over rounds.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Self

import orjson

from tallystick_node.local.bench.arms import Arm
from tallystick_node.local.bench.cpu import cpu_seconds
from tallystick_node.local.bench.row import Row

_WARMING: Final = 40
_ADDED: Final = "added latency"
_COST: Final = "what a request costs the gateway"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one arm's turn, by how many are under way at a time."""

    requests: Mapping[int, int]

    @classmethod
    def full(cls) -> Self:
        return cls({1: 100, 16: 160, 64: 256})

    @classmethod
    def quick(cls) -> Self:
        return cls({1: 20, 16: 64, 64: 128})


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One arm's requests in one round."""

    seconds: float
    cpu_seconds: float
    """Of the process measured."""
    latencies: Sequence[float]
    """Seconds, sorted."""

    @property
    def a_second(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile_ms(self, q: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(q * len(self.latencies)))] * 1e3


def whole_body(tokens: int = 8) -> bytes:
    return _body(max_tokens=tokens)


def stream_body(tokens: int) -> bytes:
    return _body(max_tokens=tokens, stream=True)


def _body(**fields: object) -> bytes:
    messages = [{"role": "user", "content": "Say these eight words back to me, please."}]
    return orjson.dumps({"model": "echo", "messages": messages} | fields)


async def take_turn(arm: Arm, body: bytes, *, requests: int, concurrency: int) -> Turn:
    left = requests
    latencies: list[float] = []

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            latencies.append((await arm.buy(body)).seconds)

    begun, cpu = time.perf_counter(), cpu_seconds(arm.pid)
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    seconds, used = time.perf_counter() - begun, cpu_seconds(arm.pid) - cpu
    return Turn(seconds=seconds, cpu_seconds=used, latencies=sorted(latencies))


async def measure_latency(arms: Sequence[Arm], rounds: int, load: Load) -> list[Row]:
    rows: list[Row] = []
    throughput: list[Row] = []
    for concurrency, requests in load.requests.items():
        turns: dict[str, list[Turn]] = {arm.name: [] for arm in arms}
        for arm in arms:
            await take_turn(arm, whole_body(), requests=max(_WARMING, concurrency), concurrency=concurrency)
        for number in range(rounds):
            for arm in [*arms[number % len(arms) :], *arms[: number % len(arms)]]:
                turn = await take_turn(arm, whole_body(), requests=requests, concurrency=concurrency)
                turns[arm.name].append(turn)
        rows += _added(turns, concurrency)
        throughput += _throughput(turns, concurrency)
    return rows + throughput


def _added(turns: dict[str, list[Turn]], concurrency: int) -> list[Row]:
    rows = []
    direct = turns["direct"]
    theirs = turns.get("LiteLLM")
    for name in turns:
        if not name.startswith("ours"):
            continue
        for label, q in (("p50", 0.5), ("p99", 0.99)):
            added = _added_ms(turns[name], direct, q)
            baseline = None if theirs is None else _added_ms(theirs, direct, q)
            target = 1.0 if (concurrency, label, name) == (1, "p50", "ours") else None
            if (concurrency, label, name) == (16, "p99", "ours") and baseline is not None:
                target = baseline / 10
            rows.append(
                Row(
                    section=_ADDED,
                    name=f"{label} at {concurrency}, {name}",
                    value=added,
                    unit="ms",
                    target=target,
                    baseline=baseline,
                    baseline_name="" if theirs is None else "LiteLLM",
                    note=f"engine alone {median(t.quantile_ms(q) for t in direct):.2f} ms",
                )
            )
    return rows


def _added_ms(turns: Sequence[Turn], direct: Sequence[Turn], q: float) -> float:
    return median(
        ours.quantile_ms(q) - alone.quantile_ms(q) for ours, alone in zip(turns, direct, strict=True)
    )


def _throughput(turns: dict[str, list[Turn]], concurrency: int) -> list[Row]:
    """How busy the measured process was says whether it, or the load generator, was the limit."""
    rows = []
    theirs = turns.get("LiteLLM")
    for name, ours in turns.items():
        if not name.startswith("ours") or concurrency == 1:
            continue
        busy = median(turn.cpu_seconds / turn.seconds for turn in ours)
        rows.append(
            Row(
                section=_COST,
                name=f"requests a second at {concurrency}, {name}",
                value=median(turn.a_second for turn in ours),
                unit="1/s",
                target=600 if name == "ours" else None,
                at_least=True,
                baseline=None if theirs is None else median(turn.a_second for turn in theirs),
                baseline_name="LiteLLM",
                note=f"gateway busy {busy:.0%}",
            )
        )
        rows.append(
            Row(
                section=_COST,
                name=f"CPU of one at {concurrency}, {name}",
                value=_cpu_us(ours),
                unit="µs",
                baseline=None if theirs is None else _cpu_us(theirs),
                baseline_name="LiteLLM",
                note=f"a whole core would do {1e6 / _cpu_us(ours):,.0f} a second",
            )
        )
    return rows


def _cpu_us(turns: Sequence[Turn]) -> float:
    return median(turn.cpu_seconds / len(turn.latencies) for turn in turns) * 1e6
