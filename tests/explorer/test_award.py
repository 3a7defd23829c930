"""The index of what a duel moves says what the contract says."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.protocol.units import to_hex
from tallystick_node.explorer import schema

from .indexing import Tables, index

DOLLAR = 1_000_000


async def test_an_award_moves_one_stake_into_another(
    local_chain: Any, deployment: Deployment, staked_provider: Callable[..., Any], tmp_path: Path
) -> None:
    loser, winner = staked_provider(400 * DOLLAR), staked_provider(400 * DOLLAR)
    loser.market.request_unstake(10_000)
    rpc, arbiter = local_chain.rpc, to_hex(deployment.duels)
    call = contracts.market().call(deployment.market, "award", loser.address, winner.address, 50_000)
    rpc.call("anvil_setBalance", arbiter, hex(10**20))
    rpc.call("anvil_impersonateAccount", arbiter)
    rpc.call(
        "eth_sendTransaction", {"from": arbiter, "to": to_hex(deployment.market), "data": to_hex(call.data)}
    )
    rpc.call("anvil_stopImpersonatingAccount", arbiter)

    held = SimpleNamespace(chain=local_chain, deployment=deployment)
    await index(held, f"sqlite+aiosqlite:///{tmp_path}/explorer.db")  # type: ignore[arg-type]
    tables = Tables(tmp_path / "explorer.db")
    rows = tables.by(schema.providers, "address")
    for party, staked in ((loser, 400 * DOLLAR - 50_000), (winner, 400 * DOLLAR + 43_750)):
        stake = party.market.stake(party.address)
        row = rows[party.address]
        assert stake.staked == staked
        assert (row.staked, row.exiting, row.exits_at) == (stake.staked, stake.exiting, stake.exits_at)
    last = tables.rows(schema.blocks)[-1]
    assert last.held == last.owed == winner.market.asset_balance(deployment.market)
    (event,) = [row for row in tables.rows(schema.events) if row.name == "Awarded"]
    assert event.provider == loser.address
