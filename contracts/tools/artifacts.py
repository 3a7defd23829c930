"""Writes the ABI and bytecode of what users deploy and call, from forge's output into the Python package.

artifacts.py OUT FOLDER            write
artifacts.py OUT FOLDER --check    exit 1 and name those that differ from what forge has just built
"""

import json
import sys
from pathlib import Path

CONTRACTS = ("Market", "Lens", "TestAsset")


def artifact(out: Path, name: str) -> str:
    """One entry of the ABI a line, so that a change of it reads as one."""
    built = json.loads((out / f"{name}.sol" / f"{name}.json").read_text())
    entries = ",\n    ".join(json.dumps(entry, sort_keys=True) for entry in built["abi"])
    return f'{{\n  "abi": [\n    {entries}\n  ],\n  "bytecode": "{built["bytecode"]["object"]}"\n}}\n'


def main(out: Path, folder: Path, *, check: bool) -> int:
    stale = []
    for name in CONTRACTS:
        path, text = folder / f"{name}.json", artifact(out, name)
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        if not check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"artifacts: stale: {', '.join(stale)}; run scripts/contracts build", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), check="--check" in sys.argv))
