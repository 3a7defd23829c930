"""Whatever a chain does and whichever machine answers, a follower's transcript is a fresh follower's."""

import contextlib
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallystick.chain.errors import ChainError
from tests.chain.fake_node import Balanced, FakeNode, follow

AMOUNTS = st.lists(st.integers(1, 9), max_size=3)


class Following(RuleBasedStateMachine):
    @initialize(confirmations=st.sampled_from([0, 1, 12]), witnessed=st.booleans(), seed=st.integers(0, 999))
    def start(self, confirmations: int, witnessed: bool, seed: int) -> None:
        self.chain = FakeNode()
        self.confirmations = confirmations
        self.machines = [self.chain, FakeNode(self.chain.blocks), FakeNode(self.chain.blocks)]
        witnesses = [FakeNode(self.chain.blocks)] if witnessed else []
        self.caller = follow(
            Balanced(self.machines, Random(seed)), confirmations=confirmations, witnesses=witnesses
        )

    @rule(blocks=st.lists(AMOUNTS, min_size=1, max_size=5))
    def mine(self, blocks: list[list[int]]) -> None:
        for amounts in blocks:
            self.chain.mine(*amounts)

    @rule(blocks=st.integers(20, 90), amount=st.integers(1, 9))
    def mine_many(self, blocks: int, amount: int) -> None:
        """More than are kept, at times."""
        for _ in range(blocks):
            self.chain.mine(amount)

    @rule(depth=st.integers(1, 20), blocks=st.lists(AMOUNTS, max_size=22))
    def take_back(self, depth: int, blocks: list[list[int]]) -> None:
        self.chain.reorg(depth, *blocks)

    @rule(which=st.integers(0, 2), lag=st.integers(0, 4))
    def lag(self, which: int, lag: int) -> None:
        self.machines[which].lag = lag

    @rule(which=st.integers(0, 2), gone=st.booleans())
    def leave(self, which: int, gone: bool) -> None:
        self.machines[which].gone = gone

    @rule(times=st.integers(1, 4))
    def poll(self, times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(ChainError):
                self.caller.poll()

    @rule()
    def catch_up(self) -> None:
        """Once all machines are there, it takes as many polls as a shorter chain is doubted for."""
        for machine in self.machines:
            machine.lag, machine.gone = 0, False
        self.chain.mine(1)
        for _ in range(11):
            self.caller.poll()
        top = self.caller.poll().head.number
        fresh = follow(self.chain, confirmations=len(self.chain.blocks) - 1 - top)
        assert fresh.poll().head.number == top >= len(self.chain.blocks) - 1 - self.confirmations
        assert self.caller.entries == fresh.entries

    @invariant()
    def blocks_are_in_order(self) -> None:
        if hasattr(self, "caller"):
            numbers = [block for block, _ in self.caller.entries]
            assert numbers == sorted(numbers)


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
