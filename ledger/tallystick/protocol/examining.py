"""Answers of one provider, held against the promised model: what each check saw, and what an auditor says of
it.

Pure: engines' replies come in as bytes, an opinion comes out. Whose signature it gets is not known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, comb, log

from tallystick.protocol.evidence import MILLION, Evidence, Scales
from tallystick.protocol.finding import Check, Finding, Verdict
from tallystick.protocol.merkle import root
from tallystick.protocol.prefill import (
    Forced,
    Replayed,
    logprob_distances,
    rank_distances,
    read_prefill,
    read_replay,
    replay_distances,
)
from tallystick.protocol.sample import Sample
from tallystick.protocol.units import Address, Milliseconds, Tokens

ALARM_PART = 2
"""Evidence of a strike's half is an alarm."""


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One answer beside the engine's replies."""

    sample: Sample
    replayed: Replayed | None
    """None: the engine does not take the request."""
    forced: tuple[Forced, ...]
    """Of each token, or none where the engine does not take the answer."""

    @classmethod
    def of(cls, sample: Sample, *, replay: bytes, prefill: bytes) -> "Examined":
        """Raises MalformedMessage where the engine said something else."""
        return cls(sample=sample, replayed=read_replay(replay), forced=read_prefill(prefill, sample.ids))

    def distances(self) -> dict[Check, list[int]]:
        """Of each check that can be made of this answer."""
        sample, found = self.sample, dict[Check, list[int]]()
        if sample.is_greedy:
            if self.forced:
                found[Check.RANK] = rank_distances(self.forced)
        elif sample.is_seeded and self.replayed is not None:
            found[Check.REPLAY] = replay_distances(sample.ids, self.replayed.ids)
        if sample.logprobs and self.forced and not sample.is_bent:
            found[Check.LOGPROB] = logprob_distances(sample.logprobs, self.forced)
        return found


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What is known of one provider's answers for one model, after the last of them."""

    scales: Scales
    evidence: Mapping[Check, Evidence] = field(default_factory=dict)
    tokens: Tokens = Tokens(0)
    miscounted: str | None = None
    """Why an answer's count or end is not what its receipt says; None: all are."""
    padded: bool = False
    """More input was billed than the prompt has for the auditor's engine. No strike: a template may read the
    date."""
    scores: tuple[tuple[float, ...], ...] = ()
    """By sampled answer, the model's log-probabilities of its tokens."""
    answers: int = 0
    withheld: int = 0
    """Answers that were drawn as well, and not shown."""

    def after(self, examined: Examined) -> "Opinion":
        """With one more answer."""
        sample, evidence = examined.sample, dict(self.evidence)
        found = examined.distances()
        for check, distances in found.items():
            if (scale := self.scales.checks.get(check)) is not None:
                evidence[check] = evidence.get(check, Evidence()).after(scale, distances)
        unweighed = sample.is_greedy or sample.is_bent or not examined.forced
        sampled = () if unweighed else (tuple(token.logprob for token in examined.forced),)
        miscounted, padded = None, False
        if examined.replayed is not None:
            prompt_tokens = len(examined.replayed.prompt_ids)
            miscounted = sample.miscounted(prompt_tokens=prompt_tokens, ends=self.scales.ends)
            padded = sample.receipt.message.input_tokens > prompt_tokens
        return Opinion(
            scales=self.scales,
            evidence=evidence,
            tokens=Tokens(self.tokens + (len(sample.ids) if found or examined.forced else 0)),
            miscounted=self.miscounted or miscounted,
            padded=self.padded or padded,
            scores=self.scores + sampled,
            answers=self.answers + 1,
            withheld=self.withheld,
        )

    @property
    def strongest(self) -> Check:
        """The check that is nearest to its strike."""
        if self.miscounted is not None:
            return Check.COUNTS
        checks = self.scales.checks
        return max(
            self.evidence,
            key=lambda check: self.evidence[check].highest / checks[check].strike,
            default=Check.NONE,
        )

    @property
    def surcharge(self) -> int:
        """What a strike needs more, in millionths, because whoever shows the answers may have chosen which:
        the logarithm of the number of choices, and of how many choices of how many there are. So the chance
        that an honest provider is struck stays within twice what the scales say."""
        choices = comb(self.answers + self.withheld, self.withheld) * (self.withheld + 1) ** 2
        return ceil(MILLION * log(choices))

    @property
    def verdict(self) -> Verdict:
        if self.miscounted is not None:
            return Verdict.STRIKE
        check = self.strongest
        if check is not Check.NONE:
            highest, strike = self.evidence[check].highest, self.scales.checks[check].strike + self.surcharge
            if highest >= strike:
                return Verdict.STRIKE
            if ALARM_PART * highest >= strike:
                return Verdict.ALARM
        likelihood = self.scales.likelihood
        odd = abs(likelihood.deviations(self.scores)) > likelihood.alarm
        return Verdict.ALARM if odd or self.padded else Verdict.CLEAR


def finding(
    opinion: Opinion, samples: Sequence[Sample], *, auditor: Address, found_at: Milliseconds
) -> Finding:
    """What the auditor signs. `samples`: all that the opinion is of, in sequence order; the last one was
    drawn."""
    hashes = [sample.receipt.message.struct_hash() for sample in samples]
    check = opinion.strongest
    evidence = opinion.evidence.get(check)
    return Finding(
        auditor=auditor,
        provider=samples[-1].offer.provider,
        receipt_hash=hashes[-1],
        receipts_root=root(hashes),
        receipt_count=len(hashes),
        scales_hash=opinion.scales.hash,
        check=int(check),
        verdict=int(opinion.verdict),
        tokens=opinion.tokens,
        evidence=evidence.highest if evidence is not None else 0,
        found_at=found_at,
    )
