"""An auditor: asks an engine what it makes of other providers' answers, and signs what it found.

The engine is the node's own, or somebody else's whom it pays for two ordinary requests. Nothing is signed of
an answer that its receipt does not bind, nor of one's own.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from tallystick.ports import Clock
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage, ReceiptMismatch
from tallystick.protocol.evidence import Scales
from tallystick.protocol.examining import Examined, Opinion, finding
from tallystick.protocol.finding import Finding
from tallystick.protocol.prefill import (
    PREFILL_PATH,
    Forced,
    Replayed,
    prefill_body,
    read_prefill,
    read_replay,
    replay_body,
)
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, Verified, sign
from tallystick.protocol.units import Address
from tallystick_node.quality.asking import Ask, EngineRefused

_AT_ONCE: Final = 4
"""Answers that its engine is asked of at a time: it serves callers meanwhile."""


class Auditor:
    """Of one model, in one precision: that of `scales`."""

    def __init__(
        self,
        *,
        key: Key,
        address: Address,
        domain: Domain,
        ask: Ask,
        engine_model: str,
        scales: Scales,
        sampler: str,
        clock: Clock,
    ):
        """`key`: the receipt key of the provider at `address`; `sampler`: of the engine behind `ask`."""
        self._key, self._address, self._domain = key, address, domain
        self._ask, self._engine_model, self._clock = ask, engine_model, clock
        self._scales = scales.for_sampler(sampler)

    async def audit(
        self, samples: Sequence[Sample], receipt_key: Address, *, withheld: int = 0
    ) -> tuple[Opinion, Verified[Finding]]:
        """What is to be said of these answers of one provider: all that were drawn of one channel, from its
        first receipt on, in their order. `receipt_key`: one that the provider named on chain; `withheld`:
        answers that were drawn too, and are not shown.

        Raises
        ------
        SignatureError :
            A receipt is not signed with that key.
        ReceiptMismatch :
            One is not of what it is shown with, or they are not one channel's in order, or the auditor's own.
        EngineRefused, MalformedMessage :
            As of `examine`.
        """
        self._require_series(samples)
        for sample in samples:
            sample.require_bound(self._domain, receipt_key)
        return self.conclude(await self.examine(samples), withheld=withheld)

    def conclude(
        self, examined: Sequence[Examined], *, withheld: int = 0
    ) -> tuple[Opinion, Verified[Finding]]:
        """What is to be said of these; `withheld`: answers that were drawn too, and are not shown."""
        opinion = Opinion(scales=self._scales, withheld=withheld)
        for one in examined:
            opinion = opinion.after(one)
        samples = [one.sample for one in examined]
        found = finding(opinion, samples, auditor=self._address, found_at=self._clock.milliseconds())
        return opinion, sign(found, self._domain, self._key)

    async def examine(self, samples: Sequence[Sample]) -> list[Examined]:
        """Each beside what the model makes of it: two requests, several answers at a time once the engine has
        answered for one. What the engine does not take, or answers strangely, is compared with nothing: one
        answer must not undo the others, which have cost something.

        Raises
        ------
        EngineRefused :
            It took none of them.
        MalformedMessage :
            It answers the first one that it takes with something else: so it would all of them.
        """
        examined: list[Examined] = []
        for sample in samples:
            examined.append(await self._examined(sample, begun=False))
            if examined[-1].replayed is not None:
                break
        else:
            raise EngineRefused("The engine takes none of the requests.")
        places = asyncio.Semaphore(_AT_ONCE)

        async def later(sample: Sample) -> Examined:
            async with places:
                return await self._examined(sample, begun=True)

        return [*examined, *await asyncio.gather(*map(later, samples[len(examined) :]))]

    async def _examined(self, sample: Sample, *, begun: bool) -> Examined:
        """`begun`: it has answered for another one as it should."""
        replayed = await self._replayed(sample, begun=begun)
        forced = () if replayed is None else await self._forced(sample, replayed, begun=begun)
        return Examined(sample=sample, replayed=replayed, forced=forced)

    async def _replayed(self, sample: Sample, *, begun: bool) -> Replayed | None:
        try:
            body = replay_body(sample, self._engine_model)
        except MalformedMessage:
            return None
        try:
            return read_replay(await self._ask(sample.path, body))
        except EngineRefused:
            return None
        except MalformedMessage:
            if not begun:
                raise
            return None

    async def _forced(self, sample: Sample, replayed: Replayed, *, begun: bool) -> tuple[Forced, ...]:
        body = prefill_body(replayed.prompt_ids, sample.ids, self._engine_model)
        try:
            return read_prefill(await self._ask(PREFILL_PATH, body), sample.ids)
        except EngineRefused:
            return ()
        except MalformedMessage:
            if not begun:
                raise
            return ()

    def require_auditable(self, samples: Sequence[Sample]) -> None:
        """Raises ReceiptMismatch."""
        if not samples:
            raise ReceiptMismatch("There is nothing to audit.")
        if not all(sample.is_single for sample in samples):
            raise ReceiptMismatch("A request for several answers cannot be audited.")
        if any(sample.offer.provider == self._address for sample in samples):
            raise ReceiptMismatch("Nobody audits its own answers.")
        if any(sample.offer.model != self._scales.model for sample in samples):
            raise ReceiptMismatch("The scales are another model's.", required=self._scales.model)

    def _require_series(self, samples: Sequence[Sample]) -> None:
        self.require_auditable(samples)
        sequences = [sample.receipt.message.sequence for sample in samples]
        channels = {sample.receipt.message.channel_id for sample in samples}
        if len(channels) > 1 or sequences != sorted(set(sequences)):
            raise ReceiptMismatch("Audited together are answers of one channel, in sequence.")
