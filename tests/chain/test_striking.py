"""A payer takes to the chain what auditors found: each strike once, whatever dies in between, and none that
the chain would refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.chain.audits import Audits
from tallystick.chain.errors import ChainUnavailable, ContractError
from tallystick.chain.timeline import Timeline
from tallystick.client.budget import Budget
from tallystick.client.findings import HeldFinding
from tallystick.client.purse import Purse
from tallystick.client.striking import RETRY_S, Striking
from tallystick.client.tables import channels
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.sample import Sample
from tallystick.protocol.units import Address, Atoms, Milliseconds
from tests.audits.showing import CHAT, OFFER, body
from tests.chain.test_audits import STAKE, World, mine

__all__ = ["mine"]  # a fixture


class Payer:
    """Of the world's channels, with a purse."""

    def __init__(self, world: World, folder: Path):
        self.world = world
        self.purse = Purse(
            folder,
            wallet=world.payer.key,
            domain=world.payer.market.deployment.domain,
            budget=Budget(total=10**9, per_request=10**9),
            now=lambda: Milliseconds(1),
        )
        self.audits = Audits(world.payer.market)
        self.striking = Striking(self.audits, Timeline(self.audits.market.rpc).block_at)

    def holds(self, number: int, auditor: Address) -> HeldFinding:
        """What that auditor found of the world's receipt of that number."""
        key, receipt = self.world.receipts[number]
        row = {"id": key.id, "provider": key.provider, "session_key": key.session_key, "epoch": key.epoch}
        row |= {"sealed_key": b"", "state": "retired", "granted": 0, "count": 0, "amount": 0, "peaks": b""}
        with self.purse._books.begin() as database:
            database.execute(channels.insert().values(**row, delivered=0, opened_at=0))
        sample = Sample(path=CHAT, body=body(), ids=(1,), logprobs=(), offer=OFFER, receipt=receipt)
        dossier = Dossier(receipts=(receipt,), samples=(sample,))
        audit = self.purse.findings.begin(auditor, dossier, Atoms(1), 10)
        self.purse.findings.hold(audit, self.world.finding(auditor, receipt), dossier, Atoms(1))
        return self.purse.findings.all()[-1]

    def drawn(self, number: int) -> list[Address]:
        return self.world.drawn_for(self.world.receipts[number][1])

    def states(self) -> list[str]:
        return [held.state for held in self.purse.findings.all()]

    @property
    def strikes(self) -> int:
        return len(self.audits.strikes(self.world.accused))


@pytest.fixture
def payer(party: Any, staked_provider: Any, mine: Any, pass_time: Any, tmp_path: Path) -> Iterator[Payer]:
    made = Payer(World(party, staked_provider, mine, pass_time), tmp_path)
    yield made
    made.purse.close()


def test_a_strike_is_filed_once(payer: Payer) -> None:
    first, second = payer.drawn(0)[0], next(one for one in payer.drawn(1) if one != payer.drawn(0)[0])
    assert payer.striking.file(payer.purse, payer.holds(0, first))
    assert payer.striking.file(payer.purse, payer.holds(1, second))
    assert (payer.strikes, payer.states()) == (2, ["filed", "filed"])
    assert payer.striking.file(payer.purse, payer.purse.findings.all()[0])
    assert payer.strikes == 2


def test_whatever_dies_it_is_filed_by_the_next_process_and_not_twice(
    payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, strike = payer.holds(0, payer.drawn(0)[0]), payer.audits.strike
    for after in (False, True):

        def dies(exhibit: Any, after: bool = after) -> None:
            if after:
                strike(exhibit)
            raise ChainUnavailable("Dead.")

        with monkeypatch.context() as patched:
            patched.setattr(payer.audits, "strike", dies)
            with pytest.raises(ChainUnavailable):
                payer.striking.file(payer.purse, held)
        assert (payer.strikes, payer.states()) == (int(after), ["said"])
    assert payer.striking.file(payer.purse, held)
    assert (payer.strikes, payer.states()) == (1, ["filed"])


def test_what_is_refused_for_now_is_sealed_and_filed_later(
    payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, seal, sealed = payer.world, payer.audits.seal, list[int]()

    def seals(block: int) -> None:
        seal(block)
        sealed.append(block)

    monkeypatch.setattr(payer.audits, "seal", seals)
    auditor = payer.drawn(0)[0]
    held, market = payer.holds(0, auditor), world.auditors[auditor].market
    market.request_unstake(STAKE)  # Whoever strikes has something to lose.
    assert not payer.striking.is_over(payer.purse, held)
    assert not payer.striking.is_over(payer.purse, held)
    assert (sealed, payer.states()) == ([world.drawing.block.number], ["said"])

    market.mint(STAKE)
    market.add_stake(STAKE)
    world.pass_time(RETRY_S)
    assert payer.striking.is_over(payer.purse, held)
    assert (payer.strikes, payer.states()) == (1, ["filed"])


def test_a_strike_is_filed_while_its_provider_is_accused(payer: Payer) -> None:
    strikers = payer.world.strike()
    auditor = next(one for one in payer.drawn(3) if one not in strikers)
    assert payer.striking.is_over(payer.purse, payer.holds(3, auditor))
    assert (payer.strikes, payer.states()) == (4, ["filed"])
    assert payer.audits.accusation(payer.world.accused).accusing == 3


def test_what_is_refused_for_good_is_not_tried_again(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(exhibit: Any) -> None:
        del exhibit
        raise ContractError("DrawTooOld", {"until": 1, "time": 2})

    monkeypatch.setattr(payer.audits, "strike", refuse)
    assert payer.striking.is_over(payer.purse, payer.holds(0, payer.drawn(0)[0]))
    assert payer.states() == ["said"]


def test_whom_the_chain_did_not_draw_strikes_nobody(payer: Payer) -> None:
    stranger = next(one for one in payer.world.auditors if one not in payer.drawn(0))
    assert not payer.striking.file(payer.purse, payer.holds(0, stranger))
    assert (payer.strikes, payer.states()) == (0, ["said"])
