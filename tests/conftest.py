"""What tests of several folders share: how hard hypothesis looks, a local chain, a fresh market on it, and
parties with money.

What runs in CI is derandomised: the same examples every time, so that a red build is the change's own fault.
`scripts/test --long` looks further, and elsewhere every time (`--hypothesis-profile=long`).

What is collected stays for the whole session: nobody looks for garbage in it.

One anvil serves a test session, started with the first test that asks; each test deploys its own market.

Where several workers share the tests, the longest files begin first, beside many short ones: else the run
ends with one of them, for which every other worker waits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Market
from tallystick.chain.sender import Sender
from tallystick.protocol.signed import Key
from tallystick.protocol.units import Address, Atoms
from tallystick.starting import keep_what_is_made, look_seldom
from tests.warm import Warm

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]  # The machines that run this are shared.
settings.register_profile(
    "steady", max_examples=100, derandomize=True, deadline=None, suppress_health_check=SLOW
)
settings.register_profile("long", max_examples=2_000, deadline=None, suppress_health_check=SLOW)
if settings.get_current_profile_name() != "long":
    settings.load_profile("steady")

TESTS = Path(__file__).parent
LONG = (
    *("e2e/test_network.py", "e2e/test_quality.py", "explorer/test_exactness.py", "e2e/test_demo.py"),
    *("engine/test_vllm.py", "e2e/test_reaudits.py", "gateway/test_chain_process.py", "e2e/test_audits.py"),
    *("e2e/test_origin.py", "e2e/test_auditing.py", "e2e/test_sigkill.py", "e2e/test_gossip_bench.py"),
    *("e2e/test_duels.py", "e2e/test_bench.py", "e2e/test_payer_on_the_network.py", "e2e/test_offloading.py"),
    *("crash/test_points.py", "e2e/test_treasury.py", "e2e/test_index_bench.py", "e2e/test_reorg.py"),
)
"""Files that take longer than their number of tests tells, the longest first."""

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


look_seldom()


def pytest_collection_finish() -> None:
    keep_what_is_made()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs the chain is end to end."""
    for item in items:
        if "local_chain" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Files of `LONG` in its order, each followed by one of the others: processes that wait for one another
    beside what computes."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    long = [files.pop(path) for name in LONG if (path := TESTS / name) in files]
    short = sorted(files.values(), key=lambda found: -len(found))
    return [item for pair in zip_longest(long, short, fillvalue=()) for file in pair for item in file]


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """What tests that start many processes start them with."""
    with Warm() as warm:
        yield warm


@pytest.fixture(scope="session")
def local_chain() -> Iterator[LocalChain]:
    with LocalChain() as chain:
        yield chain


@dataclass(frozen=True, slots=True)
class Parties:
    """Who comes to a market."""

    chain: LocalChain
    deployment: Deployment

    def party(self, atoms: int = 0, key: Key | None = None) -> Party:
        """A new key that holds gas, and so many atoms of the asset."""
        key, rpc = key or Key.generate(), self.chain.rpc
        rpc.call("anvil_setBalance", "0x" + key.address.hex(), hex(10**20))
        market = Market(rpc, self.deployment, Sender(rpc, self.deployment.chain_id, key))
        if atoms:
            market.mint(Atoms(atoms))
        return Party(key, market)

    def funded_payer(self, deposit: int = 1_000 * DOLLAR, key: Key | None = None) -> Party:
        """With so many atoms free in its account."""
        payer = self.party(deposit, key)
        payer.market.deposit(Atoms(deposit))
        return payer

    def staked_provider(self, stake: int = 100 * DOLLAR, key: Key | None = None) -> Party:
        """With so many atoms at stake, its own address as receipt key."""
        provider = self.party(stake, key)
        provider.market.add_stake(Atoms(stake))
        return provider

    def pass_time(self, seconds: int) -> None:
        """By the chain's clock, for every test after this one too. So many after the newest block: the
        machine's own clock, by which anvil goes otherwise, may be set back at any time."""
        newest = self.chain.rpc.call("eth_getBlockByNumber", "latest", False)
        self.chain.rpc.call("evm_setNextBlockTimestamp", int(newest["timestamp"], 16) + seconds)
        self.chain.rpc.call("evm_mine")


@pytest.fixture
def deployment(local_chain: LocalChain) -> Iterator[Deployment]:
    """A fresh market, with the shortest notices and a minimum stake of 100 dollars. What happens to it is
    taken back after the test: anvil keeps a state a block, and each holds all that was ever deployed."""
    before = local_chain.rpc.call("evm_snapshot")
    yield deploy(local_chain.rpc, local_chain.keys[0])
    local_chain.rpc.call("evm_revert", before)


@pytest.fixture
def parties(local_chain: LocalChain, deployment: Deployment) -> Parties:
    return Parties(local_chain, deployment)


@pytest.fixture
def party(parties: Parties) -> Callable[..., Party]:
    return parties.party


@pytest.fixture
def funded_payer(parties: Parties) -> Callable[..., Party]:
    return parties.funded_payer


@pytest.fixture
def staked_provider(parties: Parties) -> Callable[..., Party]:
    return parties.staked_provider


@pytest.fixture
def pass_time(parties: Parties) -> Callable[[int], None]:
    return parties.pass_time
