"""Which engine stands behind a local provider, and how to start it. It knows no money."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from tallystick_node.local.process import Popen, Process, answers

REPOSITORY: Final = Path(__file__).resolve().parents[3]
MODEL: Final = REPOSITORY / "tests" / "models" / "good"
"""Five megabytes that answer toy questions: demo data, not part of the package."""

_READY_S: Final[Mapping[str, float]] = {"vllm": 600, "embedded": 240, "echo": 240}
"""The first start of vLLM after an install compiles its Python: 43 s were seen on two cores, and three
minutes on busy ones."""


class EngineKind(Enum):
    """What answers."""

    VLLM = "vllm"
    """The real server."""
    EMBEDDED = "embedded"
    """The shipped tiny model in a small process of ours."""
    ECHO = "echo"
    """No model at all: repeats the question, for load tests."""

    @property
    def model_name(self) -> str:
        """What requests ask for."""
        return "echo" if self is EngineKind.ECHO else "tiny-good"

    @property
    def context_length(self) -> int:
        """Tokens, as the engine serves it."""
        return 4096 if self is EngineKind.ECHO else 1024


def preferred_engine() -> EngineKind:
    """vLLM where it is installed, as `scripts/demo` sees to where there is a GPU, else embedded."""
    return EngineKind.VLLM if vllm_is_installed() else EngineKind.EMBEDDED


def vllm_is_installed() -> bool:
    return (REPOSITORY / ".venv-vllm" / "stamp").exists()


def start_engine(
    kind: EngineKind,
    *,
    port: int,
    log: Path,
    options: Sequence[str] = (),
    name: str = "",
    model: Path = MODEL,
    module: str = "",
    popen: Popen = subprocess.Popen,
) -> Process:
    """The engine's process, not yet ready: `wait_for_engine` is. `name`: of its model, where that is not
    the kind's own. `module`: what Python runs in place of the embedded engine, told the same. `popen`: what
    starts it, where Python runs it."""
    name = name or kind.model_name
    if kind is EngineKind.VLLM:
        popen = subprocess.Popen
        command: list[str | Path] = [REPOSITORY / "scripts" / "vllm", model, name, str(port)]
    else:
        module = module or f"tallystick_node.engine.{kind.value}"
        command = [sys.executable, "-m", module, "--port", str(port), "--served-model-name", name]
        if kind is EngineKind.EMBEDDED:
            command += ["--model", str(model)]
    return Process(f"engine on port {port}", [*command, *options], log=log, popen=popen)


def wait_for_engine(kind: EngineKind, engine: Process, *, port: int) -> None:
    """Returns once it serves its model; raises NotReady."""
    engine.wait_ready(answers(f"http://127.0.0.1:{port}/v1/models"), timeout_s=_READY_S[kind.value])
