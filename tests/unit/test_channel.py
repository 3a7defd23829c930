"""The picture in the module's docstring is its table."""

import re

import pytest

from tallystick.protocol import channel as module
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
from tallystick.protocol.errors import ChannelNotOpen, MalformedMessage
from tallystick.protocol.units import Address, Atoms, Timestamp

KEY = ChannelKey(
    payer=Address(b"\1" * 20), provider=Address(b"\2" * 20), session_key=Address(b"\3" * 20), epoch=4
)
EVENTS = {
    ChannelOpened: ChannelOpened(Atoms(10)),
    CapRaised: CapRaised(Atoms(20)),
    Settled: Settled(Atoms(5)),
    CloseRequested: CloseRequested(Timestamp(1_000)),
    ChannelClosed: ChannelClosed(Atoms(5)),
}
CHANNELS = {
    Status.NONE: Channel(key=KEY),
    Status.OPEN: Channel(key=KEY, cap=Atoms(10)),
    Status.CLOSING: Channel(key=KEY, cap=Atoms(10), closes_at=Timestamp(900)),
}


STRAIGHT = {
    (Status.NONE, "ChannelOpened", Status.OPEN),
    (Status.OPEN, "CloseRequested", Status.CLOSING),
    (Status.OPEN, "ChannelClosed", Status.NONE),
    (Status.CLOSING, "ChannelClosed", Status.NONE),
}
"""The arrows from one status to another, read off by eye. Loops are read off below."""


def drawn():
    picture = module.__doc__.split("\n\n")[1]
    words = set(re.findall(r"[A-Z][a-z]+[A-Z][a-z]+", picture))
    assert words - {"CapRaised"} == {event for _, event, _ in STRAIGHT}

    loops, states = (next(x for x in picture.splitlines() if word in x) for word in ("CapRaised", "NONE ─"))
    middle = (states.index("OPEN") + states.index("CLOSING")) // 2
    for loop in re.finditer(r"[A-Z]\w+", loops):
        status = Status.OPEN if loop.start() < middle else Status.CLOSING
        yield status, loop[0], status
    yield from STRAIGHT


def test_the_picture_is_the_table():
    table = {(old, event.__name__, new) for old, row in TRANSITIONS.items() for event, new in row.items()}

    assert set(drawn()) == table


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("status", Status)
def test_events_lead_where_the_table_says_and_nowhere_else(status, event):
    channel = CHANNELS[status]
    assert channel.status is status

    if event in TRANSITIONS[status]:
        assert apply(channel, EVENTS[event]).status is TRANSITIONS[status][event]
    else:
        with pytest.raises(ChannelNotOpen, match=status.value):
            apply(channel, EVENTS[event])


def test_closing_begins_the_next_life_with_nothing():
    closed = apply(CHANNELS[Status.CLOSING], ChannelClosed(Atoms(10)))

    assert closed == Channel(key=ChannelKey(**{**fields(KEY), "epoch": 5}))
    assert closed.id != CHANNELS[Status.CLOSING].id


def test_a_short_address_names_no_channel():
    with pytest.raises(AssertionError):
        _ = ChannelKey(**{**fields(KEY), "payer": Address(b"\1" * 19)}).id


def test_an_epoch_beyond_three_bytes_names_no_channel():
    with pytest.raises(OverflowError):
        _ = ChannelKey(**{**fields(KEY), "epoch": 1 << 24}).id


def test_its_ends_come_back_from_json():
    assert ChannelKey.from_json(KEY.to_json() | {"cap": "5"}) == KEY


@pytest.mark.parametrize(
    "change", [{"epoch": 4}, {"epoch": str(1 << 24)}, {"sessionKey": "0x" + "3" * 38}, {"payer": None}]
)
def test_ends_that_are_not_as_written_are_malformed(change):
    with pytest.raises(MalformedMessage):
        ChannelKey.from_json(KEY.to_json() | change)


def fields(key):
    return {name: getattr(key, name) for name in ("payer", "provider", "session_key", "epoch")}
