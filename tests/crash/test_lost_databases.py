"""Either side loses its whole database, or starts from an older copy: both go on, and nothing is lost but
what only the loser knew."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallystick.protocol.receipt import Receipt
from tests.crash.arena import Arena, Wallet, finish
from tests.crash.test_points import BUYING
from tests.warm import Warm

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Arena]:
    with Arena.open(tmp_path_factory.mktemp("arena"), warm) as arena:
        yield arena


@pytest.fixture
def wallet(arena: Arena) -> Iterator[Wallet]:
    arena.start()
    wallet = arena.wallet()
    arena.pay(wallet, BUYING)
    yield wallet
    arena.stop()


def require_goes_on(arena: Arena, wallet: Wallet, seen: list[Receipt]) -> list[Receipt]:
    """What was ever seen under a channel and a sequence is what is there now; and there is more."""
    receipts = arena.require_whole(wallet)
    now = {(receipt.channel_id, receipt.sequence): receipt for receipt in receipts}
    assert all(now[receipt.channel_id, receipt.sequence] == receipt for receipt in seen)
    assert len(receipts) > len(seen)
    return receipts


def test_a_gateway_that_lost_its_database(arena: Arena, wallet: Wallet) -> None:
    seen = arena.require_whole(wallet)
    arena.stop()
    arena.lose_database()
    arena.start()
    arena.pay(wallet, BUYING)
    receipts = require_goes_on(arena, wallet, seen)
    lost, following = {item.channel_id for item in seen}, {item.channel_id for item in receipts[len(seen) :]}
    assert lost.isdisjoint(following)
    assert {(item.channel_id, item.sequence) for item in arena.issued()} >= {
        (item.channel_id, item.sequence) for item in seen
    }


@contextmanager
def settling_nothing(arena: Arena) -> Iterator[None]:
    """What is bought meanwhile is in vouchers alone; the gateway is dead and its database gone afterwards."""
    arena.stop()
    config = arena.provider.config
    quick = config.read_text()
    config.write_text(
        quick.replace("amount = 1\n", "amount = 1000000\n").replace("interval_s = 1", "interval_s = 900")
    )
    arena.start()
    yield
    arena.provider.running.kill()
    arena.lose_database()
    config.write_text(quick)
    arena.start()


def test_a_gateway_that_was_killed_and_lost_its_database_under_load(arena: Arena, wallet: Wallet) -> None:
    """Vouchers that were not settled yet come back from the payer too."""
    with settling_nothing(arena):
        arena.pay(wallet, BUYING)
        child = arena.begin(wallet, BUYING * 2)
    finish(child, 2 * len(BUYING))
    assert arena.require_whole(wallet)


def test_a_gateway_with_an_older_copy(arena: Arena, wallet: Wallet) -> None:
    arena.require_whole(wallet)
    arena.stop()
    copy = shutil.copy(arena.database, arena.database.with_name("copy.db"))
    arena.start()
    arena.pay(wallet, BUYING)
    seen = arena.require_whole(wallet)
    arena.stop()
    for name in ("node.db-wal", "node.db-shm"):
        arena.database.with_name(name).unlink(missing_ok=True)
    shutil.copy(copy, arena.database)
    arena.start()
    arena.pay(wallet, BUYING)
    require_goes_on(arena, wallet, seen)


def test_a_payer_that_lost_its_purse(arena: Arena, wallet: Wallet) -> None:
    seen = arena.require_whole(wallet)
    shutil.rmtree(wallet.home / "purse")
    arena.pay(wallet, ["recover", *BUYING])
    receipts = require_goes_on(arena, wallet, seen)
    assert {item.channel_id for item in receipts} == {item.channel_id for item in seen}, "the same channel"


def test_a_payer_that_lost_its_purse_in_the_middle_of_an_answer(arena: Arena, wallet: Wallet) -> None:
    """What it cannot check it does not pay, and accuses nobody of; a new channel takes its requests."""
    seen = arena.require_whole(wallet)
    child = arena.begin(wallet, ["long"], "receipt.checked")
    child.communicate()
    shutil.rmtree(wallet.home / "purse")
    arena.pay(wallet, ["recover", *BUYING])
    require_goes_on(arena, wallet, seen)


def test_a_payer_with_an_older_copy_of_its_purse(arena: Arena, wallet: Wallet) -> None:
    arena.require_whole(wallet)
    copy = wallet.home / "copy"
    shutil.copytree(wallet.home / "purse", copy)
    arena.pay(wallet, BUYING)
    seen = arena.require_whole(wallet)
    shutil.rmtree(wallet.home / "purse")
    copy.rename(wallet.home / "purse")
    arena.pay(wallet, BUYING)
    receipts = require_goes_on(arena, wallet, seen)
    assert {item.channel_id for item in receipts} == {item.channel_id for item in seen}, "the same channel"


def test_a_lost_purse_is_found_again_from_the_command_line(arena: Arena) -> None:
    arena.start()
    wallet = Wallet(arena.market.payer, arena.market.home)
    arena.pay(wallet, BUYING)
    seen = arena.require_whole(wallet)
    shutil.rmtree(wallet.home / "purse")
    command = [Path(sys.executable).with_name("tally"), "recover", "--json"]
    environment = {**os.environ, **arena.market.environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["channels"]
    assert sum(int(item["paid"]) for item in found) == sum(receipt.cost for receipt in seen)
    assert [item["reached"] for item in found if item["state"] == "open"] == [True]
    arena.pay(wallet, BUYING)
    require_goes_on(arena, wallet, seen)
    arena.stop()


def test_both_lose_theirs(arena: Arena, wallet: Wallet) -> None:
    """Nothing is left but the chain: what was settled stays settled, and the wallet goes on."""
    before = arena.require_whole(wallet)
    arena.stop()
    arena.lose_database()
    shutil.rmtree(wallet.home / "purse")
    arena.start()
    arena.pay(wallet, ["recover", *BUYING])
    require_no_place_twice(before, arena.require_whole(wallet))


def test_both_lose_theirs_before_anything_was_settled(arena: Arena) -> None:
    """The payer has nothing to show, and the chain no settlement: the gateway signs no sequence twice even
    so."""
    arena.start()
    wallet = arena.wallet()
    with settling_nothing(arena):
        arena.pay(wallet, BUYING)
        before = arena.held(wallet)
    shutil.rmtree(wallet.home / "purse")
    arena.pay(wallet, ["recover", *BUYING])
    require_no_place_twice(before, arena.require_whole(wallet))
    arena.stop()


def require_no_place_twice(before: list[Receipt], after: list[Receipt]) -> None:
    assert before
    assert after
    places = {(receipt.channel_id, receipt.sequence) for receipt in before}
    assert places.isdisjoint((receipt.channel_id, receipt.sequence) for receipt in after)
