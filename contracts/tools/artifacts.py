"""Writes the ABI and bytecode of what users deploy and call, from forge's output into the Python package; and
of what holds money what it takes to check that a contract on a chain is this one.

artifacts.py OUT FOLDER            write
artifacts.py OUT FOLDER --check    exit 1 and name those that differ from what forge has just built
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONTRACTS = ("Market", "Duels", "Audits", "Lens", "TestAsset")
CHECKED = ("Market", "Duels", "Audits")
IMMUTABLE = re.compile(r"^ +[^/\n]*\bimmutable (\w+)(?: =.*)?;$", re.MULTILINE)


def artifact(out: Path, name: str) -> str:
    """One entry of the ABI a line, so that a change of it reads as one."""
    built = json.loads((out / f"{name}.sol" / f"{name}.json").read_text())
    parts = {
        "abi": _lines("[]", (json.dumps(entry, sort_keys=True) for entry in built["abi"])),
        "bytecode": json.dumps(built["bytecode"]["object"]),
    }
    if name in CHECKED:
        parts |= _checks(built, out.parent)
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {part}" for name, part in parts.items()) + "\n}\n"


def _checks(built: dict[str, Any], root: Path) -> dict[str, str]:
    """Where in the bytecode the part is that stays on the chain, where in that part the constructor's values
    stand, and what it was compiled from, with the hash of every source."""
    deployed, metadata = built["deployedBytecode"], built["metadata"]
    sources = {path: source["keccak256"] for path, source in sorted(metadata["sources"].items())}
    return {
        "deployed": json.dumps(_place(built["bytecode"]["object"][2:], deployed["object"][2:])),
        "immutables": _members(_immutables(deployed["immutableReferences"], root, sources)),
        "compiler": json.dumps(metadata["compiler"]["version"]),
        "settings": json.dumps(metadata["settings"], sort_keys=True),
        "sources": _members(sources),
    }


def _place(bytecode: str, deployed: str) -> dict[str, int]:
    """Where in the bytecode, which makes the contract, the part is that stays: bytes, not hex digits."""
    start = bytecode.index(deployed)
    return {"start": start // 2, "length": len(deployed) // 2}


def _immutables(references: dict[str, Any], root: Path, sources: Iterable[str]) -> dict[str, list[int]]:
    """Where in the deployed part the 32 bytes of each stand. The compiler numbers them in the order of their
    declaration and says no name: the names are those of the one source that declares so many."""
    declared = [names for path in sources if (names := IMMUTABLE.findall((root / path).read_text()))]
    found = [references[number] for number in sorted(references, key=int)]
    assert all(place["length"] == 32 for places in found for place in places)
    (names,) = [names for names in declared if len(names) == len(found)]
    return {
        name: sorted(place["start"] for place in places) for name, places in zip(names, found, strict=True)
    }


def _lines(brackets: str, lines: Iterable[str]) -> str:
    return f"{brackets[0]}\n    " + ",\n    ".join(lines) + f"\n  {brackets[1]}"


def _members(values: dict[str, Any]) -> str:
    return _lines("{}", (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()))


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
