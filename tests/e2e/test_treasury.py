"""A real gateway on a real chain moves what its provider earned: to the account that buys, and to stake."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

import tallystick
from tallystick.chain.keys import Keystore
from tallystick.chain.local import MINIMUM_STAKE
from tallystick.client.transport import BASE_URL
from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import GAS, LocalMarket, Make
from tests.warm import Warm

pytestmark = pytest.mark.e2e

FUNDS, KEPT, MORE = Atoms(390_000), Atoms(100_000), Atoms(400_000)
"""In the wallet; to be kept on the account; to be staked above the minimum: only earnings make it enough."""
SETTINGS = f"""
[settle]
amount = 1
interval_s = 1

[users]
keys_env = "HOME_USERS"

[offload]
total = 10_000_000
per_request = 50_000
deposit = {KEPT}

[policy]
name = "home_policy.Stakes"
path = "{{folder}}"
stake_every_s = 1
options = {{{{ wanted = {MINIMUM_STAKE + MORE} }}}}
"""
POLICY = """
from dataclasses import dataclass

from tallystick.protocol.units import Atoms
from tallystick_node.network.policies import ByLoad


@dataclass(frozen=True, kw_only=True)
class Stakes(ByLoad):
    wanted: int

    def stake(self, state):
        return None if state.staked >= self.wanted else Atoms(self.wanted)
"""


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_is_earned_is_staked_and_spent_and_every_atom_is_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Warm
) -> None:
    monkeypatch.setenv("HOME_USERS", "tk-of-somebody-at-home")
    (tmp_path / "home_policy.py").write_text(POLICY)
    home = Make(
        name="home",
        later=True,
        input_price=1_000,
        output_price=10**9,
        settings=SETTINGS.format(folder=tmp_path),
    )
    with LocalMarket(
        folder=tmp_path / "market",
        engine=EngineKind.ECHO,
        makes=(home,),
        credit=Atoms(10**6),
        popen=warm.popen,
    ) as market:
        (provider,) = market.providers
        node = provider.config.parent
        Keystore(node, scrypt_n=1 << 10).save("wallet", provider.key, market.password)
        wallet = Keystore(node).find("wallet").path
        text = provider.config.read_text().replace("[keys]\n", f'[keys]\nwallet = "{wallet}"\n')
        provider.config.write_text(text)
        market.chain.rpc.call("anvil_setBalance", to_hex(provider.address), hex(GAS))
        chain = market.fund(provider.key, FUNDS)
        market.start_gateway(provider)

        def stake() -> int:
            return chain.stake(provider.address).staked - MINIMUM_STAKE

        def account() -> int:
            return chain.account(provider.address).free

        until(lambda: stake() + account() == FUNDS)  # All that the wallet held; it is not enough.
        transport = tallystick.transport(
            market.payer,
            rpc=market.chain.url,
            deployment=market.deployment,
            home=market.home,
            budget=tallystick.Budget(total=1_000_000, per_request=200_000),
        )
        words = " ".join(f"w{number}" for number in range(60))
        body = {"model": "echo", "messages": [{"role": "user", "content": words}], "max_tokens": 60}
        with httpx2.Client(transport=transport, timeout=60) as payer:
            for _ in range(8):  # Until its grant is mined, little is served on it.
                until(lambda: payer.post(f"{BASE_URL}/chat/completions", json=body).status_code == 200)
            spent = transport.spent
        assert spent > MORE
        until(lambda: stake() == MORE and account() > KEPT // 2)
        market.stop_gateways()
        left = chain.asset_balance(provider.address) + chain.balance_of(provider.address)
        assert stake() + account() + left == FUNDS + spent
