"""What tests of several folders share: how hard hypothesis looks, a local chain, a fresh market on it, and
parties with money.

What runs in CI is derandomised: the same examples every time, so that a red build is the change's own fault.
`scripts/test --long` looks further, and elsewhere every time (`--hypothesis-profile=long`).

One anvil serves a test session, started with the first test that asks; each test deploys its own market.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Market
from tallystick.chain.sender import Sender
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # The machines that run this are shared.
settings.register_profile(
    "steady", max_examples=100, derandomize=True, deadline=None, suppress_health_check=SLOW
)
settings.register_profile("long", max_examples=2_000, deadline=None, suppress_health_check=SLOW)
if settings.get_current_profile_name() != "long":
    settings.load_profile("steady")

DOLLAR = 1_000_000
"""Atoms."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody with a key, some gas, and the market in hand."""

    key: Key
    market: Market

    @property
    def address(self) -> Address:
        return self.key.address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the chain is end to end."""
    for item in items:
        if "local_chain" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def local_chain() -> Iterator[LocalChain]:
    with LocalChain() as chain:
        yield chain


@pytest.fixture
def deployment(local_chain: LocalChain) -> Deployment:
    """A fresh market, with the shortest notices and a minimum stake of 100 dollars."""
    return deploy(local_chain.rpc, local_chain.keys[0])


@pytest.fixture
def party(local_chain: LocalChain, deployment: Deployment) -> Callable[..., Party]:
    """`party(atoms)`: a new key that holds gas, and so many atoms of the asset."""

    def make(atoms: int = 0, key: Key | None = None) -> Party:
        key = key or Key.generate()
        local_chain.rpc.call("anvil_setBalance", "0x" + key.address.hex(), hex(10**20))
        market = Market(local_chain.rpc, deployment, Sender(local_chain.rpc, deployment.chain_id, key))
        if atoms:
            market.mint(Atoms(atoms))
        return Party(key, market)

    return make


@pytest.fixture
def funded_payer(party: Callable[..., Party]) -> Callable[..., Party]:
    """`funded_payer(deposit)`: a payer with so many atoms free in its account."""

    def make(deposit: int = 1_000 * DOLLAR, key: Key | None = None) -> Party:
        payer = party(deposit, key)
        payer.market.deposit(Atoms(deposit))
        return payer

    return make


@pytest.fixture
def staked_provider(party: Callable[..., Party]) -> Callable[..., Party]:
    """`staked_provider(stake)`: a provider with so many atoms at stake, its own address as receipt key."""

    def make(stake: int = 100 * DOLLAR, key: Key | None = None) -> Party:
        provider = party(stake, key)
        provider.market.add_stake(Atoms(stake))
        return provider

    return make


@pytest.fixture
def pass_time(local_chain: LocalChain) -> Callable[[int], None]:
    """`pass_time(seconds)`: the chain's clock, for every test after this one too."""

    def forward(seconds: int) -> None:
        local_chain.rpc.call("evm_increaseTime", seconds)
        local_chain.rpc.call("evm_mine")

    return forward
