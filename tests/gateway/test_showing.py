"""What a strike was found of, over real HTTP: shown to those who are drawn to re-audit it, while they are,
and to nobody else."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from tallystick.chain.audits import Accusation, Status
from tallystick.chain.errors import ChainUnavailable
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.examining import Opinion, finding
from tallystick.protocol.finding import Verdict
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.strikes import accusation_id
from tallystick.protocol.units import ZERO_ADDRESS, Address, Atoms, Milliseconds, Timestamp
from tallystick.protocol.viewing import LIFE_S, Shown, Viewing
from tallystick.protocol.wire import DOSSIERS_PATH, signed_to_json
from tallystick_node.gateway.opining import QUESTION_LIMIT
from tallystick_node.quality.dossiers import Dossiers
from tallystick_node.quality.errand import Errand
from tallystick_node.quality.showing import Showing
from tests.audits.showing import PROVIDER, SCALES, sample
from tests.gateway.conftest import DOMAIN, Make, World

AUDITOR, DRAWN = Key(keccak(b"who struck")), Key(keccak(b"who is drawn"))
ACCUSATION = accusation_id(PROVIDER.address, 0)


@dataclass
class Docket:
    """What the chain says of one accusation."""

    drawn: Iterable[Address] = (ZERO_ADDRESS, DRAWN.address)
    status: Status = Status.COMMITTING
    away: bool = False
    asked: list[str] = field(default_factory=list)

    @property
    def market(self) -> Any:
        return SimpleNamespace(deployment=SimpleNamespace(domain=DOMAIN), stake=self.stake)

    def stake(self, provider: Address) -> Any:
        self._note("stake")
        return SimpleNamespace(receipt_key=provider)

    def accusation(self, provider: Address) -> Accusation:
        self._note("accusation")
        return Accusation(
            id=accusation_id(provider, 0),
            status=self.status,
            answerer=ZERO_ADDRESS,
            fee=Atoms(0),
            draw_block=1,
            until=Timestamp(0),
            accusing=3,
        )

    def reauditors(self, _: Address) -> Iterable[Address]:
        return self.drawn

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise ChainUnavailable("It is gone.")


def showing(world: World, docket: Docket) -> Errand:
    chain: Any = docket
    dossiers = Dossiers(world.folder / "dossiers")
    return Errand(
        accusations=chain,
        showing=Showing(audits=chain, dossiers=dossiers, clock=world.clock),
        reauditor=None,
        dossiers=dossiers,
        kept_s=1,
    )


def struck() -> Shown:
    one = sample([5, 6, 1])
    found = finding(Opinion(scales=SCALES), [one], auditor=AUDITOR.address, found_at=Milliseconds(1))
    dossier = Dossier(receipts=(one.receipt,), samples=(one,))
    return Shown(
        finding=sign(replace(found, verdict=Verdict.STRIKE), DOMAIN, AUDITOR).signed, dossier=dossier
    )


class Desk:
    """A gateway that keeps what a strike was found of, and whoever asks for it."""

    def __init__(self, world: World, docket: Docket):
        self.world, self.docket, self.shown = world, docket, struck()
        Dossiers(world.folder / "dossiers").keep(self.shown, lambda _: False)

    def viewing(self, **changes: Any) -> Viewing:
        viewing = Viewing(
            accusation=ACCUSATION,
            auditor=DRAWN.address,
            finding_hash=self.shown.finding.message.struct_hash(),
            until=Timestamp(self.world.clock.now // 1000 + LIFE_S),
        )
        return replace(viewing, **changes)

    async def asks(self, viewing: Viewing, key: Key = DRAWN) -> Any:
        body = orjson.dumps(signed_to_json(sign(viewing, DOMAIN, key).signed))
        return await self.world.http.post(DOSSIERS_PATH, content=body)

    async def refuses(self, viewing: Viewing, key: Key = DRAWN) -> tuple[int, str]:
        answer = await self.asks(viewing, key)
        assert "dossier" not in answer.json()
        return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture
async def desk(make_world: Make) -> Desk:
    docket = Docket()
    return Desk(await make_world(errand=lambda world: showing(world, docket)), docket)


async def test_who_is_drawn_is_shown_what_the_strike_was_found_of(desk: Desk) -> None:
    answer = await desk.asks(desk.viewing())
    assert answer.status_code == 200
    assert Shown.from_json(answer.json()) == desk.shown
    assert answer.headers["cache-control"] == "no-store"


async def test_nobody_else_is(desk: Desk) -> None:
    other = Key.generate()
    assert await desk.refuses(desk.viewing(auditor=other.address), other) == (403, "not-drawn")
    assert await desk.refuses(desk.viewing(auditor=PROVIDER.address), PROVIDER) == (403, "not-drawn")
    assert await desk.refuses(desk.viewing(), other) == (401, "wrong-signer")
    another = desk.viewing(accusation=accusation_id(PROVIDER.address, 1))
    assert await desk.refuses(another) == (403, "not-drawn")


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.COMMITTING])
async def test_it_is_shown_while_it_can_be_committed_to(desk: Desk, status: Status) -> None:
    desk.docket.status = status
    assert await desk.refuses(desk.viewing()) == (403, "not-drawn")


async def test_a_question_is_good_for_a_while_alone(desk: Desk) -> None:
    now = desk.world.clock.now // 1000
    assert await desk.refuses(desk.viewing(until=Timestamp(now))) == (401, "credential-expired")
    assert await desk.refuses(desk.viewing(until=Timestamp(now + LIFE_S + 1))) == (401, "credential-expired")
    assert desk.docket.asked == []


async def test_what_is_not_kept_is_not_shown(desk: Desk) -> None:
    assert await desk.refuses(desk.viewing(finding_hash=keccak(b"other"))) == (404, "dossier-unknown")


async def test_nothing_is_shown_while_the_chain_says_nothing(desk: Desk) -> None:
    desk.docket.away = True
    assert await desk.refuses(desk.viewing()) == (403, "not-drawn")


async def test_a_long_question_is_not_read(desk: Desk) -> None:
    answer = await desk.world.http.post(DOSSIERS_PATH, content=b" " * (QUESTION_LIMIT + 1))
    assert (answer.status_code, answer.json()["error"]["required"]) == (413, str(QUESTION_LIMIT))


# ------------------------------------------------------------------------------------------------- on disk


def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    Dossiers(tmp_path / "dossiers").keep(struck(), lambda _: False)
    (path,) = (tmp_path / "dossiers").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_where_they_are_too_many_those_go_for_which_no_strike_was_filed(tmp_path: Path) -> None:
    many = [replace_found(struck(), number) for number in range(4)]
    kept = Dossiers(tmp_path, limit=3 * len(orjson.dumps(many[0].to_json())))
    filed = many[0].finding.message.receipt_hash
    for one in many:
        kept.keep(one, lambda receipt: receipt == filed)
    held = [kept.of(one.finding.message.struct_hash()) is not None for one in many]
    assert held == [True, False, True, True]


def test_they_are_forgotten_in_time(tmp_path: Path) -> None:
    kept, one = Dossiers(tmp_path), struck()
    kept.keep(one, lambda _: False)
    (path,) = tmp_path.iterdir()
    assert kept.forget(path.stat().st_mtime) == 0
    assert kept.forget(path.stat().st_mtime + 1) == 1
    assert kept.of(one.finding.message.struct_hash()) is None


def replace_found(shown: Shown, number: int) -> Shown:
    message = shown.finding.message
    changes: dict[str, Any] = {"found_at": number + 1}
    if number:
        changes["receipt_hash"] = keccak(b"%d" % number)
    return replace(shown, finding=sign(replace(message, **changes), DOMAIN, AUDITOR).signed)
