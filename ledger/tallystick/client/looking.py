"""What a payer makes of all that it knows of one provider: the candidate that its rule compares.

Pure: what is heard, what is under way there and the time come in.
"""

from typing import Final

from tallystick.client.choose import Candidate
from tallystick.client.record import Record
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Milliseconds, Tokens

UNHEARD_MS: Final = 1_000
"""What a status says may be so much older than its arrival here: what was sent there since is not in it."""


def candidate_of(
    posted: PostedOffer,
    record: Record,
    seen: Seen,
    pending: int,
    pending_tokens: Tokens,
    quoted: Pace | None,
    now: Milliseconds,
) -> Candidate:
    """`seen`: as others have it. One that failed not long ago is as good as suspected: others are asked
    first."""
    provider = posted.offer.provider
    own = Seen(
        seen.status,
        seen.age_ms,
        seen.suspected or record.resting(provider, now),
        record.ratio(provider, seen.ratio, now),
    )
    return Candidate(posted, own, pending, pending_tokens, quoted, record.spread(provider))
