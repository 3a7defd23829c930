"""A command that is interrupted ends in one line, whatever it is at, and leaves no file half written."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallystick_node.sim.outfile import require_writable, written

CORES = len(os.sched_getaffinity(0))
TOLD = b"tally-node: interrupted\n"
IMPORTED = b"import time:"
ENDLESS = ("scale", "--requests", "1000000000")
SPREAD = ("paper", "--only", "S1", "--seeds", "1000")


@contextmanager
def running(folder: Path, arguments: tuple[str, ...], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`tally-node sim`, which is to write two files and a folder, of which one file is there before."""
    (folder / "figures.json").write_text("{}")
    files = ("--json", str(folder / "figures.json"), "--out", str(folder / "charts"))
    command = [sys.executable, *options, "-m", "tallystick_node", "sim", *arguments, *files]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        with process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def left(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "module",
    ["typer.core", "tallystick_node.sim.cli", "tallystick_node.sim.world", "tallystick_node.sim.scale_parts"],
)
def test_whatever_it_is_at_one_line_says_so(tmp_path: Path, module: str) -> None:
    """From its first import on, of which Python tells."""
    with running(tmp_path, ENDLESS, "-X", "importtime") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(IMPORTED) and line.endswith(module.encode() + b"\n"):
                break
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=300)
    lines = [line for line in complained.splitlines(keepends=True) if not line.startswith(IMPORTED)]
    assert (process.returncode, said, lines) == (130, b"", [TOLD])
    assert left(tmp_path) == {"figures.json": "{}"}


def children(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@pytest.mark.skipif(CORES == 1, reason="one core: nothing is spread over processes")
def test_of_all_processes_that_a_terminal_interrupts_one_says_so(tmp_path: Path) -> None:
    with running(tmp_path, SPREAD) as process:
        while len(children(process)) < CORES:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        said, complained = process.communicate(timeout=300)  # Until none of them could say any more.
    assert (process.returncode, said, complained) == (130, b"", TOLD)
    assert left(tmp_path) == {"figures.json": "{}"}


@pytest.mark.skipif(CORES == 1, reason="one core: nothing is spread over processes")
def test_no_process_outlives_the_one_that_wants_its_work(tmp_path: Path) -> None:
    """However that ends: whoever reads what they say reads to its end."""
    with running(tmp_path, SPREAD) as process:
        while len(children(process)) < CORES:
            assert process.poll() is None
        process.kill()
        process.communicate(timeout=300)


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"

    def write_half() -> None:
        with written(file) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert left(tmp_path) == {}
    file.write_text("{}")
    file.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(file)
    with written(link) as part:
        part.write_text("whole")
        assert file.read_text() == "{}"
    assert (file.read_text(), file.stat().st_mode & 0o777, link.is_symlink()) == ("whole", 0o640, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "link.json"]


def test_a_device_takes_what_comes(tmp_path: Path) -> None:
    null = Path(os.devnull)
    require_writable(null)
    with written(null) as part:
        assert part == null
