"""Tries every decoder for as long as it is told:  python -m tests.fuzz.run SECONDS [DECODER…]

With atheris (`scripts/install fuzz`), which looks for new paths through our code; each decoder in a process
of its own. What breaks one is printed, and left in `.cache/fuzz` for the next run to try first.
"""

import subprocess
import sys
from pathlib import Path

FOUND = Path(".cache/fuzz")
MAX_LENGTH = 16_384
MEMORY_MB = 2_048
PATIENCE_S = 5


def main(seconds: float, names: list[str]) -> int:
    from tests.fuzz.decoders import DECODERS

    chosen = names or list(DECODERS)
    broken = []
    for name in chosen:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.run",
            "--one",
            name,
            str(max(1, round(seconds / len(chosen)))),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        count = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("Done ")), "")
        print(
            f"fuzz: {name}: {'broken' if done.returncode else count.removesuffix('(s)') or 'done'}",
            flush=True,
        )
        if done.returncode:
            broken.append(name)
            print("\n".join(done.stderr.splitlines()[-40:]), flush=True)
    return 1 if broken else 0


def one(name: str, seconds: str) -> None:
    """Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tallystick", "tallystick_node"]):
        from tests.fuzz.decoders import DECODERS

    decoder = DECODERS[name]
    folder = FOUND / "".join(letter if letter.isalnum() else "-" for letter in name)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(decoder.seeds):
        (folder / f"seed-{number}").write_bytes(seed)

    def tried(raw: bytes) -> None:
        try:
            decoder.read(raw)
        except decoder.raises:
            return

    for seed in decoder.seeds:
        tried(seed)  # What it imports when it first reads is not to be held against an input.
    options = (f"-max_total_time={seconds}", f"-timeout={PATIENCE_S}", f"-rss_limit_mb={MEMORY_MB}")
    options += (f"-max_len={MAX_LENGTH}", f"-artifact_prefix={folder}/broke-", "-print_final_stats=0")
    atheris.Setup([sys.argv[0], *options, str(folder)], tried)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3])
    else:
        sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
