"""The page that answers the known attacks is held to it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def told(root: Path) -> str:
    """What `scripts/attacks` says of the page under `root`."""
    done = subprocess.run([ROOT / "scripts" / "attacks", root], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr


def test_every_attack_is_answered() -> None:
    assert told(ROOT) == ""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("\n| 17 |", "\n| 170 |", "attack 17 has no row"),
        ("::test_a_close_is_no_voucher`", "::test_a_close_is_a_voucher`", "has no test_a_close_is_a_voucher"),
        ("test_signatures.py::", "test_signature.py::", "test_signature.py has no"),
        ("| `Forges` |", "| `Forgets` |", "the adversary Forges has no row"),
        ("| `Forges` |", "| `Forgets` |", "the adversary Forgets is in no test"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, old: str, new: str, problem: str) -> None:
    for folder in ("docs", "tests", "contracts/test"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("models", "__pycache__")
        )
    page = tmp_path / "docs" / "trust.md"
    text = page.read_text()
    assert old in text
    page.write_text(text.replace(old, new))
    assert problem in told(tmp_path)
