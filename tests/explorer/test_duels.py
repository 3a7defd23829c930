"""Duels on a real chain as the index and the pages tell them: every event, vote and atom, checked again."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tallystick.chain.duel_audit import check
from tallystick.chain.duel_record import DuelRecord
from tallystick.chain.duel_telling import facts_of
from tallystick.chain.duels import EMPTY_SEAT, Duels, Revealed, Status
from tallystick.chain.market import Asset
from tallystick.protocol.duel import Vote
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.vote import Choice, appeal_id, choice_of
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.site import Site
from tests.chain.test_duels import FEE, SALT, SEATS, SHARE, World

from .conftest import asked
from .indexing import Tables, index

STATES = {status.name.lower(): status for status in Status}


@pytest.fixture
def world(party: Any, staked_provider: Any, local_chain: Any) -> World:
    return World(party, staked_provider, lambda blocks: local_chain.rpc.call("anvil_mine", hex(blocks)))


class Explorer:
    """Of the chain as it is when it is read."""

    def __init__(self, chain: Any, world: World, folder: Path):
        self._held = SimpleNamespace(chain=chain, deployment=world.duels.market.deployment)
        self._world = world
        self.path = folder / "explorer.db"
        self.url = f"sqlite+aiosqlite:///{self.path}"

    @contextmanager
    def read(self) -> Iterator[TestClient]:
        asyncio.run(index(self._held, self.url))  # type: ignore[arg-type]
        self.require_conserved()
        now = self._world.duels.market.head().timestamp
        site = Site(
            database=reading(self.url),
            deployment=self._held.deployment,
            asset=Asset(symbol="TUSD", decimals=6),
            now=lambda: now,
        )
        with asked(site) as client:
            yield client

    def require_conserved(self) -> None:
        """By the asset itself, and every account by the contract."""
        tables, duels = Tables(self.path), self._world.duels
        last = tables.rows(schema.blocks)[-1]
        assert last.duels_held == last.duels_owed == duels.market.asset_balance(duels.address)
        for row in tables.rows(schema.duel_accounts):
            assert row.balance == duels.balance_of(row.address)
        for row in tables.rows(schema.judges):
            judge = duels.judge(row.address)
            assert (row.owner, row.weight, row.slot) == (judge.owner, judge.weight, judge.slot)
        for row in tables.rows(schema.duels):
            found = duels.duel(row.duel)
            assert (row.challenger, row.fee, row.seats) == (found.challenger, found.fee, found.seats)
            assert row.draw_block == found.draw_block


@pytest.fixture
def explorer(world: World, local_chain: Any, tmp_path: Path) -> Explorer:
    return Explorer(local_chain, world, tmp_path)


def steps_of(page: Any) -> dict[str, bool | None]:
    return {step["name"]: step["holds"] for step in page["steps"]}


def require_all_hold(page: Any) -> None:
    assert [step for step in page["steps"] if not step["holds"]] == []


def page_of(client: TestClient, world: World) -> Any:
    """As JSON: its state is the contract's, and whoever asks a node alone comes to the same steps."""
    answer = client.get(f"/duel/{to_hex(world.id)}")
    assert answer.status_code == 200, answer.text
    page = client.get(f"/api/duel/{to_hex(world.id)}").json()
    status = world.duels.duel(world.id).status
    if page["duel"]["state"] not in ("lapsing", "lapsed"):
        assert STATES[page["duel"]["state"]] is status
    facts = facts_of(DuelRecord(world.duels).told(world.id))
    assert facts is not None
    assert [step.to_json() for step in check(facts)] == page["steps"]
    return page


def decide(world: World, votes: tuple[Vote, ...]) -> list[Any]:
    panel = world.panel()
    cast = [world.cast(judge, vote) for judge, vote in zip(panel, votes, strict=True)]
    world.duels.decide(world.id, world.case, cast, salt=SALT)
    return panel


def test_a_shared_verdict_is_shown_with_receipts_votes_and_money(world: World, explorer: Explorer) -> None:
    with explorer.read() as client:
        page = page_of(client, world)
        assert (page["duel"]["state"], page["answers"], page["leftOver"]) == ("open", [], str(FEE))
        assert steps_of(page) == {"commitment": None, "money": None}
    panel = decide(world, (Vote.FIRST,) * SEATS)
    with explorer.read() as client:
        page = page_of(client, world)
        rows = client.get("/api/duels").json()["rows"]
        assert client.get("/duels").status_code == 200
        for who, part in (
            (world.first.address, "provider"),
            (world.second.address, "provider"),
            (panel[1], "judge"),
            (world.challenger.address, "challenger"),
        ):
            assert client.get("/api/duels", params={part: to_hex(who)}).json()["rows"] == rows
            other = to_hex(bytes(20))
            assert not client.get("/api/duels", params={part: other}).json()["rows"]
        assert not client.get("/api/duels", params={"open": "true"}).json()["rows"]
        csv = client.get("/api/duels.csv").text.splitlines()
    assert [row["duel"] for row in rows] == [to_hex(world.id)]
    assert len(csv) == 2
    assert page["duel"]["finalVerdict"] == "first"
    assert [ballot["judge"] for ballot in page["panels"][0]["ballots"]] == [to_hex(judge) for judge in panel]
    require_all_hold(page)
    assert set(steps_of(page)) == {
        *("commitment", "first receipt", "second receipt", "hidden verdict"),
        *("judges", "ballots", "verdict", "money"),
    }
    first = page["answers"][0]
    receipt = world.case.first.receipt.message
    assert (first["provider"], first["cost"]) == (to_hex(world.first.address), str(receipt.cost))
    assert first["structHash"] == to_hex(receipt.struct_hash())
    assert page["leftOver"] == "0"
    taken, given = (sum(int(move[name]) for move in page["moves"]) for name in ("taken", "given"))
    assert taken == given > FEE


def test_a_split_one_is_said_on_chain_and_settled_later(
    world: World, explorer: Explorer, pass_time: Callable[[int], None]
) -> None:
    panel, votes = world.panel(), (Vote.SECOND, Vote.SECOND, Vote.DECLINED)
    period = world.duels.terms().period_s
    committed = [world.committed(judge, vote) for judge, vote in zip(panel, votes, strict=True)]
    world.duels.summon(world.id, world.case, committed[:1])
    world.duels.commit(world.id, committed)
    with explorer.read() as client:
        page = page_of(client, world)
        assert len(page["answers"]) == 2
        assert steps_of(page)["commitment"]
    pass_time(period)
    reveals = [Revealed(judge=judge, choice=Choice.SECOND, salt=keccak(judge)) for judge in panel[:2]]
    world.duels.reveal(world.id, world.case, reveals)
    pass_time(period)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    with explorer.read() as client:
        page = page_of(client, world)
        assert page["leftOver"] == str(FEE)
        assert steps_of(page)["money"] is None
        assert steps_of(page)["ballots"]
    pass_time(period)
    world.duels.settle([world.ruling(panel, [choice_of(vote) for vote in votes])])
    with explorer.read() as client:
        page = page_of(client, world)
        require_all_hold(page)
        assert page["leftOver"] == "0"
        seats = client.get("/api/judges").json()["rows"]
        assert client.get("/judges").status_code == 200
    told = {row["address"]: row for row in seats}
    assert [told[to_hex(judge)]["declined"] for judge in panel] == [0, 0, 1]
    assert [told[to_hex(judge)]["agreed"] for judge in panel] == [1, 1, 0]


def test_a_tie_without_a_majority_pays_halves(
    world: World, explorer: Explorer, pass_time: Callable[[int], None]
) -> None:
    choices = (Choice.FIRST, Choice.SECOND, Choice.TIE)
    panel = decide(world, (Vote.FIRST, Vote.SECOND, Vote.TIE))
    pass_time(world.duels.terms().period_s)
    world.duels.settle([world.ruling(panel, choices)])
    with explorer.read() as client:
        page = page_of(client, world)
    require_all_hold(page)
    shares = [move["given"] for move in page["moves"] if move["what"] == "share"]
    assert shares == [str(SHARE // 2)] * SEATS
    assert page["leftOver"] == "0"


def test_an_appeal_overturns_a_verdict(
    world: World, explorer: Explorer, pass_time: Callable[[int], None]
) -> None:
    panel = decide(world, (Vote.FIRST, Vote.FIRST, Vote.TIE))
    ruling = world.ruling(panel, (Choice.FIRST, Choice.FIRST, Choice.TIE))
    appellant = Duels(world.second.market)
    world.second.market.mint(Atoms(7 * SHARE))
    appellant.approve(Atoms(7 * SHARE))
    appellant.appeal(ruling, Atoms(7 * SHARE))
    appeal = appeal_id(world.id)
    world.mine(3)
    judges = list(world.duels.panel(appeal, world.first.address, world.second.address))
    first, world.id = world.id, appeal
    cast = [world.cast(judge, Vote.SECOND) if any(judge) else EMPTY_SEAT for judge in judges]
    world.id = first
    world.duels.decide_appeal(world.case, cast, ruling)
    with explorer.read() as client:
        page = page_of(client, world)
        by_appeal = client.get(f"/api/duel/{to_hex(appeal)}").json()
        rows = client.get("/api/duels").json()["rows"]
        mine = client.get("/api/duels", params={"judge": to_hex(judges[0])}).json()["rows"]
    assert by_appeal == page
    assert [row["duel"] for row in rows] == [row["duel"] for row in mine] == [to_hex(first)]
    assert (page["duel"]["verdict"], page["duel"]["finalVerdict"]) == ("first", "second")
    assert [len(panel["ballots"]) for panel in page["panels"]] == [3, 7]
    require_all_hold(page)
    assert {"appeal's judges", "appeal's ballots", "appeal's verdict"} < set(steps_of(page))
    assert page["leftOver"] == "0"


def test_a_duel_that_nobody_decides_lapses(
    world: World, explorer: Explorer, pass_time: Callable[[int], None]
) -> None:
    pass_time(world.duels.terms().period_s)
    with explorer.read() as client:
        assert page_of(client, world)["duel"]["state"] == "lapsing"
    world.duels.expire(world.id)
    with explorer.read() as client:
        page = page_of(client, world)
    assert page["duel"]["state"] == "lapsed"
    assert [(move["what"], move["taken"], move["given"]) for move in page["moves"]] == [
        ("fee", str(FEE), "0"),
        ("burnt", "0", str(FEE)),
    ]


def test_a_fee_comes_out_of_what_somebody_has_with_the_duels(world: World, explorer: Explorer) -> None:
    """No event says so: the index goes by the contract's own rule."""
    decide(world, (Vote.FIRST, Vote.FIRST, Vote.FIRST))
    back = world.duels.balance_of(world.challenger.address)
    judge = next(iter(world.judges.values()))
    theirs = Duels(judge.market)
    judge.market.mint(Atoms(FEE))
    theirs.approve(Atoms(FEE))
    theirs.open(keccak(b"another"), seats=SEATS, fee=FEE)
    world.duels.open(keccak(b"a third"), seats=SEATS, fee=FEE)
    with explorer.read() as client:
        assert len(client.get("/api/duels", params={"open": "true"}).json()["rows"]) == 2
    assert world.duels.balance_of(world.challenger.address) == max(0, back - FEE)
