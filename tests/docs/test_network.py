"""What docs/network.md shows of a configuration is one."""

import re
from pathlib import Path

from tallystick_node.config import Config
from tallystick_node.gateway.serve import claims_of

PAGE = Path(__file__).parents[2] / "docs" / "network.md"
REST = (
    'rpc = "http://127.0.0.1:8545"\ndeployment = "d.json"\n[keys]\nreceipt = "r.json"\npassword_file = "p"\n'
)


def test_every_block_is_taken(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.S)
    assert blocks
    for block in blocks:
        engine = "" if "[engine]" in block else '[engine]\nurl = "http://127.0.0.1:8000"\n'
        (tmp_path / "node.toml").write_text(REST + engine + block)
        claims = claims_of(Config.load(tmp_path / "node.toml").engine)
        if "[engine.speed]" in block:
            assert claims.speed is not None
            assert claims.speed.step_s(sequences=1, context=1000) < 0.03
            assert claims.parameters.bit_count() == 5
