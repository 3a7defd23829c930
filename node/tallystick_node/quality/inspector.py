"""An auditor that sells its findings: it sees to it that the lottery drew what it is shown, and how much
else, before it asks its own engine.

It audits for whoever pays. Whether its finding is a strike the contract decides: of those alone whom the
chain drew. It knows no money: that an audit is paid is the gateway's business."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import orjson

from tallystick.chain.audits import Audits
from tallystick.chain.errors import ChainError
from tallystick.chain.market import Market
from tallystick.chain.timeline import Timeline
from tallystick.ports import ChainReader, Clock
from tallystick.protocol.dossier import Dossier, Drawn, drawn
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import DossierMismatch, DrawPending, WrongSigner
from tallystick.protocol.evidence import Scales
from tallystick.protocol.examining import Examined
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.lottery import BlockAt, draws_at
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.transcript import Counts
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick.protocol.viewing import Shown
from tallystick.protocol.wire import signed_to_json
from tallystick_node.engine.upstream import Upstream
from tallystick_node.quality.asking import Ask, Replies, own_engine, remembering
from tallystick_node.quality.auditor import Auditor
from tallystick_node.quality.dossiers import Dossiers
from tallystick_node.quality.lookups import Lookups

_WINDOW_S: Final = 7 * 86_400
"""Where no contract says for how long a strike may be filed."""
_T = TypeVar("_T")
Keep = Callable[[Shown], None]
"""Keeps a finding with what it is of; slow, and durable once it returns. Raises OSError."""


class Inspector:
    """Of one provider, with the scales of each model that it audits."""

    def __init__(
        self,
        *,
        provider: Address,
        key: Key,
        domain: Domain,
        scales: Mapping[str, Scales],
        sampler: str,
        reader: ChainReader,
        block_at: BlockAt,
        ask: Ask,
        clock: Clock,
        keep: Keep,
        least_stake: Atoms,
        window_s: int,
    ):
        """`scales`: by model; `keep`: what a strike is found of, before anybody hears of it; `least_stake`:
        of whom it audits for whoever pays; `window_s`: within which after a receipt a strike may be filed."""
        self._provider, self._key, self._domain = provider, key, domain
        self._scales, self._sampler = scales, sampler
        self._reader, self._block_at = reader, block_at
        self._ask, self._clock, self._keep = ask, clock, keep
        self._least_stake, self._window_s = least_stake, window_s
        self._lookups = Lookups()

    def knows(self, model: str) -> bool:
        """Whether it has the scales of the model."""
        return model in self._scales

    async def audit(self, dossier: Dossier, signers: frozenset[Address], engine_model: str) -> bytes:
        """As the gateway's `Auditing` says."""
        used = Used(self._ask)
        auditor = self._auditor(dossier.model, engine_model, used.ask)
        self._require_timely(dossier)
        await self._looked_up(lambda: self._require_stake(dossier))
        found, examined = await self._examined(auditor, dossier, signers)
        opinion, finding = auditor.conclude(examined, withheld=found.withheld)
        if opinion.verdict is Verdict.STRIKE:
            await asyncio.to_thread(self._keep, Shown(finding=finding.signed, dossier=dossier))
        return _completion(finding.signed, dossier.model, examined, found.withheld, used.counts)

    async def reaudit(
        self, dossier: Dossier, signers: frozenset[Address], engine_model: str, replies: Replies
    ) -> Verdict:
        """As the gateway's `Auditing` says."""
        auditor = self._auditor(dossier.model, engine_model, remembering(self._ask, replies))
        found, examined = await self._examined(auditor, dossier, signers)
        return auditor.conclude(examined, withheld=found.withheld)[0].verdict

    def _auditor(self, model: str, engine_model: str, ask: Ask) -> Auditor:
        scales = self._scales.get(model)
        if scales is None:
            raise DossierMismatch("This auditor has no scales of the model.", actual=model)
        return Auditor(
            key=self._key,
            address=self._provider,
            domain=self._domain,
            ask=ask,
            engine_model=engine_model,
            scales=scales,
            sampler=self._sampler,
            clock=self._clock,
        )

    async def _examined(
        self, auditor: Auditor, dossier: Dossier, signers: frozenset[Address]
    ) -> tuple[Drawn, list[Examined]]:
        found = await self._looked_up(lambda: self._drawn(dossier, signers))
        auditor.require_auditable(found.samples)
        return found, await auditor.examine(found.samples)

    async def _looked_up(self, look: Callable[[], _T]) -> _T:
        try:
            return await self._lookups.made(look)
        except ChainError as error:
            raise DrawPending("The chain does not say what was drawn.") from error

    def _require_timely(self, dossier: Dossier) -> None:
        until = draws_at(dossier.last.finished_at) + self._window_s
        now = self._clock.milliseconds() // 1000
        if now >= until:
            raise DossierMismatch("The last receipt is too old for a strike.", required=until, actual=now)

    def _require_stake(self, dossier: Dossier) -> None:
        """Whoever has none can sign itself receipts for nothing, and each costs questions to the chain. What
        is on its way out counts: a cheat that leaves can be slashed until it is gone."""
        its = self._reader.stake(dossier.provider)
        if its.staked + its.exiting < self._least_stake:
            raise DossierMismatch(
                "The provider has no stake that could be struck.",
                required=self._least_stake,
                actual=its.staked + its.exiting,
            )

    def _drawn(self, dossier: Dossier, signers: frozenset[Address]) -> Drawn:
        """What the chain makes of it; slow."""
        for signer in signers:
            if not self._reader.is_receipt_key(dossier.provider, signer):
                raise WrongSigner(
                    "A receipt is signed with no key of its provider's.",
                    required=to_hex(dossier.provider),
                    actual=to_hex(signer),
                )
        return drawn(dossier, self._block_at)


class Used:
    """An engine, and the tokens that it counted."""

    def __init__(self, ask: Ask):
        self._ask = ask
        self.counts: list[Counts] = []
        """One a question."""

    async def ask(self, path: str, body: bytes) -> bytes:
        reply = await self._ask(path, body)
        counts = Counts()
        with suppress(orjson.JSONDecodeError):  # Whoever reads the reply says so.
            counts.add(orjson.loads(reply))
        self.counts.append(counts)
        return reply


def _completion(
    signed: Signed[Finding], model: str, examined: Sequence[Examined], withheld: int, used: Sequence[Counts]
) -> bytes:
    """In OpenAI's shape. Its text is the distances of each answer by check, by which whoever has the scales
    finds the same evidence."""
    said = [
        {check.name.lower(): distances for check, distances in one.distances().items()} for one in examined
    ]
    output = sum(counts.output_tokens for counts in used)
    usage = {
        "prompt_tokens": sum(counts.input_tokens for counts in used),
        "completion_tokens": output,
        "total_tokens": sum(counts.input_tokens for counts in used) + output,
        "prompt_tokens_details": {"cached_tokens": sum(counts.cached_input_tokens for counts in used)},
    }
    text = orjson.dumps({"withheld": withheld, "distances": said}).decode()
    choice = {"index": 0, "text": text, "finish_reason": "stop"}
    head = {"id": to_hex(signed.message.struct_hash()), "object": "tallystick.audit", "model": model}
    return orjson.dumps({**head, "choices": [choice], "usage": usage, **signed_to_json(signed)})


def open_inspector(
    *,
    market: Market,
    reader: ChainReader,
    provider: Address,
    key: Key,
    upstream: Upstream,
    scales: Sequence[Path],
    sampler: str,
    dossiers: Path,
    clock: Clock,
) -> Inspector:
    """By what the chain's node says; raises OSError or MalformedMessage where scales cannot be read."""
    known, kept = [Scales.read(path.read_bytes()) for path in scales], Dossiers(dossiers)
    strikes = market.deployment.audits is not None

    def keep(shown: Shown) -> None:
        if strikes:
            kept.keep(shown, Audits(market).is_counted)

    return Inspector(
        provider=provider,
        key=key,
        domain=market.deployment.domain,
        scales={one.model: one for one in known},
        sampler=sampler,
        reader=reader,
        block_at=Timeline(market.rpc).block_at,
        ask=own_engine(upstream),
        clock=clock,
        keep=keep,
        least_stake=market.minimum_stake(),
        window_s=Audits(market).window_s() if strikes else _WINDOW_S,
    )
