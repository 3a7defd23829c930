"""`scripts/calibrate`: the thresholds of audits of one model, from what real engines do."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tallystick_node.local.calibrate import asking
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.local.calibrate.report import HONEST, Measured, calibrated
from tallystick_node.local.engines import REPOSITORY
from tallystick_node.local.process import Process, answers, free_ports

ABOUT = """Make the scales by which audits of a model are weighed, and say what they catch.

Answers of an honest provider (the model in its own precision) and of cheats (rounded copies, worse models)
are held against a reference that computes in float32, with real vLLM, one server at a time. What was measured
is kept in the folder, and not measured again."""
MAX_TOKENS: Final = 32
_READY_S: Final = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/calibrate", description=ABOUT)
    parser.add_argument("--model", type=Path, default=REPOSITORY / "tests" / "models" / "good")
    parser.add_argument("--name", default="tiny-good", help="as offers name the model")
    parser.add_argument("--dtype", default="float16", help="the precision that its offers promise")
    parser.add_argument(
        "--worse", action="append", default=[], metavar="NAME=FOLDER", help="another model, sold as this one"
    )
    parser.add_argument("--answers", type=int, default=10_000, help="of the honest provider")
    parser.add_argument("--cheats", type=int, default=400, help="of each cheat")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".cache" / "calibrate")
    parser.add_argument("--sampler", default="vllm-0.32-cpu")
    parser.add_argument("--out", type=Path, help="file of scales; printed where none is named")
    parser.add_argument("--json", type=Path, help="file of figures")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    measured = measure(arguments)
    scales, figures = calibrated(
        measured,
        model=arguments.name,
        precision=arguments.dtype,
        sampler=arguments.sampler,
        ends=ends_of(arguments.model),
    )
    text = json.dumps(scales, indent=1) + "\n"
    if arguments.out is None:
        sys.stdout.write(text)
    else:
        arguments.out.write_text(text)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    json.dump(figures, sys.stderr, indent=1)
    return 0 if figures["honestStruck"] == 0 else 1


def measure(arguments: argparse.Namespace) -> Measured:
    """Distances by grade; figures of cost."""
    folder: Path = arguments.folder
    grades = dict(served(arguments))
    counts = dict.fromkeys(grades, arguments.cheats) | {HONEST: arguments.answers}
    texts = [path.read_text() for path in sorted((REPOSITORY / "docs").glob("*.md"))]
    asked = list(asking.questions(texts, max(counts.values())))
    bodies = [asking.body(question, i, max_tokens=MAX_TOKENS) for i, question in enumerate(asked)]
    for grade, model in grades.items():
        wanted, file = bodies[: counts[grade]], folder / f"{grade}.answers"
        if len(asking.lines(file)) < len(wanted):
            with server(model, arguments.dtype, folder) as url:
                asyncio.run(asking.answers(url, wanted, file))
    if not (folder / "cost.json").exists():
        with server(arguments.model, arguments.dtype, folder) as url:
            (folder / "cost.json").write_text(json.dumps(cost(url, bodies)))
    said = {grade: asking.lines(folder / f"{grade}.answers")[: counts[grade]] for grade in grades}
    said["cut"] = cut(said[HONEST], arguments.cheats, ends_of(arguments.model)[0])
    if any(len(asking.lines(folder / f"{grade}.distances")) < len(said[grade]) for grade in said):
        with server(arguments.model, "float32", folder) as url:
            for grade in sorted(said, key=lambda grade: len(said[grade])):
                asyncio.run(asking.distances(url, said[grade], folder / f"{grade}.distances"))
    found = {grade: asking.lines(folder / f"{grade}.distances")[: len(said[grade])] for grade in said}
    costs: dict[str, float] = json.loads((folder / "cost.json").read_text())
    return Measured(said=said, distances=found, cost=costs)


def cut(honest: list[asking.Json], count: int, end: int) -> list[asking.Json]:
    """Honest answers that are given to their middle only, and closed: what a provider saves half of the work
    by. Of log-probabilities it says what the model does."""
    long = [answer for answer in honest if len(answer["ids"]) >= 8][:count]
    halves = [answer["ids"][: len(answer["ids"]) // 2] for answer in long]
    return [
        answer | {"ids": [*half, end], "logprobs": [], "finish": "stop"}
        for answer, half in zip(long, halves, strict=True)
    ]


def served(arguments: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Grades, and the models that stand behind them."""
    yield HONEST, arguments.model
    yield "int8", quantised(arguments.model, arguments.folder / "int8", bits=8)
    yield "int4", quantised(arguments.model, arguments.folder / "int4", bits=4, group=32)
    for pair in arguments.worse:
        name, _, folder = pair.partition("=")
        yield name, Path(folder)


def cost(url: str, bodies: list[asking.Json]) -> Mapping[str, float]:
    """Output tokens a second without log-probabilities and with them, in turns."""
    speeds: dict[str, list[float]] = {"plain": [], "logprobs": []}
    for _ in range(3):
        speeds["plain"].append(asyncio.run(asking.speed(url, bodies[:192])))
        speeds["logprobs"].append(asyncio.run(asking.speed(url, bodies[:192], logprobs=True)))
    return {name: sorted(values)[len(values) // 2] for name, values in speeds.items()}


def ends_of(model: Path) -> list[int]:
    ends = json.loads((model / "generation_config.json").read_text())["eos_token_id"]
    return ends if isinstance(ends, list) else [ends]


@contextmanager
def server(model: Path, dtype: str, folder: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    command: list[str | Path] = [REPOSITORY / "scripts" / "vllm", model, "model", str(port), "--dtype", dtype]
    command += ["--max-num-seqs", str(asking.AT_ONCE), "--max-num-batched-tokens", "4096"]
    with Process(f"vLLM of {model.name}", command, log=folder / "vllm.log") as process:
        process.wait_ready(answers(f"http://127.0.0.1:{port}/health"), timeout_s=_READY_S)
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    sys.exit(main())
