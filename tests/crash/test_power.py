"""`durability`: what a save survives once it returned."""

import asyncio
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from tallystick.client.tables import open_database
from tallystick.protocol.units import ZERO_HASH, ChannelId
from tallystick_node.store.records import RequestStarted
from tallystick_node.store.sqlite import SqliteStore
from tests.crash import power
from tests.crash.saving import SAVES

SAVING = Path(__file__).with_name("saving.py")


def found_after_each_save(tmp_path: Path, durability: str) -> list[tuple[int, set[int]]]:
    """(the save that returned, the nonces on the disk if the power fails at that very moment)."""
    folder = tmp_path / "node"
    SqliteStore(folder / "node.db").close()
    seen = []
    command = [sys.executable, SAVING, folder / "node.db", durability]
    for line, disk in power.run(command, folder, tmp_path / "trace"):
        after = tmp_path / f"after-{len(seen)}"
        disk.put(after)
        with sqlite3.connect(after / "node.db") as db:
            nonces = {int.from_bytes(nonce, "big") for (nonce,) in db.execute("SELECT nonce FROM requests")}
        db.close()
        seen.append((int(line.split()[1]), nonces))
    return seen


def test_with_power_whatever_a_save_returned_for_is_on_the_disk(tmp_path: Path) -> None:
    seen = found_after_each_save(tmp_path, "power")
    returned = [nonce for nonce, _ in seen]
    assert sorted(returned) == list(range(1, SAVES + 1))
    for number, (_, on_disk) in enumerate(seen, start=1):
        assert set(returned[:number]) <= on_disk


def test_with_process_a_power_cut_takes_the_last_saves(tmp_path: Path) -> None:
    """What the documents say that it loses, and what shows that the test above can fail."""
    seen = found_after_each_save(tmp_path, "process")
    assert len(seen) == SAVES
    assert seen[-1][1] < set(range(1, SAVES + 1))


def started(nonce: int) -> RequestStarted:
    return RequestStarted(channel_id=ChannelId(ZERO_HASH), nonce=nonce, request_hash=ZERO_HASH)


async def test_with_power_no_commit_is_on_the_loops_thread_and_those_that_wait_share_one(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "node.db", "power")
    commits: list[int] = []
    first, go_on = threading.Event(), threading.Event()

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            commits.append(threading.get_ident())
            first.set()
            go_on.wait(5)

    store._writer.set_trace_callback(trace)
    saves = [asyncio.create_task(store.save(started(1)))]
    assert await asyncio.to_thread(first.wait, 5)
    saves += [asyncio.create_task(store.save(started(nonce))) for nonce in range(2, 40)]
    await asyncio.sleep(0)  # The loop runs while the first commit waits for its disk.
    assert not any(save.done() for save in saves)
    go_on.set()
    await asyncio.gather(*saves)
    assert len(commits) == 2
    assert threading.get_ident() not in commits
    store.close()


async def test_with_power_a_save_that_fails_is_the_last_for_those_who_wait_too(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db", "power")
    store._writer.execute("DROP TABLE requests")
    saves = [store.save(started(1)), store.save(started(2))]
    assert all(isinstance(found, Exception) for found in await asyncio.gather(*saves, return_exceptions=True))
    assert store.failure is not None
    store.close()


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
def test_a_purse_waits_for_its_disk_only_with_power(tmp_path: Path, durability: str, level: int) -> None:
    engine = open_database(str(tmp_path / "purse.db"), durability)
    with engine.connect() as database:
        assert database.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
    engine.dispose()
