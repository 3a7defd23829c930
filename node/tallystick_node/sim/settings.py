"""The settings of the WWW.Serve paper (arXiv 2603.20661), as data: machines, schedules, frequencies, results.

What the paper does not say (overheads, interconnect, the part of its bandwidth that a card reaches) is chosen
here once, within what is published and so that S1 and S3 without any dispatch come near the reported figures;
all else follows. No constant differs between policies. See docs/simulator.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Tokens
from tallystick_node.network.policies import Paper
from tallystick_node.sim.hardware import Hardware
from tallystick_node.sim.nodes import MINIMUM_STAKE
from tallystick_node.sim.workload import Lengths, Stretch

LENGTHS: Final = Lengths(
    input_median=100,
    input_sigma=0.6,
    input_most=2_000,
    output_median=5_000,
    output_sigma=0.8,
    output_most=8_192,
)
"""Problems of OpenR1-Math-220k, and answers of models that think, cut at the paper's `max_tokens`."""

SLOTS: Final = 256
"""Sequences at a time: vLLM's own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What of a model decides how fast it is."""

    weights: float
    """Bytes."""
    parameters: float
    """Without the embedding."""
    kv: int
    """Bytes that a token of context takes."""


MODELS: Final[Mapping[str, Model]] = {
    "Qwen3-32B": Model(weights=65.5e9, parameters=31.2e9, kv=262_144),
    "Qwen3-8B": Model(weights=16.4e9, parameters=6.95e9, kv=147_456),
    "Qwen3-4B": Model(weights=8.0e9, parameters=3.6e9, kv=147_456),
    "DeepSeek-R1-Distill-Qwen-7B": Model(weights=15.2e9, parameters=6.53e9, kv=57_344),
    "Llama-3.1-8B": Model(weights=16.1e9, parameters=6.98e9, kv=131_072),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """As its maker says."""

    bandwidth: float
    """Bytes a second."""
    flops: float
    """Dense bf16, a second."""
    count: int = 1
    """Side by side, each with a part of every layer."""


GPUS: Final[Mapping[str, Gpu]] = {
    "4×A100": Gpu(bandwidth=1_555e9, flops=312e12, count=4),
    "L40S": Gpu(bandwidth=864e9, flops=362e12),
    "RTX 6000 Ada": Gpu(bandwidth=960e9, flops=364e12),
    "RTX 4090": Gpu(bandwidth=1_008e9, flops=165e12),
    "RTX 3090": Gpu(bandwidth=936e9, flops=71e12),
}

CAPACITY: Final[Mapping[tuple[str, str], int]] = {
    ("Qwen3-32B", "4×A100"): 285_000,
    ("Qwen3-8B", "L40S"): 185_000,
    ("Qwen3-8B", "RTX 6000 Ada"): 185_000,
    ("Qwen3-4B", "RTX 4090"): 80_000,
    ("Qwen3-4B", "RTX 3090"): 80_000,
    ("DeepSeek-R1-Distill-Qwen-7B", "RTX 4090"): 80_000,
    ("DeepSeek-R1-Distill-Qwen-7B", "RTX 3090"): 80_000,
    ("Llama-3.1-8B", "L40S"): 200_000,
    ("Llama-3.1-8B", "RTX 6000 Ada"): 200_000,
}
"""Tokens of context that fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Of the paper's machines, what it does not say. docs/simulator.md has what was seen of each, and
    `tally-node sim paper --only sensitivity` what hangs on it."""

    memory: float = 0.8
    """Part of the bandwidth that reading weights and context reaches."""
    compute: float = 0.65
    """Part of the dense bf16, as tallystick.protocol.speed's fits of vLLM and Vidur tables have it."""
    vllm: float = 1.0
    """Times `VLLM`."""
    reduction_ms: float = 0.060
    """Latency of one reduction among four cards."""
    pcie: float = 13e9
    """Bytes a second that such reductions reach."""


CHOSEN: Final = Assumed()
_CHUNK: Final = 2_048


@dataclass(frozen=True, slots=True)
class Overhead:
    """Milliseconds of a step in which the GPU waits for its host."""

    step_ms: float
    sequence_ms: float


SGLANG: Final = Overhead(1.0, 0.0)
"""It prepares a step while the one before runs."""
VLLM: Final = Overhead(5.0, 0.055)
"""Half of what vLLM's makers found for an 8B model when they set out to lower it, before release 0.6."""

# 4×A100 share each layer: two reductions of 64 layers each, over PCIe, of a host whose cards have no NVLink.
_REDUCTIONS: Final = 2 * 64
_REDUCED_BYTES: Final = 1.5 * 2 * 5_120
"""That a card sends of each sequence: a ring's 2·(4 − 1)/4 of a bf16 vector."""


def machine(model: str, gpu: str, overhead: Overhead = SGLANG, assumed: Assumed = CHOSEN) -> Hardware:
    """The engine that the paper ran there."""
    its, card = MODELS[model], GPUS[gpu]
    memory = assumed.memory * card.bandwidth * card.count
    shared = card.count > 1
    return Hardware(
        name=f"{model} on {gpu}",
        speed=Speed(
            fixed=_ps(overhead.step_ms + shared * _REDUCTIONS * assumed.reduction_ms),
            sequence=_ps(overhead.sequence_ms + shared * _REDUCTIONS * 1e3 * _REDUCED_BYTES / assumed.pcie),
            weights=_ps(1e3 * its.weights / memory),
            token=_ps(1e3 * 2 * its.parameters / (assumed.compute * card.flops * card.count)),
            context=_ps(1e3 * its.kv / memory),
            capacity=Tokens(CAPACITY[model, gpu]),
            chunk=Tokens(_CHUNK),
        ),
        slots=SLOTS,
    )


def _ps(milliseconds: float) -> int:
    return round(milliseconds * 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Seconds of a whole answer that the paper reports, in the mean of one run."""

    single: float
    centralised: float
    paper: float

    @property
    def by_arm(self) -> Mapping[str, float]:
        return {"single": self.single, "centralised": self.centralised, "paper": self.paper}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Machines, and what their users ask of them."""

    name: str
    machines: Sequence[Hardware]
    schedule: Sequence[Sequence[Stretch]]
    """Of each machine's own users."""
    seconds: float
    """Within which requests come."""
    reported: Means | None = None


_S1_SCHEDULE: Final = (
    (Stretch(4, 0, 300), Stretch(20, 300, 750)),
    (Stretch(20, 0, 750),),
    (Stretch(20, 0, 750),),
    (Stretch(20, 0, 450), Stretch(4, 450, 750)),
)
_S3_SCHEDULE: Final = (
    (Stretch(2, 0, 300), Stretch(6, 300, 750)),
    (Stretch(15, 0, 750),),
    (Stretch(30, 0, 750),),
    (Stretch(15, 0, 450), Stretch(5, 450, 750)),
)


def settings(assumed: Assumed = CHOSEN) -> Mapping[str, Setting]:
    """S1 to S4."""
    host = Overhead(assumed.vllm * VLLM.step_ms, assumed.vllm * VLLM.sequence_ms)
    ada = machine("Qwen3-8B", "RTX 6000 Ada", assumed=assumed)
    qwen_3090 = machine("Qwen3-4B", "RTX 3090", assumed=assumed)
    qwen_4090 = machine("Qwen3-4B", "RTX 4090", assumed=assumed)
    deepseek_3090 = machine("DeepSeek-R1-Distill-Qwen-7B", "RTX 3090", host, assumed)
    deepseek_4090 = machine("DeepSeek-R1-Distill-Qwen-7B", "RTX 4090", host, assumed)
    llama_l40s = machine("Llama-3.1-8B", "L40S", host, assumed)
    llama_ada = machine("Llama-3.1-8B", "RTX 6000 Ada", host, assumed)
    large = machine("Qwen3-32B", "4×A100", assumed=assumed)
    l40s = machine("Qwen3-8B", "L40S", assumed=assumed)
    # Of S2, which node has which machine, and its schedule, the paper does not say; of S4, which model goes
    # with which card, and the schedule.
    four = (llama_l40s, deepseek_3090, qwen_4090, llama_ada, llama_l40s, deepseek_4090, qwen_3090, llama_ada)
    made = (
        _setting("S1", (ada,) * 4, _S1_SCHEDULE, Means(single=200.380, centralised=188.419, paper=184.400)),
        _setting(
            "S2",
            (ada, ada, qwen_3090, qwen_3090),
            _S1_SCHEDULE,
            Means(single=226.578, centralised=168.221, paper=168.485),
        ),
        _setting(
            "S3",
            (large, l40s, deepseek_3090, llama_ada),
            _S3_SCHEDULE,
            Means(single=237.925, centralised=206.123, paper=198.306),
        ),
        _setting("S4", four, _S3_SCHEDULE * 2, None),
    )
    return {its.name: its for its in made}


def _setting(
    name: str,
    machines: Sequence[Hardware],
    schedule: Sequence[Sequence[Stretch]],
    reported: Means | None,
) -> Setting:
    return Setting(name=name, machines=machines, schedule=schedule, seconds=750, reported=reported)


SETTINGS: Final = settings()

FOLLOWING: Final = Paper(stake_unit=100 * MINIMUM_STAKE)
"""The paper's provider: its stake follows its load, from none to four credits. Beside credits as large as
these the least stake of a market is as good as none."""
FOLLOWED_EVERY_S: Final = 3.0
"""As it polls its engine."""

CHURN_SECONDS: Final = 1_200.0
CHURN_GAP_S: Final = 4.0
CHURN_AT: Final = (400.0, 800.0)
"""When the third and the fourth of four nodes come; or when the fourth and the third of them go."""

OFFLOAD_GAP_S: Final = 4.0
OFFLOAD_REQUESTS: Final = 200
"""Of the one hot node."""
FREQUENCIES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Offload and accept frequencies of the sweeps."""
STAKES: Final = (1, 2, 4, 8)
"""The first node's, in units of each other node's, in the sweep of stakes."""
DUEL_RATES: Final = (0.0, 0.05, 0.10, 0.25)
JUDGES: Final = 2
JUDGEMENT: Final = 256
"""Tokens of a judge's answer, of which it reads both answers: the paper's judges do not think at length."""

THRESHOLDS_S: Final = tuple(range(200, 401, 10))
"""Of the whole answer: the curve of requests that were done in time."""
