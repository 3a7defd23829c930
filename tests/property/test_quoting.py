"""Held room, whatever is asked in whatever order: what was promised is kept, and never more than there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tallystick.protocol.errors import QuoteError, QuoteExpired, QuoteMismatch, QuoteUnknown
from tallystick.protocol.expect import Size
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, ChannelId, Hash32, Milliseconds, Tokens
from tallystick_node.gateway import quoting
from tallystick_node.gateway.quoting import HELD_PART, HOLD_MS, LARGER, SLACK, Pledges, plausible, quote

PROVIDER = Address(bytes(19) + b"\1")
OFFERS = [Hash32(bytes(31) + bytes([number])) for number in range(2)]
ROOM = 9
numbers = st.integers(0, 6)


def payer(number: int) -> Address:
    return Address(bytes(19) + bytes([number]))


def channel(number: int, which: int = 0) -> ChannelId:
    return ChannelId(bytes(30) + bytes([which, number]))


def size(tokens: int) -> Size:
    return Size(input_tokens=Tokens(tokens), output_tokens=Tokens(10))


class Node(RuleBasedStateMachine):
    """A node with room for nine: payers ask, redeem, come without asking, and end."""

    quotes = Bundle("quotes")

    def __init__(self) -> None:
        super().__init__()
        self.pledges = Pledges(ROOM)
        self.now = Milliseconds(1_000_000)
        self.running = 0
        self.held: dict[int, Quote] = {}
        """By payer: as it should be."""

    def free(self) -> int:
        return ROOM - self.running - len(self.pledges.held(self.now))

    @rule(number=numbers, offer=st.sampled_from(OFFERS), tokens=st.integers(0, 5_000), target=quotes)
    def ask(self, number: int, offer: Hash32, tokens: int) -> tuple[int, Quote]:
        self.pledges.release(payer(number))
        self.held.pop(number, None)
        until = self.pledges.until(payer(number), self.now) if self.free() > 0 else Milliseconds(0)
        given_quote = quote(
            provider=PROVIDER,
            channel_id=channel(number),
            offer_hash=offer,
            size=size(tokens),
            pace=Pace(0.1, 0.01),
            valid_until=until,
        )
        if until:
            self.pledges.hold(payer(number), given_quote, self.now)
            self.held[number] = given_quote
        return number, given_quote

    @rule(asked=quotes, grown=st.integers(-100, 100))
    def redeem(self, asked: tuple[int, Quote], grown: int) -> None:
        """What holds is always redeemed, however full the node is; nothing else ever."""
        number, given_quote = asked
        holds = self.held.get(number) == given_quote and self.now < given_quote.valid_until
        estimate = Tokens(max(0, given_quote.input_tokens + grown))
        if estimate > LARGER * given_quote.input_tokens + SLACK:
            holds = False
        try:
            self.pledges.redeem(
                payer(number),
                given_quote.struct_hash(),
                channel_id=given_quote.channel_id,
                offer_hash=given_quote.offer_hash,
                estimate=estimate,
                now=self.now,
            )
        except QuoteError:
            assert not holds
            return
        assert holds
        del self.held[number]
        self.running += 1

    @rule()
    def come(self) -> None:
        if self.free() > 0:
            self.running += 1

    @rule()
    def end(self) -> None:
        self.running = max(0, self.running - 1)

    @rule(ms=st.integers(1, HOLD_MS * 2))
    def wait(self, ms: int) -> None:
        self.now = Milliseconds(self.now + ms)

    @invariant()
    def never_is_more_taken_than_there_is_room_for(self) -> None:
        assert self.running + len(self.pledges.held(self.now)) <= ROOM

    @invariant()
    def each_account_holds_one_at_most_and_all_together_a_part(self) -> None:
        held = self.pledges.held(self.now)
        assert len({item.channel_id for item in held}) == len(held) <= ROOM // HELD_PART

    @invariant()
    def no_more_is_likely_to_come_than_is_held(self) -> None:
        held = self.pledges.held(self.now)
        waiting, queued = self.pledges.likely(self.now)
        assert 0 <= waiting <= len(held)
        assert 0 <= queued <= sum(item.input_tokens for item in held)

    @invariant()
    def what_holds_is_what_was_asked_last_and_is_not_over(self) -> None:
        expected = {item.struct_hash() for item in self.held.values() if self.now < item.valid_until}
        assert {item.struct_hash() for item in self.pledges.held(self.now)} == expected


TestNode = Node.TestCase


@pytest.fixture
def held() -> tuple[Pledges, Quote, Milliseconds]:
    pledges, now = Pledges(ROOM), Milliseconds(1_000_000)
    given_quote = quote(
        provider=PROVIDER,
        channel_id=channel(1),
        offer_hash=OFFERS[0],
        size=size(100),
        pace=Pace(1, 1),
        valid_until=pledges.until(payer(1), now),
    )
    pledges.hold(payer(1), given_quote, now)
    return pledges, given_quote, now


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"payer": payer(2)}, QuoteUnknown),
        ({"named": Hash32(bytes(32))}, QuoteUnknown),
        ({"channel_id": channel(1, which=1)}, QuoteUnknown),
        ({"now": Milliseconds(999_999)}, QuoteExpired),
        ({"offer_hash": OFFERS[1]}, QuoteMismatch),
        ({"estimate": Tokens(265)}, QuoteMismatch),
    ],
)
def test_only_whom_it_was_given_to_redeems_it_and_only_for_what(held, changes, kind) -> None:
    pledges, given_quote, now = held
    asked = {
        "payer": payer(1),
        "named": given_quote.struct_hash(),
        "channel_id": channel(1),
        "offer_hash": OFFERS[0],
        "estimate": Tokens(264),
        "now": now,
    }
    with pytest.raises(kind):
        pledges.redeem(**asked | changes)
    assert pledges.redeem(**asked) == given_quote


def test_what_is_long_over_is_forgotten(held) -> None:
    pledges, given_quote, now = held
    later = Milliseconds(now + 10**6)
    other = quote(
        provider=PROVIDER,
        channel_id=channel(2),
        offer_hash=OFFERS[0],
        size=size(1),
        pace=Pace(1, 1),
        valid_until=pledges.until(payer(2), later),
    )
    pledges.hold(payer(2), other, later)
    with pytest.raises(QuoteUnknown):
        pledges.redeem(
            payer(1),
            given_quote.struct_hash(),
            channel_id=channel(1),
            offer_hash=OFFERS[0],
            estimate=Tokens(1),
            now=later,
        )


def test_asking_again_and_again_makes_no_node_look_busy() -> None:
    """Each time for a whole context, and redeems none."""
    pledges, now, queued = Pledges(ROOM), Milliseconds(1_000_000), []
    for number in range(30):
        asked = quote(
            provider=PROVIDER,
            channel_id=channel(1),
            offer_hash=OFFERS[0],
            size=size(100_000 + number),
            pace=Pace(1, 1),
            valid_until=pledges.until(payer(1), now),
        )
        pledges.hold(payer(1), asked, now)
        queued.append(pledges.likely(now)[1])
        now = Milliseconds(now + HOLD_MS)
    assert queued[0] == 100_000
    assert queued == sorted(queued, reverse=True)
    assert queued[-1] < 100_000 / 29
    last = quote(
        provider=PROVIDER,
        channel_id=channel(1),
        offer_hash=OFFERS[0],
        size=size(100),
        pace=Pace(1, 1),
        valid_until=pledges.until(payer(1), now),
    )
    for _ in range(2):
        pledges.hold(payer(1), last, now)
        pledges.redeem(
            payer(1),
            last.struct_hash(),
            channel_id=channel(1),
            offer_hash=OFFERS[0],
            estimate=Tokens(100),
            now=now,
        )
    pledges.hold(payer(1), last, now)
    assert pledges.likely(now) == (1, 100), "one redeemed, and it counts in full again"


def test_however_many_have_asked_only_what_may_be_held_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pledges, now = Pledges(ROOM), Milliseconds(1_000_000)
    looked = []
    holds = quoting._holds
    monkeypatch.setattr(quoting, "_holds", lambda item, at: looked.append(item) or holds(item, at))
    for number in range(200):
        if until := pledges.until(payer(number), now):
            asked = quote(
                provider=PROVIDER,
                channel_id=channel(number),
                offer_hash=OFFERS[0],
                size=size(100),
                pace=Pace(1, 1),
                valid_until=until,
            )
            pledges.hold(payer(number), asked, now)
        now = Milliseconds(now + HOLD_MS // 4)
        looked.clear()
        pledges.held(now)
        pledges.likely(now)
        assert len(looked) <= 2 * (ROOM // HELD_PART)


def test_a_clock_that_is_set_back_brings_no_quote_back(held: tuple[Pledges, Quote, Milliseconds]) -> None:
    pledges, asked, now = held
    assert not pledges.held(asked.valid_until)
    assert not pledges.held(now)
    with pytest.raises(QuoteExpired):
        pledges.redeem(
            payer(1),
            asked.struct_hash(),
            channel_id=asked.channel_id,
            offer_hash=asked.offer_hash,
            estimate=asked.input_tokens,
            now=now,
        )


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_nobody_is_quoted_for_less_than_half_of_what_it_sends(said: int, seems: int) -> None:
    found = plausible(size(said), Tokens(seems))
    assert found.input_tokens >= max(said, seems // 2)
    assert found.output_tokens == 10
