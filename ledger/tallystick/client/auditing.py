"""Audits behind the caller's back: what the lottery draws of a payer's answers is shown to auditors, in a
thread.

Callers have their answers by then, and wait for none of this. Each few seconds the thread looks which of the
answers kept have their block, and takes a channel to an auditor once enough of it was drawn (`audits`). What
one finds to be another model's, others are asked about. What an audit may cost is taken out of the audits'
budget before anything is signed.
"""

import logging
from collections.abc import Container, Sequence
from contextlib import AbstractContextManager
from random import SystemRandom
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import httpx2

from tallystick.client.ask import CHAT_PATH, COMPLETIONS_PATH, Ask
from tallystick.client.attempts import Attempt
from tallystick.client.auditors import as_much_as_fits, ask_auditor, most_of, offers_of, worst
from tallystick.client.audits import SEEDS, Audits, is_owed, is_unauditable
from tallystick.client.avoidance import Reason
from tallystick.client.drivers import run_blocking
from tallystick.client.errors import ProviderRefused, TotalBudgetExceeded
from tallystick.client.outcome import Outcome
from tallystick.client.pools import Pools
from tallystick.client.samples import KEPT_BYTES, Samples
from tallystick.client.steering import names
from tallystick.client.stretches import Stretch, is_timely, make_room
from tallystick.client.striking import Striking
from tallystick.client.worker import Worker, quietly
from tallystick.ports import AuditPanels, PostedOffer
from tallystick.protocol.dossier import Dossier, drawn
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.lottery import BlockAt, by_stake, draws_at
from tallystick.protocol.pricing import attachments
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Atoms, ChannelId, to_hex

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

LOOK_S: Final = 3.0
_CLOSING_S: Final = 5.0
"""Seconds that the end of a process waits for what is under way."""
AUDITED_S: Final = 900.0
"""In which an auditor says what it has to say."""
_WAITING: Final = 100
"""Channels that may wait for their audit."""
_OTHERS: Final = 5
"""That are asked where none of those answers whom the chain drew: as many as it draws."""
_TOO_LARGE: Final = 413
"""The status of a gateway, or of what stands before it, that does not read so much."""
_LOG: Final = logging.getLogger("tallystick.client")


class Auditing:
    """Of one payer."""

    def __init__(
        self,
        pools: Pools,
        wanted: Audits,
        *,
        block_at: BlockAt,
        panels: AuditPanels | None = None,
        striking: Striking | None = None,
        look_s: float = LOOK_S,
    ):
        """`panels`: who audits; None: whoever sells the model, drawn by stake. `striking`: takes strikes to
        the chain; None: they are kept."""
        self.wanted = wanted
        self.samples = Samples(limit=KEPT_BYTES // 2)
        self._pools, self._block_at, self._panels = pools, block_at, panels
        self._striking, self._tried = striking, set[int]()
        self._spent = False
        """What was left of the budget did not pay for the last audit that was due."""
        self._random = SystemRandom()
        self._stretches: dict[tuple[ChannelId, str], Stretch] = {}
        self._shuns: WeakKeyDictionary[Sample, frozenset[str]] = WeakKeyDictionary()
        """Names of whom the caller of each does not deal with, as long as it is kept."""
        self._lock = Lock()
        """Guards both: callers add to them."""
        self.worker: Worker[Stretch] = Worker(
            "tallystick-audits", self._audit, most=_WAITING, look=self._look, look_s=look_s
        )
        self._payer: Payer

    def attend(self, payer: "Payer") -> None:
        """Whose audits these are; once."""
        self._payer = payer

    def prepared(self, ask: Ask) -> Ask:
        """The same as it is to be bought, where its caller does not say that it is private."""
        if ask.audits is False or ask.path not in (CHAT_PATH, COMPLETIONS_PATH):
            return ask
        added = {}
        if not self._spent and ask.answers == 1 and not attachments(ask.fields.get("messages")):
            added = self.wanted.adds(ask.path, ask.fields, self._random.randrange(SEEDS))
        return ask.audited(added)

    def take(self, attempt: Attempt, outcome: Outcome) -> None:
        """It is answered, and may be shown, but to nobody whom its caller shuns. Returns at once."""
        ask, shuns = attempt.ask, attempt.ask.shuns
        # It refused the request with what audits add, and serves it without: its answer has no seed that was
        # chosen for it, and nothing is known of its log-probabilities.
        withheld = attempt.provider in ask.refused_by and is_owed(ask)
        if withheld or (attempt.output_tokens and is_unauditable(ask, outcome)):
            self._pass_over(attempt.provider)
        for part in (*outcome.earlier, outcome):
            if part.sample is not None:
                receipt, model = part.sample.receipt.message, part.offer.model
                with self._lock:
                    if shuns:
                        self._shuns[part.sample] = shuns
                    stretch = self._stretches.setdefault(
                        (receipt.channel_id, model), Stretch(receipt.channel_id, model, receipt.sequence)
                    )
                    if not is_timely(receipt, now := self._payer.now(), now):
                        stretch.begin_after(receipt.sequence)
                        _LOG.warning("audit.mistimed provider=%s", to_hex(part.provider))
            self.samples.keep(part)
        self.worker.start()

    def _pass_over(self, provider: Address) -> None:
        """It kept what an audit takes to itself: others are asked before it."""
        _LOG.info("audit.withheld provider=%s", to_hex(provider))
        self._payer.purse.evidence.avoidance.note(provider, Reason.UNAUDITABLE)

    def close(self) -> None:
        """What is under way has a few seconds, is broken off then, and paid for what came of it."""
        self.worker.close(monotonic() + _CLOSING_S)

    def _quietly(self) -> AbstractContextManager[None]:
        return quietly(_LOG, "audit.failed", lambda: self.worker.over)

    # ------------------------------------------------------------------------------------------- the draw

    def _look(self) -> None:
        """Draws what can be drawn now, and has audited what is due."""
        with self._quietly():
            for sample in self.samples.draw(self._block_at):
                with self._lock:
                    self._stretches[sample.receipt.message.channel_id, sample.offer.model].add(sample)
            with self._lock:
                make_room(self._stretches.values(), KEPT_BYTES // 2)
        for stretch in list(self._stretches.values()):
            if self._is_due(stretch):
                self.worker.take(stretch)
        with self._quietly():
            self._file()

    def _is_due(self, stretch: Stretch) -> bool:
        return self.wanted.is_due(stretch.fresh, stretch.shown)

    def _file(self) -> None:
        """Strikes that are not on chain yet, until they are, or never can be."""
        findings = self._payer.purse.findings
        for held in findings.all("said") if self._striking is not None else ():
            if held.number not in self._tried and not self.worker.closing:
                with self._quietly():
                    assert self._striking is not None
                    if self._striking.is_over(self._payer.purse, held):
                        self._tried.add(held.number)

    def _audit(self, stretch: Stretch) -> None:
        with self._quietly():
            if self._is_due(stretch) and not self.worker.closing:
                self._ask_about(stretch)

    def _ask_about(self, stretch: Stretch) -> None:
        """One auditor, and where that finds another model, others, each about as much less as makes its last
        receipt another one: by that auditors are drawn, and a receipt counts for one strike."""
        if self._dossier(stretch) is None:
            return
        with self._lock:
            ends = [one.receipt.message.sequence for one in stretch.drawn if one.is_single]
            stretch.ask()
        told: list[Signed[Finding]] = []
        for end in ends[: -self.wanted.opinions - 1 : -1]:
            finding = self._opinion(stretch, end, {one.message.auditor for one in told})
            if finding is None or finding.message.verdict != Verdict.STRIKE:
                return
            told.append(finding)

    def _opinion(self, stretch: Stretch, end: int, asked: Container[Address]) -> Signed[Finding] | None:
        """Of somebody who was not asked yet, on what was drawn up to there; None: nobody has one.

        Who takes all of it at a time is asked first. Where none of those answers, the others are shown less:
        what one of them takes is its own choice, and must not be what the next one is shown."""
        dossier = self._dossier(stretch, end)
        if dossier is None:
            return None
        listed = run_blocking(self._pools, self._payer.listing.offers())
        left = [one for one in self._auditors(dossier, listed) if one.offer.provider not in asked]
        shown = as_much_as_fits(dossier)
        while left and shown is not None:
            bound, shuns = most_of(shown, listed), self._shuns_of(shown)
            for posted in list(left):
                if names(posted.offer) & shuns:
                    continue
                if (most := worst(shown, posted, bound)) is not None:
                    left.remove(posted)
                    with self._quietly():
                        return self._said(shown, posted, most, listed)
            shown = shown.later_half()
        return None

    def _dossier(self, stretch: Stretch, end: int | None = None) -> Dossier | None:
        """As an auditor will find it in order, of all or up to `end`; None: not yet."""
        findings = self._payer.purse.findings
        with self._lock:
            stretch.shorten()
            shown = stretch.until(end)
        if not shown or (stretch.awaits is not None and self._block_at(stretch.awaits) is None):
            return None
        bounds = stretch.channel_id, stretch.start, shown[-1].receipt.message.sequence
        if not findings.has_stretch(*bounds):
            return None
        receipts = findings.stretch(*bounds)
        with self._lock:
            if stretch.begin_after_dated_ahead(receipts, self._payer.now()):
                return None
            stretch.awaits = draws_at(max(one.message.finished_at for one in receipts))
        if self._block_at(stretch.awaits) is None:
            return None
        dossier = stretch.dossier(shown, receipts, findings.offers(*bounds))
        drawn(dossier, self._block_at)
        return dossier

    def _auditors(self, dossier: Dossier, listed: Sequence[PostedOffer]) -> Sequence[PostedOffer]:
        """Whom the block drew that drew the last of the receipts, by their offers of the model; after them,
        since nobody has to audit, others by stake."""
        offers = offers_of(listed, dossier.model, dossier.provider)
        block = self._block_at(draws_at(dossier.last.finished_at))
        assert block is not None  # or there were no dossier
        name = dossier.last.struct_hash()
        chosen: list[Address] = []
        if self._panels is not None:
            chosen += self._panels.auditors(name, dossier.provider, block)
        stakes = {one: posted.stake.staked for one, posted in offers.items() if one not in chosen}
        chosen += by_stake(block.hash, name, stakes, _OTHERS)
        return [offers[auditor] for auditor in chosen if auditor in offers]

    def _shuns_of(self, shown: Dossier) -> frozenset[str]:
        """Names of whom one of its callers does not deal with."""
        with self._lock:
            return frozenset().union(*(self._shuns.get(sample, ()) for sample in shown.samples))

    # ------------------------------------------------------------------------------------------- the audit

    def _said(
        self, shown: Dossier, posted: PostedOffer, most: Atoms, listed: Sequence[PostedOffer]
    ) -> Signed[Finding]:
        """What one auditor finds; of the newer half, once, where it does not take as much or is not done with
        it in time. Raises as `_ask`."""
        try:
            return self._ask(shown, posted, most)
        except (ProviderRefused, httpx2.TimeoutException) as error:
            half = shown.later_half()
            less = None if half is None else worst(half, posted, most_of(half, listed))
            if half is None or less is None or self.worker.closing or not _is_too_much(error):
                raise
        _LOG.info("audit.halved auditor=%s", to_hex(posted.offer.provider))
        return self._ask(half, posted, less)

    def _ask(self, dossier: Dossier, posted: PostedOffer, most: Atoms) -> Signed[Finding]:
        """What one auditor finds, for at most so much. Raises TotalBudgetExceeded where there is no budget
        for it, and what keeps it from answering."""
        findings, auditor = self._payer.purse.findings, posted.offer.provider
        try:
            number = findings.begin(auditor, dossier, most, self.wanted.budget)
        except TotalBudgetExceeded:
            self._spent = True
            raise
        self._spent = False
        outcomes: list[Outcome] = []
        signed = None
        try:
            shuns = self._shuns_of(dossier)
            asking = ask_auditor(self._payer, dossier, posted, most, shuns, outcomes)
            signed = run_blocking(self._pools, asking, over=lambda: self.worker.over, within=AUDITED_S)
        finally:
            cost = Atoms(sum(outcome.cost + outcome.outstanding for outcome in outcomes))
            if signed is None:
                findings.void(number, cost)
        findings.hold(number, signed, dossier, cost)
        verdict = Verdict(signed.message.verdict).name.lower()
        _LOG.info("audit.found provider=%s verdict=%s", to_hex(dossier.provider), verdict)
        return signed


def _is_too_much(error: ProviderRefused | httpx2.TimeoutException) -> bool:
    return not isinstance(error, ProviderRefused) or error.status == _TOO_LARGE
