"""The channel's table against a naive model of the contract, under any sequence of events."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.protocol.channel import (
    TRANSITIONS,
    CapRaised,
    Channel,
    ChannelClosed,
    ChannelKey,
    ChannelOpened,
    CloseRequested,
    Settled,
    Status,
    apply,
)
from tallystick.protocol.errors import ChannelNotOpen

caps = st.integers(1, 2**96 - 1)
times = st.integers(1, 2**40 - 1)


class ChannelMachine(RuleBasedStateMachine):
    """Emits what the contract would emit, keeps three numbers, and compares."""

    @initialize(key=st.from_type(ChannelKey).filter(lambda key: key.epoch < 2**24 - 100))
    def start(self, key):
        self.channel = Channel(key=key)
        self.cap = self.settled = self.closings = 0
        self.closing = False
        self.ids = {key.id}

    def refuses(self, event):
        before = self.channel
        with pytest.raises(ChannelNotOpen):
            apply(self.channel, event)
        assert self.channel == before

    @rule(cap=caps)
    def opened(self, cap):
        if self.cap:
            self.refuses(ChannelOpened(cap))
        else:
            self.channel, self.cap = apply(self.channel, ChannelOpened(cap)), cap

    @rule(more=caps)
    def raised(self, more):
        if self.cap and not self.closing:
            self.cap += more
            self.channel = apply(self.channel, CapRaised(self.cap))
        else:
            self.refuses(CapRaised(more))

    @rule(share=st.integers(0, 100))
    def paid(self, share):
        total = self.settled + (self.cap - self.settled) * share // 100
        if self.cap:
            self.channel, self.settled = apply(self.channel, Settled(total)), total
        else:
            self.refuses(Settled(total))

    @rule(closes_at=times)
    def close_requested(self, closes_at):
        if self.cap and not self.closing:
            self.channel, self.closing = apply(self.channel, CloseRequested(closes_at)), True
            assert self.channel.closes_at == closes_at
        else:
            self.refuses(CloseRequested(closes_at))

    @rule()
    def closed(self):
        if not self.cap:
            self.refuses(ChannelClosed(0))
            return
        self.channel = apply(self.channel, ChannelClosed(self.settled))
        self.cap = self.settled = 0
        self.closing = False
        self.closings += 1
        self.ids.add(self.channel.id)

    @invariant()
    def it_says_what_the_contract_would(self):
        assert (self.channel.cap, self.channel.settled) == (self.cap, self.settled)
        assert self.channel.settled <= self.channel.cap
        if not self.cap:
            assert self.channel.status is Status.NONE
        else:
            assert self.channel.status is (Status.CLOSING if self.closing else Status.OPEN)

    @invariant()
    def no_life_has_the_id_of_an_earlier_one(self):
        """INV-3: what a voucher names is gone for good once its epoch is closed."""
        assert len(self.ids) == 1 + self.closings

    @precondition(lambda self: self.closings == 0)
    @invariant()
    def a_first_life_keeps_its_id(self):
        assert self.ids == {self.channel.id}


TestChannel = ChannelMachine.TestCase


def test_every_status_has_a_row_and_every_event_a_use():
    events = {event for row in TRANSITIONS.values() for event in row}

    assert set(TRANSITIONS) == set(Status)
    assert events == {ChannelOpened, CapRaised, Settled, CloseRequested, ChannelClosed}
