"""The protocol is functions over values: it reaches for nothing, and whoever makes it do so is stopped."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "ledger" / "tallystick" / "protocol"
MODULES = sorted(PROTOCOL.glob("*.py"))
ALLOWED = {
    *(
        "base64",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "itertools",
        "math",
        "operator",
        "re",
        "struct",
        "typing",
    ),
    *("coincurve", "orjson", "sha3"),
}
"""What computes and does nothing else."""
CONTRACT = "Decisions are pure"


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_imports_only_what_computes_and_its_siblings(path):
    foreign = {
        name
        for name in imported(path.read_text(encoding="utf-8"))
        if name.split(".")[0] not in ALLOWED and not name.startswith("tallystick.protocol.")
    }

    assert foreign == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_opens_prints_and_evaluates_nothing(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert called.isdisjoint({"open", "print", "input", "eval", "exec", "__import__"})


@pytest.fixture
def house(tmp_path):
    """A copy of the sources, with the repository's own contract on purity and nothing else."""
    for root in ("ledger", "node"):
        shutil.copytree(
            ROOT / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__", "artifacts", "*.json")
        )
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contract = next(item for item in settings["contracts"] if item["name"].startswith(CONTRACT))
    assert "tallystick.protocol" in contract["source_modules"]
    lines = [
        "[importlinter]",
        "root_packages =",
        *(f"    {name}" for name in settings["root_packages"]),
        "include_external_packages = True",
        "[importlinter:contract:purity]",
        f"name = {contract['name']}",
        f"type = {contract['type']}",
        "source_modules = tallystick.protocol",
        f"allow_indirect_imports = {contract['allow_indirect_imports']}",
        "forbidden_modules =",
        *(f"    {name}" for name in contract["forbidden_modules"]),
    ]
    (tmp_path / ".importlinter").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def lint(house):
    sources = os.pathsep.join(str(house / root) for root in ("ledger", "node"))
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--config", ".importlinter"]
    return subprocess.run(
        command,
        cwd=house,
        env={**os.environ, "PYTHONPATH": sources, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_house_as_it_stands_is_pure(house):
    result = lint(house)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "planted", ["import time", "from os import urandom", "import httpx2", "from asyncio import sleep"]
)
def test_a_planted_import_fails_the_check(house, planted):
    pricing = house / "ledger" / "tallystick" / "protocol" / "pricing.py"
    pricing.write_text(pricing.read_text(encoding="utf-8") + f"\n{planted}\n", encoding="utf-8")

    result = lint(house)

    assert result.returncode != 0
    assert f"tallystick.protocol.pricing -> {planted.split()[1]}" in result.stdout
