"""What nodes say reaches the others, and what is not theirs to say does not."""

import asyncio

import orjson
import pytest

from tallystick.protocol.errors import (
    MarketError,
    NumberNotGreater,
    PeerUnknown,
    TurnSpent,
    WrongSigner,
)
from tallystick.protocol.gossip import Gossip, read_body, write_body, write_frame
from tallystick.protocol.hearsay import Said, said_suspicion
from tallystick.protocol.proving import HIGHEST
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.status import Status, Suspicion
from tallystick.protocol.wire import read_envelope
from tallystick_node.network import gossip
from tallystick_node.network.posting import PeerRefused
from tests.network.wired import DOMAIN, Wires, key_of, message, rating_frame, said_by

ONE, TWO, THREE = key_of(1), key_of(2), key_of(3)


@pytest.fixture
async def wires() -> Wires:
    wires = Wires()
    await wires.add(1, 2, 3)
    return wires


def running(wires: Wires, at: int, of: int) -> int | None:
    """What that node knows of the other's load."""
    heard = wires.node(at).talk.hearsay.statuses(key_of(of).address)
    if not heard:
        return None
    status = heard[0].said.proof.message
    assert isinstance(status, Status)
    return status.running


def suspicion(accuser: Key, provider: Key, sequence: int) -> Said:
    message = Suspicion(accuser=accuser.address, provider=provider.address, sequence=sequence)
    return said_suspicion(sign(message, DOMAIN, accuser))


async def test_what_one_says_reaches_all(wires: Wires) -> None:
    wires.running[ONE.address] = 5
    for _ in range(3):
        await wires.round()

    assert [running(wires, at, of=1) for at in (1, 2, 3)] == [5, 5, 5]


async def test_a_change_reaches_all(wires: Wires) -> None:
    await wires.round()
    wires.running[ONE.address] = 7
    for _ in range(3):
        await wires.round()

    assert [running(wires, at, of=1) for at in (2, 3)] == [7, 7]


async def test_nothing_is_said_while_nothing_changes(wires: Wires) -> None:
    await wires.round()
    first = wires.node(1).talk.hearsay.sequence(ONE.address)
    for _ in range(3):
        await wires.round()

    assert wires.node(1).talk.hearsay.sequence(ONE.address) == first


async def test_a_node_that_forgot_all_goes_on_above_what_it_said(wires: Wires) -> None:
    for _ in range(2):
        await wires.round()
    before = wires.node(2).talk.hearsay.sequence(ONE.address)
    again = wires.start(ONE)
    again.talk._sequence = 0  # Its clock was set back by decades.
    await again.look_up()
    wires.running[ONE.address] = 9
    for _ in range(8):
        await wires.round()

    assert wires.node(2).talk.hearsay.sequence(ONE.address) > before
    assert running(wires, 2, of=1) == 9


async def test_a_dead_node_is_out_and_comes_back(wires: Wires) -> None:
    for _ in range(2):
        await wires.round()
    wires.down.add(THREE.address)
    for _ in range(3):
        await wires.round()
    assert all(wires.node(at).talk.is_suspected(THREE.address, wires.now) for at in (1, 2))
    for _ in range(4):
        await wires.round()
    assert all(wires.node(at).talk.is_gone(THREE.address, wires.now) for at in (1, 2))

    wires.down.clear()
    for _ in range(8):
        await wires.round()
    assert not any(wires.node(at).talk.is_suspected(THREE.address, wires.now) for at in (1, 2))


# ------------------------------------------------------------------------------------------------- refusals


async def refused(wires: Wires, header: str, body: bytes, by: int = 2) -> type[MarketError]:
    with pytest.raises(MarketError) as caught:
        await wires.node(by).answer(header, body)
    return type(caught.value)


async def test_a_message_for_somebody_else_is_refused(wires: Wires) -> None:
    assert await refused(wires, *message(ONE, THREE, 1)) is PeerUnknown


async def test_an_envelope_of_another_body_is_refused(wires: Wires) -> None:
    header, _ = message(ONE, TWO, 1)

    assert await refused(wires, header, write_body(b"", [said_by(ONE)])) is PeerUnknown


async def test_an_envelope_in_another_s_name_is_refused(wires: Wires) -> None:
    header, body = message(THREE, TWO, 1, sender=ONE)

    assert await refused(wires, header, body) is WrongSigner
    await wires.node(2).answer(*message(ONE, TWO, 1))  # It cost ONE nothing.


async def test_who_offers_nothing_is_no_peer(wires: Wires) -> None:
    assert await refused(wires, *message(key_of(9), TWO, 1)) is PeerUnknown


async def test_a_replayed_message_is_refused(wires: Wires) -> None:
    sent = message(ONE, TWO, 5, [said_by(ONE, running=3)])
    await wires.node(2).answer(*sent)

    assert await refused(wires, *sent) is NumberNotGreater
    assert await refused(wires, *message(ONE, TWO, 4)) is NumberNotGreater


async def test_nobody_is_its_own_peer(wires: Wires) -> None:
    assert await refused(wires, *message(TWO, TWO, 1)) is PeerUnknown


async def test_an_answer_of_before_proves_that_nobody_is_there(
    wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, peer = wires.node(1), wires.node(1).talk.roster.peers[TWO.address]
    for _ in range(2):
        await wires.round()
    kept = await wires.gossip(peer.endpoint, *message(ONE, TWO, 1 << 60))
    for accuser in (ONE, THREE):
        sequence = node.talk.hearsay.sequence(TWO.address)
        node.talk.take(suspicion(accuser, TWO, sequence), wires.now)
    assert node.talk.is_suspected(TWO.address, wires.now)
    wires.now += 1
    whole = wires.gossip

    async def replayed(endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]:
        return kept

    monkeypatch.setattr(wires, "gossip", replayed)
    await node.call(peer)
    assert node.talk.is_suspected(TWO.address, wires.now)
    monkeypatch.setattr(wires, "gossip", whole)
    node._numbers[TWO.address] = 1 << 60
    await node.call(peer)
    assert not node.talk.is_suspected(TWO.address, wires.now)


async def test_another_that_answers_with_the_same_receipt_key_proves_nothing(
    wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two providers may name one key."""
    shared = key_of(9)
    for provider in (TWO, THREE):
        wires.named[provider.address] = [shared.address]
    node = wires.node(1)
    await node.look_up()

    async def by_another(endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]:
        number = read_envelope(envelope, Gossip).message.number
        said = [said_by(THREE, sequence=7, signer=shared)]
        return message(shared, ONE, number, said, sender=THREE)

    monkeypatch.setattr(wires, "gossip", by_another)
    await node.call(node.talk.roster.peers[TWO.address])
    assert node.talk.hearsay.sequence(THREE.address) == -1
    await node.call(node.talk.roster.peers[THREE.address])
    assert node.talk.hearsay.sequence(THREE.address) == 7


@pytest.mark.parametrize("required", [1 << 60, 1 << 63, "much", None])
async def test_a_number_that_a_peer_remembers_is_gone_on_from(
    wires: Wires, monkeypatch: pytest.MonkeyPatch, required: object
) -> None:
    """After a restart under an earlier clock; what no number can follow is not believed."""
    node, numbers = wires.node(1), list[int]()
    content = orjson.dumps({"error": {"required": required}})

    async def refusing(endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]:
        numbers.append(read_envelope(envelope, Gossip).message.number)
        raise PeerRefused(409, content)

    monkeypatch.setattr(wires, "gossip", refusing)
    for _ in range(2):
        await node.call(node.talk.roster.peers[TWO.address])
    assert numbers[0] < numbers[1] < HIGHEST
    assert (numbers[1] == (1 << 60) + 1) is (required == 1 << 60)


async def test_what_all_know_is_read_at_the_start_and_not_repeated(wires: Wires) -> None:
    wires.keys.append(key_of(4))
    for number in (1, 2):
        await wires.node(number).look_up()
    old, node = said_by(key_of(4), sequence=3), wires.node(2)
    wires.node(1).talk.take(old, wires.now, repeated=False)
    await node.call(node.talk.roster.peers[ONE.address])
    assert node.talk.hearsay.sequence(key_of(4).address) == 3
    assert old.key not in {said.key for said in node.talk.message(THREE.address, wires.now)}


@pytest.mark.parametrize(("later_ms", "reads"), [(10_000, False), (10_001, True)])
async def test_all_is_read_again_of_one_that_was_away(wires: Wires, later_ms: int, reads: bool) -> None:
    """The network was in two parts, and each had its own news; not more often than every ten seconds."""
    wires.keys.append(key_of(4))
    for number in (1, 2):
        await wires.node(number).look_up()
    node, peer = wires.node(1), wires.node(1).talk.roster.peers[TWO.address]
    node.talk.take(said_by(TWO), wires.now)
    await node.call(peer)  # The first one reads all.
    wires.now += 1
    for accuser in (ONE, THREE):
        node.talk.take(suspicion(accuser, TWO, 1), wires.now)
    wires.node(2).talk.take(said_by(key_of(4), sequence=3), wires.now, repeated=False)
    wires.now += later_ms - 1
    await node.call(peer)
    assert (node.talk.hearsay.sequence(key_of(4).address) == 3) is reads


async def test_a_rating_of_one_that_sells_no_more_counts_no_more(wires: Wires) -> None:
    payer = key_of(50)
    wires.payers.add(payer.address)
    assert wires.node(1).take_rating(rating_frame(payer, THREE))
    wires.keys.pop()
    await wires.node(1).look_up()
    await wires.node(1).confirming.look()
    assert wires.node(1).talk.hearsay.rated(THREE.address) == []


async def test_the_chain_is_read_soon_where_a_stranger_is_spoken_of(
    wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "ROSTER_SOON_S", 0.01)
    monkeypatch.setattr(gossip, "ROSTER_S", 60.0)
    node, read = wires.node(2), asyncio.Queue[int]()
    look_up = node.look_up

    async def looked_up() -> None:
        await look_up()
        read.put_nowait(len(node.talk.roster.peers))

    monkeypatch.setattr(node, "look_up", looked_up)
    running = asyncio.create_task(node.run())
    try:
        async with asyncio.timeout(60):
            assert await read.get() == 3
            wires.keys.append(key_of(4))
            await node.answer(*message(ONE, TWO, 1 << 60, [said_by(key_of(4))]))
            assert await read.get() == 4
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_who_tells_something_old_hears_what_is_later(wires: Wires) -> None:
    later = said_by(THREE, sequence=9)
    wires.node(2).talk.take(later, wires.now, repeated=False)
    _, answer = await wires.node(2).answer(*message(ONE, TWO, 1 << 60, [said_by(THREE, sequence=4)]))
    _, frames = read_body(answer)
    assert later.packed in {frame.packed for frame in frames}


@pytest.mark.parametrize(("untimely", "reads_on"), [(7, True), (8, False)])
async def test_what_keys_of_before_signed_is_passed_over_seven_times(
    wires: Wires, untimely: int, reads_on: bool
) -> None:
    wires.named[THREE.address] = [key_of(8).address, key_of(9).address]
    await wires.node(2).look_up()
    old = [said_by(THREE, sequence=1 + i, signer=key_of(8)) for i in range(untimely)]
    await wires.node(2).answer(*message(ONE, TWO, 1, [*old, said_by(ONE)]))
    assert (wires.node(2).talk.hearsay.sequence(ONE.address) == 1) is reads_on
    assert wires.node(2).talk.hearsay.sequence(THREE.address) == -1


async def test_who_has_not_answered_yet_is_not_called_again(
    wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    async def silent(endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]:
        called.append(endpoint)
        return await asyncio.Future()

    monkeypatch.setattr(wires, "gossip", silent)
    node = wires.node(1)
    for _ in range(3):
        tasks = node.round()
        await asyncio.sleep(0)
        wires.now += 1_000
    assert len(called) == len(set(called)) == len(tasks) == 2
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert len(node.round()) == 2  # They may be called again.


async def test_what_five_peers_told_is_not_told_on(wires: Wires) -> None:
    wires.keys += [key_of(number) for number in range(4, 21)]
    await wires.node(1).look_up()
    news, node = said_by(key_of(20), sequence=3), wires.node(1)
    node.talk.take(news, wires.now)
    for number in range(2, 7):
        assert news in node.talk.message(key_of(19).address, wires.now)
        await node.answer(*message(key_of(number), ONE, 1, [news]))
    assert news not in node.talk.message(key_of(19).address, wires.now)


async def test_what_a_peer_knew_it_is_told_five_times(wires: Wires) -> None:
    """In a network in which it would be told seven times."""
    wires.keys += [key_of(number) for number in range(4, 21)]
    for number in (1, 2):
        await wires.node(number).look_up()
    news = said_by(key_of(20), sequence=3)
    node, told = wires.node(1), list[int]()
    await node.call(node.talk.roster.peers[TWO.address])  # The first one reads all that it knows.
    for number in (1, 2):
        wires.node(number).talk.take(news, wires.now)
    for _ in range(7):
        before = node.sent
        await node.call(node.talk.roster.peers[TWO.address])
        told.append(node.sent - before)
        wires.now += 500
    assert [size > min(told) for size in told] == [True] * 5 + [False] * 2


async def test_a_header_of_anything_is_refused(wires: Wires) -> None:
    for header in ("", "!", "e30", "A" * 9000):
        with pytest.raises(MarketError):
            await wires.node(2).answer(header, b"\0")


async def test_a_sender_has_so_many_turns(wires: Wires) -> None:
    for number in range(1, 7):
        await wires.node(2).answer(*message(ONE, TWO, number))
    assert await refused(wires, *message(ONE, TWO, 7)) is TurnSpent

    await wires.node(2).answer(*message(THREE, TWO, 1))  # Others have theirs.
    wires.now += 1_000
    await wires.node(2).answer(*message(ONE, TWO, 7))


async def test_a_forged_status_ends_the_message(wires: Wires) -> None:
    forged = said_by(THREE, sequence=99, signer=ONE)
    await wires.node(2).answer(*message(ONE, TWO, 1, [said_by(ONE), forged, said_by(THREE)]))

    hearsay = wires.node(2).talk.hearsay
    assert hearsay.sequence(ONE.address) == 1
    assert hearsay.sequence(THREE.address) == -1


async def test_who_forges_again_and_again_is_not_listened_to(wires: Wires) -> None:
    forged = said_by(THREE, sequence=99, signer=ONE)
    for number in range(1, 4):
        await wires.node(2).answer(*message(ONE, TWO, number, [forged]))
    wires.now += 5_000
    assert await refused(wires, *message(ONE, TWO, 4)) is TurnSpent

    wires.now += 6_000
    await wires.node(2).answer(*message(ONE, TWO, 4, [said_by(ONE)]))


@pytest.mark.parametrize("rest", [b"\x09\0\0", b"\1", b"\1\xff\xff", b"\1\0\0", b"\2\0\x10" + bytes(16)])
async def test_a_broken_frame_ends_the_message(wires: Wires, rest: bytes) -> None:
    body = b"\0" + write_frame(said_by(ONE)) + rest + write_frame(said_by(THREE))
    await wires.node(2).answer(*message(ONE, TWO, 1, body=body))

    hearsay = wires.node(2).talk.hearsay
    assert (hearsay.sequence(ONE.address), hearsay.sequence(THREE.address)) == (1, -1)


async def test_a_frame_that_says_more_than_there_is_is_none(wires: Wires) -> None:
    frame = write_frame(said_by(ONE))
    longer = frame[:1] + (len(frame) - 3 + 1).to_bytes(2, "big") + frame[3:]
    await wires.node(2).answer(*message(ONE, TWO, 1, body=b"\0" + longer))
    assert wires.node(2).talk.hearsay.sequence(ONE.address) == -1


async def test_an_older_status_changes_nothing(wires: Wires) -> None:
    await wires.node(2).answer(*message(ONE, TWO, 1, [said_by(ONE, running=5, sequence=5)]))
    await wires.node(2).answer(*message(ONE, TWO, 2, [said_by(ONE, running=4, sequence=4)]))

    assert running(wires, 2, of=1) == 5


async def test_a_status_of_an_offer_that_the_chain_does_not_know_is_left_out(wires: Wires) -> None:
    await wires.node(2).answer(*message(ONE, TWO, 1, [said_by(key_of(9)), said_by(ONE)]))

    hearsay = wires.node(2).talk.hearsay
    assert (hearsay.sequence(key_of(9).address), hearsay.sequence(ONE.address)) == (-1, 1)


# ------------------------------------------------------------------------------------------------- ratings


async def test_a_payer_s_rating_reaches_all(wires: Wires) -> None:
    payer = key_of(50)
    wires.payers.add(payer.address)
    await wires.round()

    assert wires.node(1).take_rating(rating_frame(payer, THREE))
    for _ in range(3):
        await wires.round()

    assert len(wires.node(2).talk.hearsay.rated(THREE.address)) == 1


async def test_a_rating_by_a_key_that_its_payer_never_let_spend_counts_nowhere(wires: Wires) -> None:
    payer, thief, session = key_of(50), key_of(51), key_of(52)
    wires.payers.add(payer.address)
    wires.sessions[payer.address] = {session.address}
    await wires.round()

    wires.node(1).take_rating(rating_frame(payer, THREE, session=thief, sequence=99))
    await wires.round()
    assert wires.node(1).talk.hearsay.rated(THREE.address) == []

    wires.node(1).take_rating(rating_frame(payer, THREE, session=session))
    await wires.round()
    assert len(wires.node(1).talk.hearsay.rated(THREE.address)) == 1


async def test_a_channel_is_looked_up_once(wires: Wires) -> None:
    payer = key_of(50)
    wires.payers.add(payer.address)
    for sequence in range(1, 4):
        assert wires.node(1).take_rating(rating_frame(payer, THREE, sequence=sequence))
        await wires.node(1).confirming.look()
        wires.now += 20_000

    assert wires.looked_up == 1
    assert wires.node(1).talk.hearsay.rated(THREE.address)[0].said.sequence == 3


async def test_a_rating_waits_until_its_channel_is_mined(wires: Wires) -> None:
    payer, session = key_of(50), key_of(52)
    wires.payers.add(payer.address)
    assert wires.node(1).take_rating(rating_frame(payer, THREE, session=session))
    await wires.node(1).confirming.look()
    assert wires.node(1).talk.hearsay.rated(THREE.address) == []

    wires.sessions[payer.address] = {session.address}
    wires.now += 10_000
    await wires.node(1).confirming.look()
    assert len(wires.node(1).talk.hearsay.rated(THREE.address)) == 1


async def test_who_never_deposited_rates_nobody(wires: Wires) -> None:
    assert not wires.node(1).take_rating(rating_frame(key_of(50), THREE))
    assert wires.node(1).talk.hearsay.rated(THREE.address) == []


async def test_who_was_never_served_rates_nobody(wires: Wires) -> None:
    payer = key_of(50)
    wires.payers.add(payer.address)

    with pytest.raises(WrongSigner):
        wires.node(1).take_rating(rating_frame(payer, THREE, signer=payer))


async def test_a_provider_that_names_key_after_key_parts_nobody(wires: Wires) -> None:
    """Each time one node learns of it before the others, and passes on what they must take for forged."""
    cheat = key_of(4)
    await wires.add(4)
    wires.down.add(cheat.address)
    for turn in range(12):
        key = key_of(100 + turn)
        wires.named.setdefault(cheat.address, []).append(key.address)
        first = key_of(1 + turn % 3)
        node = wires.nodes[first.address]
        await node.look_up()
        said = [said_by(cheat, sequence=1 + turn, signer=key)]
        await node.answer(*message(key, first, 1 + turn, said, sender=cheat))
        assert node.talk.hearsay.sequence(cheat.address) == 1 + turn
        await wires.round()
        for number in (1, 2, 3):
            await wires.node(number).look_up()
        for _ in range(3):
            await wires.round()
    for beat in range(1, 4):
        wires.running[ONE.address] = 50 * beat
        await wires.round()

    assert [running(wires, at, of=1) for at in (1, 2, 3)] == [150, 150, 150]


async def test_what_a_replaced_key_signed_is_not_passed_on(wires: Wires) -> None:
    await wires.round()
    wires.named[TWO.address] = [key_of(9).address]
    await wires.node(1).look_up()

    assert running(wires, 1, of=2) is None
    assert running(wires, 3, of=2) is not None
