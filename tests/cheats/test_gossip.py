"""What a staked node can do to others by what it says: neither memory nor time of any account, and no harm to
whom it talks of for longer than a moment."""

from collections.abc import Callable

import pytest

import tallystick.protocol.proving
import tallystick_node.network.gossip
from tallystick.protocol.signed import verify
from tests.cheats.gossipers import (
    EVERY_MS,
    AccusesForEver,
    AccusesTheLiving,
    FloodsWithItsOwn,
    ForgesOthers,
    Gossiping,
    InventsPayers,
    RepeatsWhatIsKnown,
    ReplaysAnother,
    SendsTooMuch,
    SilencesRaters,
    SpeaksForAnother,
    SpeaksForPayers,
)
from tests.network.wired import Wires, key_of, rating_frame

SECONDS = 20
CHEAT, VICTIM, OTHER, FRIEND = (key_of(number) for number in (4, 2, 3, 5))


class Played:
    """One adversary at work among honest nodes for a while."""

    def __init__(self, wires: Wires, cheat: Gossiping, checks: Callable[[], int]):
        self.wires = wires
        self.cheat = cheat
        self.checks = checks
        self.out_ms = 0
        """For which the victim held the other for silent."""

    async def play(self, seconds: int = SECONDS) -> "Played":
        talk = self.wires.nodes[VICTIM.address].talk
        for step in range(seconds * 1_000 // EVERY_MS):
            if step % (1_000 // EVERY_MS) == 0:
                await self.wires.round()
                self.wires.now -= 1_000  # The adversary has this second, piece by piece.
            await self.cheat.act()
            self.wires.now += EVERY_MS
            if talk.is_suspected(OTHER.address, self.wires.now):
                self.out_ms += EVERY_MS
        return self


@pytest.fixture
async def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Gossiping]], Played]:
    """Three honest nodes, and two that are not and only talk."""
    wires = Wires()
    await wires.add(1, 2, 3, 4, 5)
    wires.down |= {CHEAT.address, FRIEND.address}
    for _ in range(2):
        await wires.round()
    checked = [0]

    def counted(*arguments: object, **named: object) -> object:
        checked[0] += 1
        return verify(*arguments, **named)  # type: ignore[arg-type]

    for module in (tallystick.protocol.proving, tallystick_node.network.gossip):
        monkeypatch.setattr(module, "verify", counted)

    def made(kind: type[Gossiping]) -> Played:
        return Played(wires, kind(wires, CHEAT, VICTIM, OTHER), lambda: checked[0])

    return made


BOUND = 3 * SECONDS + 20
"""Signatures that one sender has one node check: its envelopes (two a second, six at once), and what of its
own it may say (two a second, four at once), or forge (three, before a pause)."""


@pytest.mark.parametrize(
    "kind",
    [FloodsWithItsOwn, ForgesOthers, RepeatsWhatIsKnown, SendsTooMuch, InventsPayers],
    ids=lambda kind: kind.__name__,
)
async def test_a_flood_has_little_checked_and_less_held(
    play: Callable[[type[Gossiping]], Played], kind: type[Gossiping]
) -> None:
    played = await play(kind).play()

    honest = 3 * 3 * 2 * SECONDS  # Three nodes call three, and both ends check the other's envelope.
    spread = 3 * (2 * SECONDS + 10)  # What the flooder may say of itself goes to all three.
    assert played.checks() <= BOUND + honest + spread
    # Five statuses, and what three accusers say of two that answer nobody.
    assert len(played.wires.nodes[VICTIM.address].talk.hearsay) <= 5 + 3 * 2
    assert played.cheat.refused.count("turn-spent") > played.cheat.sent // 2


async def test_what_is_forged_is_believed_by_nobody(play: Callable[[type[Gossiping]], Played]) -> None:
    played = await play(ForgesOthers).play()

    for node in played.wires.nodes.values():
        assert node.talk.hearsay.sequence(OTHER.address) < 1 << 60


@pytest.mark.parametrize("kind", [ReplaysAnother, SpeaksForAnother], ids=lambda kind: kind.__name__)
async def test_what_is_said_in_another_s_name_costs_it_nothing(
    play: Callable[[type[Gossiping]], Played], kind: type[Gossiping]
) -> None:
    played = await play(kind).play()

    assert played.out_ms == 0
    turns = played.wires.nodes[VICTIM.address]
    before = turns.talk.hearsay.sequence(OTHER.address)
    played.wires.running[OTHER.address] = 40
    for _ in range(3):
        await played.wires.round()
    assert turns.talk.hearsay.sequence(OTHER.address) > before


async def test_accusers_of_the_living_are_soon_not_believed(
    play: Callable[[type[Gossiping]], Played],
) -> None:
    """Three times, for as long as it takes the accused to hear of it and say that it is there."""
    played = await play(AccusesTheLiving).play(60)

    assert 0 < played.out_ms <= 3 * 3_000


async def test_nobody_is_accused_of_a_silence_to_come(play: Callable[[type[Gossiping]], Played]) -> None:
    played = await play(AccusesForEver).play()

    assert played.out_ms == 0


async def test_invented_payers_rate_nobody(play: Callable[[type[Gossiping]], Played]) -> None:
    played = await play(InventsPayers).play()

    assert all(not node.talk.hearsay.rated(CHEAT.address) for node in played.wires.nodes.values())


async def test_nobody_rates_in_another_s_name(play: Callable[[type[Gossiping]], Played]) -> None:
    played = play(SpeaksForPayers)
    wires, payers = played.wires, SpeaksForPayers.payers
    wires.payers |= {payer.address for payer in payers}

    await played.play()

    assert all(not node.talk.hearsay.rated(CHEAT.address) for node in wires.nodes.values())
    assert wires.looked_up <= 64 * SECONDS
    said = [
        payer for payer in payers[:4] if wires.nodes[VICTIM.address].take_rating(rating_frame(payer, CHEAT))
    ]
    await wires.nodes[VICTIM.address].confirming.look()
    rated = {heard.said.key[2] for heard in wires.nodes[VICTIM.address].talk.hearsay.rated(CHEAT.address)}
    assert rated == {payer.address for payer in said} == {payer.address for payer in payers[:4]}


async def test_one_payer_silences_no_others(play: Callable[[type[Gossiping]], Played]) -> None:
    played = play(SilencesRaters)
    wires, honest = played.wires, [key_of(200 + number) for number in range(12)]
    wires.payers |= {SilencesRaters.payer.address, *(payer.address for payer in honest)}

    for payer in honest:
        for _ in range(7):
            await played.cheat.act()
            await wires.nodes[VICTIM.address].confirming.look()
            wires.now += EVERY_MS
        assert wires.nodes[VICTIM.address].take_rating(rating_frame(payer, OTHER))
        await wires.nodes[VICTIM.address].confirming.look()

    rated = {heard.said.key[2] for heard in wires.nodes[VICTIM.address].talk.hearsay.rated(OTHER.address)}
    assert rated == {SilencesRaters.payer.address, *(payer.address for payer in honest)}
