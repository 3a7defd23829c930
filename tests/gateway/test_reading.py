"""A channel's receipts for whoever may read them, and for nobody else, nowhere else, and no later."""

import httpx2
import orjson
import pytest

from tallystick.protocol.documents import ChannelDocument, document_from_json
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, verify
from tallystick.protocol.units import ZERO_HASH, Atoms, Timestamp, to_hex
from tallystick.protocol.wire import READING_LIFE_S, RECEIPTS_PATH, reading
from tallystick_node.gateway import reading as page_module
from tallystick_node.gateway.settling import SettlePolicy
from tests.gateway.conftest import DOMAIN, Make, World


def soon(world: World) -> int:
    return world.clock.now // 1000 + READING_LIFE_S // 2


def document(response: httpx2.Response) -> ChannelDocument:
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    read = document_from_json(orjson.loads(response.content))
    assert isinstance(read, ChannelDocument)
    return read


def refused(response: httpx2.Response, status: int, code: str) -> None:
    assert response.headers["cache-control"] == "no-store"
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_session_key_and_payer_read_what_was_issued(world: World) -> None:
    payer = await world.payer()
    for _ in range(3):
        await payer.complete()

    for key in (payer.session, payer.wallet):
        read = document(await payer.read(until=soon(world), key=key))

        assert (read.domain, read.channel, read.following) == (DOMAIN, payer.channel, None)
        receipts = [verify(item, DOMAIN, signer=world.key.address).message for item in read.receipts]
        assert receipts == [payer.receipts[place] for place in range(3)]
        assert read.acknowledgements == []
        assert read.voucher is not None  # The last request's: it came before its own receipt.
        held = verify(read.voucher, DOMAIN, signer=payer.session.address).message
        assert held.acknowledgement.receipt_count == 2
    later = document(await payer.read(2, until=soon(world)))
    assert [item.message.sequence for item in later.receipts] == [2]
    assert document(await payer.read(10**18, until=soon(world))).receipts == []


async def test_nobody_else_reads_them(world: World) -> None:
    payer, other = await world.payer(), await world.payer()
    await payer.complete()

    for key in (other.session, other.wallet, world.key, Key.generate()):
        refused(await payer.read(until=soon(world), key=key), 401, "wrong-signer")
    refused(await payer.http.get(f"{RECEIPTS_PATH}/{to_hex(payer.channel.id)}"), 402, "payment-required")


async def test_a_credential_is_good_for_one_page_and_not_for_long(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    until = soon(world)
    path = reading(payer.channel.id, 0, Timestamp(until)).decode().removeprefix("GET ")
    headers = payer.headers(path.encode(), offer_hash=ZERO_HASH)  # Without the method: not what is asked.
    refused(await payer.http.get(path, headers=headers), 400, "request-hash-mismatch")
    good = payer.headers(b"GET " + path.encode(), offer_hash=ZERO_HASH)
    for other in (path.replace("from=0", "from=1"), path.replace(str(until), str(until + 1))):
        refused(await payer.http.get(other, headers=good), 400, "request-hash-mismatch")
    assert (await payer.http.get(path, headers=good)).status_code == 200

    for wrong in (until + READING_LIFE_S, soon(world) - READING_LIFE_S, 0):
        refused(await payer.read(until=wrong), 401, "credential-expired")
    world.clock.advance(READING_LIFE_S)
    refused(await payer.http.get(path, headers=good), 401, "credential-expired")


async def test_a_credential_for_something_else_reads_nothing(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    path = reading(payer.channel.id, 0, Timestamp(soon(world))).decode().removeprefix("GET ")

    for headers in (payer.headers(), payer.headers(payer.body()), payer.headers(b"{}", offer_hash=ZERO_HASH)):
        refused(await payer.http.get(path, headers=headers), 400, "request-hash-mismatch")


@pytest.mark.parametrize(
    "path", ["0x00?until=5", "nonsense?until=5", "{}", "{}?until=-1", "{}?until=5&from=x"]
)
async def test_what_is_no_page_is_said(world: World, path: str) -> None:
    payer = await world.payer()
    asked = path.replace("{}", to_hex(payer.channel.id))

    response = await payer.http.get(f"{RECEIPTS_PATH}/{asked}", headers=payer.headers())

    refused(response, 400, "malformed-message")


async def test_a_channel_that_is_not_known(world: World) -> None:
    refused(await world.stranger().read(until=soon(world)), 404, "channel-unknown")
    payer, stranger = await world.payer(), world.stranger()
    asked = reading(stranger.channel.id, 0, Timestamp(soon(world)))
    headers = payer.headers(asked, offer_hash=ZERO_HASH)
    path = asked.decode().removeprefix("GET ")
    refused(await payer.http.get(path, headers=headers), 404, "channel-unknown")


async def test_pages_follow_one_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "PAGE", 2)
    payer = await world.payer()
    for _ in range(5):
        await payer.complete()
    assert (await payer.acknowledge()).status_code == 200
    await world.cashier.settle(leaving=True)

    start, receipts, acknowledgements = 0, [], []
    while start is not None:
        page = document(await payer.read(start, until=soon(world)))
        assert len(page.receipts) <= 2
        receipts += [item.message for item in page.receipts]
        acknowledgements += page.acknowledgements
        start = page.following

    assert receipts == [payer.receipts[place] for place in range(5)]
    assert [item.receipt_count for item in acknowledgements] == [5]


async def test_what_was_settled_is_shown_with_what_it_acknowledged(make_world: Make) -> None:
    """Also of requests that came to nothing, whose vouchers were settled all the same."""
    world = await make_world(settle_policy=SettlePolicy(amount=Atoms(1), interval_s=900, minimum=Atoms(1)))
    payer = await world.payer()
    settled = []
    for _ in range(3):
        await payer.complete()
        await payer.complete()
        await world.cashier.settle()
        await world.watch.poll()
        settled.append(world.books.tabs[payer.channel.id].voucher.message.acknowledgement)
    await payer.complete()

    read = document(await payer.read(until=soon(world)))

    assert [item for item in read.acknowledgements if item in settled] == settled
    assert len({item.receipt_count for item in settled}) == 3


async def test_a_closed_channel_is_read_like_any_other(world: World) -> None:
    payer = await world.payer()
    await payer.complete()
    assert (await payer.acknowledge()).status_code == 200
    assert (await payer.close()).status_code == 200

    assert len(document(await payer.read(until=soon(world))).receipts) == 1


async def test_nothing_of_the_words_is_in_it(world: World) -> None:
    payer = await world.payer()
    body = payer.body(messages=[{"role": "user", "content": "A secret that nobody else is to read."}])
    answer = await payer.complete(body)

    text = (await payer.read(until=soon(world))).text

    assert "secret" not in text
    assert answer["choices"][0]["message"]["content"] not in text


def test_a_receipt_has_no_field_for_words() -> None:
    assert "string" not in Receipt.TYPE
