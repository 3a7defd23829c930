"""One folder for all that a person keeps: programs and `tally` find the same purse and the same market."""

from pathlib import Path

import tallystick
from tallystick.chain.deployment import Deployment
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address


def test_a_transport_lives_in_its_home(tmp_path: Path) -> None:
    one, two, three = (Address(bytes([i]) * 20) for i in (1, 2, 3))
    deployment = Deployment(chain_id=31337, market=one, asset=two, lens=three, block=0)
    deployment.save(tmp_path / "deployment.json")
    budget = tallystick.Budget(total=2, per_request=1)
    paying = tallystick.transport(Key.generate(), rpc="http://127.0.0.1:1", budget=budget, home=tmp_path)
    try:
        purse = paying.session.purse
        assert purse.folder.is_relative_to(tmp_path / "purse")
        assert purse.domain == deployment.domain
    finally:
        paying.close()
