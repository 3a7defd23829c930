"""A re-auditor: it has what each strike of an accusation was found of from who struck, holds it against its
own engine, and says of each strike whether it would have struck as well.

Nothing that it is shown is believed but what the finding on chain and the provider's own receipts bind. What
is not shown, or not what was struck for, is clear: who strikes has to prove it. It keeps nothing on disk,
and knows neither seats nor ballots.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import orjson
import structlog

from tallystick.chain.errors import ChainError
from tallystick.ports import Clock, PostedOffer
from tallystick.protocol.dossier import Dossier, is_of, signers
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import DrawPending, MalformedMessage, MarketError, ReceiptMismatch
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.strikes import Opinion
from tallystick.protocol.units import Address, Hash32, Timestamp, to_hex
from tallystick.protocol.viewing import LIFE_S, Shown, Viewing
from tallystick.protocol.wire import signed_to_json
from tallystick.reach import reachable_safely
from tallystick_node.engine.upstream import EngineGone
from tallystick_node.network.posting import PeerRefused, PeerSilent
from tallystick_node.quality.asking import EngineRefused, Replies

_RETRY_S: Final = 20.0
"""Until who did not show something is asked again, or an engine that did not answer."""

log = structlog.get_logger("tallystick.audits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What a provider is accused of."""

    accusation: Hash32
    provider: Address
    findings: tuple[Finding, ...]
    """That were filed as strikes, in their order."""


class Auditing(Protocol):
    """Of this node, as far as it is needed here."""

    def knows(self, model: str) -> bool:
        """Whether it can audit its answers."""

    async def reaudit(
        self, dossier: Dossier, signers: frozenset[Address], engine_model: str, replies: Replies
    ) -> Verdict:
        """As the gateway's `Auditing` says."""


class Viewer(Protocol):
    async def dossier(self, endpoint: str, endpoint_key: Hash32, body: bytes) -> bytes:
        """Raises PeerSilent or PeerRefused."""


class Reauditor:
    """Of one provider. `step` belongs to the event loop, the rest to any one thread."""

    def __init__(
        self,
        *,
        provider: Address,
        key: Key,
        domain: Domain,
        offers: Callable[[], Sequence[PostedOffer]],
        auditing: Auditing,
        engine_models: Mapping[str, str],
        viewer: Viewer,
        clock: Clock,
        local: bool,
        now: Callable[[], float] = time.monotonic,
    ):
        """`offers`: that hold now, slow, raises ChainError; `engine_models`: the engine's name of each that
        is offered under another one; `local`: as of `reachable_safely`."""
        self._provider, self._key, self._domain = provider, key, domain
        self._offers, self._viewer = offers, viewer
        self._auditing, self._engine_models = auditing, engine_models
        self._clock, self._local, self._now = clock, local, now
        self._charges: dict[Hash32, Charge] = {}
        self._said: dict[Hash32, Opinion] = {}
        """By finding."""
        self._seen: set[Hash32] = set()
        """Findings of which it was shown what they are of."""
        self._replies: dict[Hash32, Replies] = {}
        """Of its engine, by accusation."""
        self._again: dict[Hash32, float] = {}
        """When to try each finding again."""

    def opinions(self, charge: Charge, *, late: bool) -> tuple[Opinion, ...] | None:
        """Of each strike, once there is one of all. Where it is `late`, what nobody has shown is clear, and
        of what was shown and could not be audited it says nothing, which costs nothing. None: there is none
        yet of something."""
        self._charges[charge.accusation] = charge
        said = [self._opinion_of(finding.struct_hash(), late) for finding in charge.findings]
        return tuple(said) if late or all(said) else None

    def _opinion_of(self, name: Hash32, late: bool) -> Opinion:
        unshown = Opinion.CLEAR if late and name not in self._seen else Opinion.NONE
        return self._said.get(name, unshown)

    def dismiss(self, accusation: Hash32) -> None:
        """Nothing more is wanted of it."""
        charge = self._charges.pop(accusation, None)
        self._replies.pop(accusation, None)
        for finding in () if charge is None else charge.findings:
            name = finding.struct_hash()
            self._seen.discard(name)
            self._said.pop(name, None)
            self._again.pop(name, None)

    async def run(self, every_s: float) -> None:
        """For ever."""
        while True:
            try:
                await self.step()
            except ChainError as error:
                log.warning("audits.reaudit-failed", code=error.code, error=str(error))
            except Exception as error:  # What strangers show must not end a node that sells.
                log.exception("audits.reaudit-broken", error=type(error).__name__)
            await asyncio.sleep(every_s)

    async def step(self) -> None:
        """Has shown to it what was not, and audits it. Raises ChainError."""
        for charge in list(self._charges.values()):
            for finding in charge.findings:
                name = finding.struct_hash()
                if name in self._said or self._now() < self._again.get(name, 0.0):
                    continue
                self._again[name] = self._now() + _RETRY_S
                opinion = await self._looked(charge, finding)
                if opinion is not Opinion.NONE:
                    self._said[name] = opinion

    async def _looked(self, charge: Charge, finding: Finding) -> Opinion:
        found = await self._shown(charge, finding)
        if found is None:
            return Opinion.NONE
        dossier, keys = found
        self._seen.add(finding.struct_hash())
        if not self._auditing.knows(dossier.model):
            self._tell("unaudited", charge, finding, "no scales of the model")
            return Opinion.NONE
        try:
            engine_model = self._engine_models.get(dossier.model, dossier.model)
            replies = self._replies.setdefault(charge.accusation, {})
            verdict = await self._auditing.reaudit(dossier, keys, engine_model, replies)
        except EngineRefused:
            verdict = Verdict.CLEAR  # As an audit has it: compared with nothing.
        except (EngineGone, ChainError, DrawPending, MalformedMessage) as error:
            self._tell("unaudited", charge, finding, str(error))
            return Opinion.NONE
        except MarketError as error:
            self._tell("refuted", charge, finding, error.code)
            verdict = Verdict.CLEAR
        return Opinion.UPHOLD if verdict is Verdict.STRIKE else Opinion.CLEAR

    # ---------------------------------------------------------------------------------- what it was found of

    async def _shown(self, charge: Charge, finding: Finding) -> tuple[Dossier, frozenset[Address]] | None:
        """And who signed its receipts. None: who struck shows nothing, or something else."""
        question = self._question(charge, finding)
        for endpoint, endpoint_key in await self._ends_of(finding.auditor):
            try:
                content = await self._viewer.dossier(endpoint, endpoint_key, question)
                return await asyncio.to_thread(self._read, finding, content)
            except PeerRefused as refused:
                self._tell("not-shown", charge, finding, f"status {refused.status}")
            except (PeerSilent, MarketError, orjson.JSONDecodeError) as error:
                self._tell("not-shown", charge, finding, str(error))
        return None

    def _question(self, charge: Charge, finding: Finding) -> bytes:
        viewing = Viewing(
            accusation=charge.accusation,
            auditor=self._provider,
            finding_hash=finding.struct_hash(),
            until=Timestamp(self._clock.milliseconds() // 1000 + LIFE_S // 2),
        )
        return orjson.dumps(signed_to_json(sign(viewing, self._domain, self._key).signed))

    async def _ends_of(self, auditor: Address) -> Sequence[tuple[str, Hash32]]:
        """Where it can be asked: as its offers say."""
        listed = await asyncio.to_thread(self._offers)
        offers = [posted.offer for posted in listed if posted.offer.provider == auditor]
        ends = [offer for offer in offers if reachable_safely(offer, local=self._local)]
        return sorted({(offer.endpoint, offer.endpoint_key) for offer in ends})

    def _read(self, finding: Finding, content: bytes) -> tuple[Dossier, frozenset[Address]]:
        """Raises MarketError, or JSONDecodeError, where that is not what the finding is of."""
        dossier = Shown.from_json(orjson.loads(content)).dossier
        if not is_of(finding, dossier):
            raise ReceiptMismatch("What is shown is not what the finding is of.")
        return dossier, signers(dossier, self._domain)

    def _tell(self, what: str, charge: Charge, finding: Finding, why: str) -> None:
        log.warning(
            f"audits.{what}", provider=to_hex(charge.provider), auditor=to_hex(finding.auditor), why=why
        )
