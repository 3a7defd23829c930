"""What a judgement or an audit may cost a payer, whatever those ask who sell it. Pure.

The chain draws judges and auditors by stake, and they name their own prices. A payer pays none of them
more than so many times the usual price: who is dearer counts as absent. The usual price is that of the
offers which are looked at, or, where these are cheap, that of the middle one of all who sell the model: an
offer for next to nothing would else keep judges and auditors away, and an absurd one moves no middle.
"""

from collections.abc import Collection, Sequence
from typing import Final

from tallystick.ports import PostedOffer
from tallystick.protocol.units import Atoms, Tokens

OPINION_PARTS: Final = 4
"""So many times the usual price, at most."""
CREDIT_PARTS: Final = 4
"""An audit may take no more than this part of what a provider lends its payer: callers' requests need it."""
CASE_BYTES: Final = 3 << 20
"""Of what a judge or an auditor is shown at most: gateways read four mebibytes."""
_FRAME_TOKENS: Final = 192
"""Of a judge's question, beside what is quoted, …"""
_LINE_TOKENS: Final = 3
"""… and the mark of each line of that."""
JUDGE_BYTES: Final = 1 << 16
"""Of a judge's answer, which is one commitment."""
AUDITOR_BYTES: Final = 1 << 20
"""Of an auditor's, which holds what its engine said too."""


def bound(looked_at: Collection[Atoms], listed: Collection[Atoms]) -> Atoms:
    """For one opinion: `looked_at` is what it would cost under the offers that it is on, `listed` under all
    of the model."""
    middle = sorted(listed)[(len(listed) - 1) // 2] if listed else Atoms(0)
    return Atoms(OPINION_PARTS * max([middle, *looked_at]))


def is_readable(quoted: Sequence[tuple[str, Tokens]], listed: Collection[PostedOffer]) -> bool:
    """Whether most judges have room for it in their context, by all offers of the model: most by stake, as
    they are drawn. Where few can read a duel each seat costs its part of the fee, and nothing is decided.
    `quoted`: texts with what each was billed as, which is more where an answer was thought about."""
    needed = _FRAME_TOKENS
    for text, billed in quoted:
        needed += min(billed, len(text.encode())) + _LINE_TOKENS * (text.count("\n") + 1)
    staked = {posted.offer.provider: posted.stake.staked for posted in listed}
    roomy = {posted.offer.provider for posted in listed if posted.offer.context_length >= needed}
    return 2 * sum(staked[provider] for provider in roomy) >= sum(staked.values())
