"""What a judgement or an audit may cost a payer, whatever those ask who sell it. Pure.

The chain draws judges and auditors by stake, and they name their own prices. A payer pays none of them
more than so many times the usual price: who is dearer counts as absent. The usual price is that of the
offers which are looked at, or, where these are cheap, that of the middle one of all who sell the model: an
offer for next to nothing would else keep judges and auditors away, and an absurd one moves no middle.
"""

from collections.abc import Collection
from typing import Final

from tallystick.protocol.units import Atoms

OPINION_PARTS: Final = 4
"""So many times the usual price, at most."""
CREDIT_PARTS: Final = 4
"""An audit may take no more than this part of what a provider lends its payer: callers' requests need it."""
JUDGE_BYTES: Final = 1 << 16
"""Of a judge's answer, which is one commitment."""
AUDITOR_BYTES: Final = 1 << 20
"""Of an auditor's, which holds what its engine said too."""


def bound(looked_at: Collection[Atoms], listed: Collection[Atoms]) -> Atoms:
    """For one opinion: `looked_at` is what it would cost under the offers that it is on, `listed` under all
    of the model."""
    middle = sorted(listed)[(len(listed) - 1) // 2] if listed else Atoms(0)
    return Atoms(OPINION_PARTS * max([middle, *looked_at]))
