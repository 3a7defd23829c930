"""An auditor: asks an engine what it makes of other providers' answers, and signs what it found.

The engine is the node's own, or somebody else's whom it pays for two ordinary requests. Nothing is signed of
an answer that its receipt does not bind, nor of one's own.
"""

from collections.abc import Awaitable, Callable, Sequence

from tallystick.ports import Clock
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import ReceiptMismatch
from tallystick.protocol.evidence import Scales
from tallystick.protocol.examining import Examined, Opinion, finding
from tallystick.protocol.finding import Finding
from tallystick.protocol.prefill import PREFILL_PATH, prefill_body, read_replay, replay_body
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, Verified, sign
from tallystick.protocol.units import Address

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""(path, body) to the reply's body, of whoever serves the model: one's own engine, or a paid provider. Raises
what keeps it from answering."""


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
        self, samples: Sequence[Sample], receipt_key: Address
    ) -> tuple[Opinion, Verified[Finding]]:
        """What is to be said of these answers of one provider: all that were drawn of one channel, from its
        first receipt on, in their order. `receipt_key`: one that the provider named on chain.

        Raises
        ------
        SignatureError :
            A receipt is not signed with that key.
        ReceiptMismatch :
            One is not of what it is shown with, or they are not one channel's in order, or the auditor's own.
        MalformedMessage :
            A request cannot be asked again, or the engine answers something else.
        """
        self._require_series(samples)
        for sample in samples:
            sample.require_bound(self._domain, receipt_key)
        return self.conclude([await self.examine(sample) for sample in samples])

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

    async def examine(self, sample: Sample) -> Examined:
        """One answer beside what the model makes of it: two requests."""
        replay = await self._ask(sample.path, replay_body(sample, self._engine_model))
        asked = prefill_body(read_replay(replay).prompt_ids, sample.ids, self._engine_model)
        return Examined.of(sample, replay=replay, prefill=await self._ask(PREFILL_PATH, asked))

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
