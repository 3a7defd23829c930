"""A provider that has forgotten: it issues no receipt twice, and gets its half back from its payers."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import ZERO_HASH, Atoms
from tallystick.protocol.voucher import Close, Tally
from tallystick.protocol.wire import RESTORE_PATH, receipt_text, signed_from_json, signed_to_json
from tallystick_node.cli import restored
from tallystick_node.store.sqlite import SqliteStore
from tests.gateway.conftest import DOMAIN, World
from tests.gateway.payer import Payer

CAP = 10**6


async def bought(world: World, requests: int = 3, *, wallet: Key | None = None) -> Payer:
    """A payer with a deposit and a channel, and receipts that it has acknowledged."""
    payer = world.stranger()
    if wallet is not None:
        payer.wallet = wallet
        payer.channel = replace(payer.channel, payer=wallet.address)
    world.chain.deposit(payer.wallet.address, 10 * CAP)
    world.chain.open(payer.channel, CAP)
    await world.watch.poll()
    for _ in range(requests):
        await payer.complete()
    assert (await payer.acknowledge()).status_code == 200
    return payer


def lose(world: World) -> Callable[[], None]:
    def change() -> None:
        for path in world.folder.glob("node.db*"):
            path.unlink()

    return change


def keep_copy(world: World) -> Callable[[], None]:
    """Copies the database as it is now; what puts the copy in its place."""
    copy = world.folder / "copy"
    copy.mkdir()
    store = world.store
    assert isinstance(store, SqliteStore)
    store.checkpoint()
    shutil.copy(world.folder / "node.db", copy)

    def put_back() -> None:
        for name in ("node.db-wal", "node.db-shm"):
            (world.folder / name).unlink(missing_ok=True)
        shutil.copy(copy / "node.db", world.folder)

    return put_back


def half(world: World, payer: Payer, *, count: int | None = None) -> list[Signed[Receipt]]:
    """The payer's receipts, as the provider signed them."""
    messages = [payer.receipts[sequence] for sequence in range(payer.tally.count)][:count]
    return [sign(message, DOMAIN, world.key).signed for message in messages]


async def restore(
    payer: Payer, receipts: list[Signed[Receipt]], tally: Tally | None = None, **changes: Any
) -> Any:
    voucher = payer.credential(tally=tally).voucher
    body = orjson.dumps(
        {"voucher": signed_to_json(voucher), "receipts": [signed_to_json(item) for item in receipts]}
    )
    changes = {"offer_hash": ZERO_HASH} | changes
    return await payer.http.post(RESTORE_PATH, content=body, headers=payer.headers(body, **changes))


def code(response: Any) -> str:
    return str(response.json()["error"]["code"])


async def end_epoch(world: World) -> None:
    await world.cashier.settle()
    await world.watch.poll()
    await world.cashier.close_lost()
    await world.watch.poll()


async def test_a_lost_database_is_put_together_from_the_payers_half(world: World) -> None:
    payer = await bought(world)
    issued = dict(payer.receipts)
    await world.restart(lose(world))
    payer.http = world.http

    refused = await payer.post(payer.body())
    assert (refused.status_code, code(refused)) == (409, "channel-lost")
    hidden = await payer.post(payer.body(), tally=Tally())
    assert (hidden.status_code, code(hidden)) == (409, "channel-lost")
    assert world.engine.started == 3
    assert code(await payer.close()) == "channel-lost"

    answer = await restore(payer, half(world, payer))
    assert answer.status_code == 200, answer.text
    close = signed_from_json(Close, answer.json()["close"])
    assert close.message == Close(channel_id=payer.channel.id, cumulative_amount=payer.tally.amount)
    assert code(await payer.post(payer.body())) == "channel-lost"
    await end_epoch(world)
    assert world.chain.settlements == [[(payer.channel.id, payer.tally.amount)]]

    payer.channel = replace(payer.channel, epoch=1)
    payer.tally, payer.receipts = Tally(), {}
    await payer.complete(grant=payer.grant(CAP, deadline=world.chain.now + 3600, epoch=1))
    again = payer.receipts[0]
    assert again.channel_id != issued[0].channel_id


async def test_the_payers_half_is_durable_before_it_is_answered(world: World) -> None:
    payer = await bought(world)
    await world.restart(lose(world))
    payer.http = world.http
    await restore(payer, half(world, payer))
    await world.crash()
    payer.http = world.http
    tab = world.books.tabs[payer.channel.id]
    assert (tab.lost, tab.refusing, tab.acknowledged, tab.issued) == (True, True, payer.tally, payer.tally)
    await end_epoch(world)
    assert world.chain.settlements == [[(payer.channel.id, payer.tally.amount)]]


async def test_a_half_that_comes_in_pieces(world: World) -> None:
    payer = await bought(world, 5)
    await world.restart(lose(world))
    payer.http = world.http
    receipts = half(world, payer)
    first = (await restore(payer, receipts[:2])).json()
    assert first == {"receiptCount": "2", "close": None}
    again = (await restore(payer, receipts[:3])).json()
    assert again == {"receiptCount": "3", "close": None}
    last = (await restore(payer, receipts[3:])).json()
    assert (last["receiptCount"], last["close"] is None) == ("5", False)
    repeated = (await restore(payer, [])).json()
    assert repeated == last


async def test_halves_that_do_not_fit_change_nothing(world: World) -> None:
    payer = await bought(world, 4)
    other = await bought(world, 1)
    await world.restart(lose(world))
    payer.http = other.http = world.http
    receipts = half(world, payer)
    forged = [sign(item.message, DOMAIN, Key.generate()).signed for item in receipts]
    held = world.held()
    for response, expected in (
        (await restore(payer, forged), "wrong-signer"),
        (await restore(payer, receipts[1:]), "acknowledgement-mismatch"),
        (await restore(payer, [receipts[0], receipts[2]]), "acknowledgement-mismatch"),
        (await restore(payer, half(world, other)), "malformed-message"),
        (await restore(payer, receipts, key=Key.generate()), "wrong-signer"),
        (await restore(payer, receipts * 100), "malformed-message"),
    ):
        assert code(response) == expected
    assert world.held() == held
    assert (await restore(payer, receipts)).status_code == 200


async def test_receipts_of_an_earlier_receipt_key_are_ours(world: World) -> None:
    payer = await bought(world)
    receipts = half(world, payer)
    world.chain.receipt_keys.add(world.key.address)
    provider = world.key.address

    def change() -> None:
        lose(world)()
        world.key = Key.generate()

    await world.restart(change)
    assert world.books.provider != provider  # The fixture's provider is its key.
    payer.http = world.http
    world.books.provider = provider
    world.chain.read_again()
    world.books.past.birth = None
    await world.watch.poll()
    assert (await restore(payer, receipts)).status_code == 200


async def test_what_a_payer_hides_is_what_was_not_settled(world: World) -> None:
    payer = await bought(world, 2)
    await world.cashier.settle(leaving=True)
    settled = payer.tally.amount
    await payer.complete()
    await payer.acknowledge()
    await world.restart(lose(world))
    payer.http = world.http
    answer = await restore(payer, [], Tally())
    assert answer.json()["close"]["close"]["cumulativeAmount"] == "0"
    await end_epoch(world)
    place = payer.channel.payer, payer.channel.provider, payer.channel.session_key
    assert world.chain.channels[place].key.epoch == 1
    assert sum(amount for _, amount in world.chain.settlements[-1]) == settled


async def test_a_new_payer_is_served_at_once_and_a_new_key_of_an_old_one_is_not(world: World) -> None:
    """Whoever had a deposit may have been served on any key, by a grant that the chain never saw."""
    old = await bought(world)
    await world.restart(lose(world))
    new = await bought(world)
    assert new.tally.count == 3
    strange = world.stranger()
    strange.wallet = old.wallet
    strange.channel = replace(strange.channel, payer=old.wallet.address)
    grant = strange.grant(CAP, deadline=world.chain.now + 3600)
    assert code(await strange.post(strange.body(), grant=grant)) == "channel-lost"
    assert (await restore(strange, [], grant=grant)).status_code == 200
    await world.cashier.submit_grants()
    await world.watch.poll()
    await end_epoch(world)
    strange.channel = replace(strange.channel, epoch=1)
    await strange.complete(grant=strange.grant(CAP, deadline=world.chain.now + 3600, epoch=1))


async def test_a_first_start_has_nothing_to_forget(world: World) -> None:
    assert world.store is not None
    assert world.store.birth() == 0
    early = await bought(world)
    await world.restart()
    early.http = world.http
    await early.complete()
    assert early.tally.count == 4


async def test_an_older_copy_is_noticed(world: World) -> None:
    payer = await bought(world, 2)
    put_back = keep_copy(world)
    await payer.complete()
    await payer.acknowledge()
    await payer.complete()
    await world.restart(put_back)
    payer.http = world.http
    assert code(await payer.post(payer.body())) == "channel-lost"
    answer = (await restore(payer, half(world, payer)[2:])).json()
    assert answer["receiptCount"] == str(payer.tally.count) == "4"
    await end_epoch(world)
    assert world.chain.settlements == [[(payer.channel.id, payer.tally.amount)]]


async def test_a_copy_without_its_log_of_starts_is_noticed(world: World) -> None:
    payer = await bought(world)
    await world.restart((world.folder / "node.db.lock").unlink)
    payer.http = world.http
    assert code(await payer.post(payer.body())) == "channel-lost"


async def test_a_copy_from_before_starts_were_counted_is_noticed(world: World) -> None:
    """What an earlier version of the program had made, put back without anything beside it."""
    payer = await bought(world)

    def make_older() -> None:
        with sqlite3.connect(world.folder / "node.db") as db:
            db.execute("PRAGMA user_version = 0")
        db.close()
        (world.folder / "node.db.lock").unlink()

    await world.restart(make_older)
    payer.http = world.http
    assert code(await payer.post(payer.body())) == "channel-lost"


async def test_a_lost_power_is_noticed_unless_every_save_was_on_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = await bought(world)
    await world.crash()
    payer.http = world.http
    await payer.complete()  # The same boot: the process died, and nothing is lost.
    monkeypatch.setattr("tallystick_node.store.sqlite.boot", lambda: "another")
    await world.crash()
    payer.http = world.http
    assert code(await payer.post(payer.body())) == "channel-lost"


def test_a_database_on_power_need_not_care_for_the_boot(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "node.db", "power")
    for connection in (store._db, store._writer, store._background):
        connection.close()
    store._starts.close()
    monkeypatch.setattr("tallystick_node.store.sqlite.boot", lambda: "another")
    again = SqliteStore(tmp_path / "node.db", "power")
    assert not again.forgetful
    again.close()


async def test_more_settled_than_we_ever_billed_is_a_sign(world: World) -> None:
    payer = await bought(world)
    await payer.complete()
    world.chain.settle([(payer.channel, payer.credential().voucher)])
    await world.watch.poll()
    await payer.complete()  # We hold that receipt, though not the voucher.
    more = replace(payer.tally, amount=Atoms(payer.tally.amount + 1))
    world.chain.settle([(payer.channel, payer.credential(tally=more).voucher)])
    await world.watch.poll()
    assert code(await payer.post(payer.body())) == "channel-lost"
    assert (await restore(payer, [])).status_code == 200


async def test_a_long_history_is_shown_in_pages_and_lets_others_have_their_turn(world: World) -> None:
    payer = await bought(world, 1)
    tab = world.books.tabs[payer.channel.id]
    changes = []
    for sequence in range(1, 1_005):
        receipt = replace(
            payer.receipts[0],
            sequence=sequence,
            cumulative_cost=Atoms(payer.receipts[0].cost * (sequence + 1)),
        )
        changes.append(
            world.books.restore(tab, receipt, receipt_text(sign(receipt, DOMAIN, world.key).signed), wanted=0)
        )
    assert world.store is not None
    await world.store.save(*changes)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    credential = payer.credential(b'{"fromSequence": "0"}', offer_hash=ZERO_HASH)
    waiting = asyncio.create_task(others())
    page = await world.gateway.resync(credential, b'{"fromSequence": "0"}')
    waiting.cancel()
    assert (len(page["receipts"]), turns) == (1_000, 10)
    rest = (await payer.resync(1_000)).json()["receipts"]
    assert [item["receipt"]["sequence"] for item in rest] == [str(number) for number in range(1_000, 1_005)]


async def test_a_healthy_channel_has_nothing_to_restore(world: World) -> None:
    payer = await bought(world)
    answer = (await restore(payer, half(world, payer))).json()
    assert answer == {"receiptCount": "3", "close": None}
    await payer.complete()
    assert payer.tally.count == 4


async def test_the_operator_says_that_the_database_is_a_copy(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    payer = await bought(world)

    def say() -> None:
        (world.folder / "receipt.json").touch()
        config = world.folder / "node.toml"
        config.write_text(
            'rpc = "http://127.0.0.1:9"\ndeployment = "d.json"\n'
            '[keys]\nreceipt = "receipt.json"\n[engine]\nurl = "http://127.0.0.1:9"\n'
        )
        restored(config)

    await world.restart(say)
    assert capsys.readouterr().out.startswith("1 channels are taken as lost")
    payer.http = world.http
    assert code(await payer.post(payer.body())) == "channel-lost"
