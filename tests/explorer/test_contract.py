"""The contract's page: what the chain has, compared with the build, on a real chain."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc
from tallystick.protocol.units import Address, to_hex
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.site import Site
from tests.explorer.conftest import asked


@pytest.fixture
def market(local_chain: LocalChain, deployment: Deployment) -> Market:
    return Market(local_chain.rpc, deployment)


@pytest.fixture
def over_chain(site: Site, local_chain: LocalChain, deployment: Deployment) -> Site:
    return replace(site, deployment=deployment, node=Node(Rpc(local_chain.rpc.url)))


def test_the_deployed_market_is_the_build(over_chain: Site, market: Market) -> None:
    with asked(over_chain) as client:
        every = client.get("/api/contract").json()["contracts"]
        page = client.get("/contract").text
    assert [one["name"] for one in every] == ["Market", "Duels", "Audits"]
    for one in every:
        assert one["deployed"]["same"]
        assert [value for value in one["deployed"]["values"] if not value["agrees"]] == []
    found = every[0]["deployed"]
    values = {value["name"]: value for value in found["values"]}
    assert all(value["agrees"] for value in values.values())
    assert values["ASSET"]["inCode"] == to_hex(market.deployment.asset)
    assert values["CHAIN_ID"]["inCode"] == str(market.deployment.chain_id)
    assert values["MINIMUM_STAKE"]["inCode"] == str(market.minimum_stake())
    assert values["ARBITER"]["answered"] == to_hex(market.deployment.duels or b"")
    assert page.count("are the build's") == 3
    assert "differs" not in page


def test_another_contract_is_said_to_be_one(over_chain: Site, market: Market) -> None:
    """The asset answers none of a market's questions."""
    elsewhere = replace(market.deployment, market=market.deployment.asset)
    with asked(replace(over_chain, deployment=elsewhere)) as client:
        found = client.get("/api/contract").json()
    assert [one["deployed"] for one in found["contracts"]] == [None] * 3
    assert "does not answer as a market does" in found["silent"]


def test_no_contract_is_said_to_be_none(over_chain: Site, market: Market) -> None:
    nowhere = replace(market.deployment, market=Address(b"\x77" * 20))
    with asked(replace(over_chain, deployment=nowhere)) as client:
        found = client.get("/api/contract").json()["contracts"][0]["deployed"]
        page = client.get("/contract").text
    assert (found["same"], found["codeBytes"], found["values"]) == (False, 0, [])
    assert "there is no code at this address" in page


def test_duels_that_are_others_are_said_to_be(over_chain: Site, market: Market) -> None:
    """The audits of another market, say: the code is the build, and what it was made with is not as here."""
    nowhere = replace(market.deployment, audits=Address(b"\x77" * 20))
    with asked(replace(over_chain, deployment=nowhere)) as client:
        _, duels, audits = client.get("/api/contract").json()["contracts"]
        page = client.get("/contract").text
    assert duels["deployed"]["same"]
    differs = [value["name"] for value in duels["deployed"]["values"] if not value["agrees"]]
    assert differs == ["AUDITS"]
    assert not audits["deployed"]["same"]
    assert "differs" in page


def test_the_page_shows_the_sources_where_no_node_answers(client: TestClient) -> None:
    page = client.get("/contract")
    assert page.status_code == 200
    assert "cannot be compared now" in page.text
    assert 'href="/contract/src/Market.sol"' in page.text


def test_every_source_shown_is_the_one_that_was_compiled(client: TestClient) -> None:
    files = client.get("/api/contract").json()["sources"]
    shown = [file for file in files if file["matches"] is not None]
    assert {"src/Market.sol", "src/Duels.sol", "src/Audits.sol", "src/libraries/Channel.sol"} <= {
        file["path"] for file in shown
    }
    assert all(file["matches"] for file in shown)
    assert "contract Market is MarketState" in client.get("/contract/src/Market.sol").text


@pytest.mark.parametrize("path", ["src/Nothing.sol", "../pyproject.toml", "src/../foundry.toml", "%2e%2e/x"])
def test_no_other_file_is_shown(client: TestClient, path: str) -> None:
    assert client.get(f"/contract/{path}").status_code == 404
