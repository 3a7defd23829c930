"""What a streamed token costs the gateway's process: the difference between long streams and short ones."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from tallystick_node.local.bench.arms import Arm
from tallystick_node.local.bench.latency import Turn, stream_body, take_turn
from tallystick_node.local.bench.row import Row

_SHORT: Final = 8
_LONG: Final = 264
_STREAMS: Final = 16
_PARALLEL: Final = 8


async def measure_tokens(arms: Sequence[Arm], rounds: int, *, note: str) -> list[Row]:
    """`note`: how the engine lets its tokens go."""
    costs: dict[str, list[float]] = {arm.name: [] for arm in arms}
    for arm in arms:
        await _turn(arm, _SHORT)
    for _ in range(rounds):
        for arm in arms:
            short, long = await _turn(arm, _SHORT), await _turn(arm, _LONG)
            tokens = _STREAMS * (_LONG - _SHORT)
            costs[arm.name].append((long.cpu_seconds - short.cpu_seconds) / tokens * 1e6)
    theirs = costs.get("LiteLLM")
    return [
        Row(
            section="what a streamed token costs the gateway",
            name=f"CPU of one, {note}, {name}",
            value=median(ours),
            unit="µs",
            target=20 if name == "ours" else None,
            baseline=None if theirs is None else median(theirs),
            baseline_name="" if theirs is None else "LiteLLM",
        )
        for name, ours in costs.items()
        if name.startswith("ours")
    ]


async def _turn(arm: Arm, tokens: int) -> Turn:
    return await take_turn(arm, stream_body(tokens), requests=_STREAMS, concurrency=_PARALLEL)
