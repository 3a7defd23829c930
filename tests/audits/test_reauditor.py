"""What a re-auditor makes of what it is shown, and of what it is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from tallystick.ports import PostedOffer
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.errors import DossierMismatch, DrawPending, MalformedMessage, MarketError
from tallystick.protocol.examining import Opinion as Found
from tallystick.protocol.examining import finding
from tallystick.protocol.finding import Verdict
from tallystick.protocol.signed import Key, sign, verify
from tallystick.protocol.strikes import Opinion, accusation_id
from tallystick.protocol.units import ZERO_HASH, Address, Hash32, Milliseconds
from tallystick.protocol.viewing import Shown, Viewing
from tallystick.protocol.wire import signed_from_json
from tallystick_node.engine.upstream import EngineGone
from tallystick_node.network.posting import PeerRefused, PeerSilent
from tallystick_node.quality.asking import EngineRefused
from tallystick_node.quality.reauditor import Charge, Reauditor
from tests.audits.serving import Now
from tests.audits.showing import DOMAIN, OFFER, PROVIDER, SCALES, sample

OWN = Key(keccak(b"who is drawn"))
STRIKERS = [Key(keccak(b"striker %d" % number)) for number in range(3)]


def dossier_of(number: int) -> Dossier:
    one = sample([5, 6, 1], sequence=number)
    return Dossier(receipts=(one.receipt,), samples=(one,))


def struck(auditor: Key, dossier: Dossier) -> Shown:
    found = finding(Found(scales=SCALES), dossier.samples, auditor=auditor.address, found_at=Milliseconds(1))
    signed = sign(replace(found, verdict=Verdict.STRIKE), DOMAIN, auditor).signed
    return Shown(finding=signed, dossier=dossier)


@dataclass
class World:
    """Three who struck, each at an endpoint of its own, and an engine that says what it is told to."""

    verdict: Verdict | Exception = Verdict.STRIKE
    known: bool = True
    silent: set[int] = field(default_factory=set)
    asked: list[tuple[int, Viewing]] = field(default_factory=list)
    audited: int = 0
    time: float = 0.0

    def __post_init__(self) -> None:
        self.shown = [struck(key, dossier_of(number)) for number, key in enumerate(STRIKERS)]
        self.reauditor = Reauditor(
            provider=OWN.address,
            key=OWN,
            domain=DOMAIN,
            offers=self.offers,
            auditing=self,
            engine_models={},
            viewer=self,
            clock=Now(),
            local=False,
            now=lambda: self.time,
        )
        self.charge = Charge(
            accusation=accusation_id(PROVIDER.address, 0),
            provider=PROVIDER.address,
            findings=tuple(one.finding.message for one in self.shown),
        )

    def offers(self) -> Sequence[PostedOffer]:
        stake: Any = None
        offers = [
            replace(OFFER, provider=key.address, endpoint=f"https://striker{number}.example")
            for number, key in enumerate(STRIKERS)
        ]
        return [PostedOffer(offer=offer, offer_hash=ZERO_HASH, stake=stake) for offer in offers]

    async def dossier(self, endpoint: str, endpoint_key: Hash32, body: bytes) -> bytes:
        number = int(endpoint.removeprefix("https://striker")[0])
        signed = signed_from_json(Viewing, orjson.loads(body))
        self.asked.append((number, verify(signed, DOMAIN, signer=OWN.address).message))
        if number in self.silent:
            raise PeerRefused(404, b"") if number else PeerSilent("gone")
        return orjson.dumps(self.shown[number].to_json())

    def knows(self, model: str) -> bool:
        return self.known and model == OFFER.model

    async def reaudit(
        self, dossier: Dossier, signers: frozenset[Address], engine_model: str, replies: Any
    ) -> Verdict:
        assert signers == {PROVIDER.address}
        self.audited += 1
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict

    async def says(self, *, late: bool = False) -> tuple[Opinion, ...] | None:
        self.reauditor.opinions(self.charge, late=False)
        await self.reauditor.step()
        return self.reauditor.opinions(self.charge, late=late)


async def test_it_asks_each_who_struck_for_its_own_and_says_what_its_engine_says() -> None:
    world = World()
    assert await world.says() == (Opinion.UPHOLD,) * 3
    assert [number for number, _ in world.asked] == [0, 1, 2]
    assert [one.finding_hash for _, one in world.asked] == [
        shown.finding.message.struct_hash() for shown in world.shown
    ]
    assert {(one.accusation, one.auditor) for _, one in world.asked} == {
        (world.charge.accusation, OWN.address)
    }
    world.verdict = Verdict.CLEAR
    assert await world.says() == (Opinion.UPHOLD,) * 3  # It looks once.
    assert world.audited == 3


@pytest.mark.parametrize("verdict", [Verdict.CLEAR, Verdict.ALARM])
async def test_what_it_would_not_have_struck_is_clear(verdict: Verdict) -> None:
    assert await World(verdict=verdict).says() == (Opinion.CLEAR,) * 3


@pytest.mark.parametrize("error", [EngineRefused("no"), DossierMismatch("It was not drawn.")])
async def test_what_no_audit_holds_of_is_clear(error: Exception) -> None:
    assert await World(verdict=error).says() == (Opinion.CLEAR,) * 3


async def test_what_nobody_shows_is_clear_once_it_is_late() -> None:
    world = World(silent={0, 2})
    assert await world.says() is None
    assert await world.says(late=True) == (Opinion.CLEAR, Opinion.UPHOLD, Opinion.CLEAR)


async def test_who_showed_nothing_is_asked_again_after_a_while() -> None:
    world = World(silent={0})
    await world.says()
    await world.says()
    assert len(world.asked) == 3
    world.silent, world.time = set(), 60.0
    assert await world.says() == (Opinion.UPHOLD,) * 3
    assert len(world.asked) == 4


@pytest.mark.parametrize(
    "error", [EngineGone("gone"), DrawPending("not yet"), MalformedMessage("the engine stammers")]
)
async def test_what_it_cannot_audit_it_says_nothing_of(error: MarketError | EngineGone) -> None:
    world = World(verdict=error)
    assert await world.says() is None
    assert world.reauditor.opinions(world.charge, late=True) == (Opinion.NONE,) * 3
    world.verdict, world.time = Verdict.STRIKE, 60.0
    assert await world.says() == (Opinion.UPHOLD,) * 3


async def test_of_one_that_it_cannot_audit_it_says_nothing_and_of_the_others_what_it_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sham that breaks its engine does not silence it on what is true."""
    world = World()
    audits = world.reaudit

    async def breaks(*given: Any) -> Verdict:
        found = await audits(*given)
        if world.audited == 2:
            raise EngineGone("gone")
        return found

    monkeypatch.setattr(world, "reaudit", breaks)
    assert await world.says() is None
    assert await world.says(late=True) == (Opinion.UPHOLD, Opinion.NONE, Opinion.UPHOLD)


async def test_what_it_has_no_scales_of_it_says_nothing_of() -> None:
    world = World(known=False)
    assert await world.says() is None
    assert world.reauditor.opinions(world.charge, late=True) == (Opinion.NONE,) * 3


def other_dossier(world: World) -> Shown:
    return replace(world.shown[0], dossier=dossier_of(9))


def doctored(world: World) -> Shown:
    (one,) = world.shown[0].dossier.samples
    changed = replace(world.shown[0].dossier, samples=(replace(one, ids=(5, 7, 1)),))
    return replace(world.shown[0], dossier=changed)


def by_another_key(world: World) -> Shown:
    (one,) = world.shown[0].dossier.samples
    signed = sign(one.receipt.message, DOMAIN, OWN).signed
    receipt = replace(one, receipt=replace(signed, signature=b"\0" * 65))
    return replace(world.shown[0], dossier=Dossier(receipts=(receipt.receipt,), samples=(receipt,)))


@pytest.mark.parametrize("shows", [other_dossier, doctored, by_another_key])
async def test_what_the_finding_does_not_bind_was_not_shown(shows: Any) -> None:
    world = World()
    world.shown[0] = shows(world)
    assert await world.says() is None
    assert world.audited == 2
    assert await world.says(late=True) == (Opinion.CLEAR, Opinion.UPHOLD, Opinion.UPHOLD)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b'{"finding": 1}', b"[" * 100_000])
async def test_what_is_nonsense_was_not_shown(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def nonsense(*_: object) -> bytes:
        return content

    monkeypatch.setattr(world, "dossier", nonsense)
    assert await world.says(late=True) == (Opinion.CLEAR,) * 3


async def test_nobody_is_asked_where_no_offer_of_its_own_points() -> None:
    world = World()
    world.offers = lambda: []  # type: ignore[method-assign]
    world.reauditor._offers = world.offers
    assert await world.says(late=True) == (Opinion.CLEAR,) * 3
    assert world.asked == []


async def test_what_is_dismissed_is_not_looked_at_any_more() -> None:
    world = World(silent={0, 1, 2})
    await world.says()
    world.reauditor.dismiss(world.charge.accusation)
    world.silent, world.time = set(), 60.0
    await world.reauditor.step()
    assert (len(world.asked), world.audited) == (3, 0)
