"""What a payer makes of all that it knows of one provider: the candidate that its rule compares.

Pure: what is heard, what is under way there and the time come in.
"""

from typing import Final

from tallystick.client.choose import Candidate
from tallystick.client.record import Record
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.speed import Pace
from tallystick.protocol.status import Status
from tallystick.protocol.units import Milliseconds, Tokens

UNHEARD_MS: Final = 1_000
"""What a status says may be so much older than its arrival here: what was sent there since is not in it."""


def candidate_of(
    posted: PostedOffer,
    record: Record,
    *,
    status: Status | None,
    age_ms: int,
    suspected: bool,
    shared: float,
    pending: int,
    pending_tokens: Tokens,
    quoted: Pace | None,
    now: Milliseconds,
) -> Candidate:
    """One that failed not long ago is as good as suspected: others are asked first. `shared`: observed over
    quoted time as others found it."""
    provider = posted.offer.provider
    return Candidate(
        posted=posted,
        seen=Seen(
            status=status,
            age_ms=age_ms,
            suspected=suspected or record.resting(provider, now=now),
            ratio=record.ratio(provider, shared, now=now),
        ),
        pending=pending,
        pending_tokens=pending_tokens,
        quoted=quoted,
        spread=record.spread(provider),
    )
