"""Programs look for no garbage among what they import, and servers look as usual once they serve."""

import gc
import json
import subprocess
import sys

import pytest

from tallystick.starting import keep_what_is_made, look_seldom

PROGRAM = """
import gc, json, sys
from {module} import main

looks = []
gc.callbacks.append(lambda phase, about: looks.append(about["generation"]))
sys.argv[1:] = {arguments}
try:
    main()
except SystemExit:
    print(json.dumps([max(looks, default=0), len(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("tallystick_node.cli", ["check", "/nowhere"]),
        ("tallystick.wallet.cli", ["balance", "--wallet", "nobody", "--rpc", "http://127.0.0.1:9"]),
    ],
)
def test_no_old_objects_are_looked_at_while_modules_are_imported(module: str, arguments: list[str]) -> None:
    program = PROGRAM.format(module=module, arguments=arguments)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    oldest, modules = json.loads(ran.stdout.splitlines()[-1])
    assert oldest < 2
    assert modules > 300, "it came as far as its imports"


def test_a_server_looks_as_usual_at_what_it_makes_from_then_on() -> None:
    usual = gc.get_threshold()
    look_seldom()
    assert gc.get_threshold() > usual
    keep_what_is_made()
    try:
        assert gc.get_threshold() == usual
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
