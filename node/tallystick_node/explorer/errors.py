"""Why a page cannot be shown.

PageError
├─ Malformed          400  what was asked for is no number, hash or address
├─ NotFound           404
├─ TooLarge           413  more was sent than is looked at in one answer
├─ TooMany            429
├─ NoRoom             507  the disk is nearly full
└─ Unavailable        503  what the page needs is not there now
   ├─ IndexEmpty           nothing of the chain was read yet
   ├─ IndexBehind          the index stands still, or lacks more than a few blocks (/api/health)
   └─ ListenersFull        as many listen to /live as may
"""

from typing import ClassVar


class PageError(Exception):
    """`code` is what a program reads in the JSON twin, `status` the HTTP status."""

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after: ClassVar[int | None] = None
    """Seconds, where asking again may help."""


class Malformed(PageError):
    status = 400
    code = "malformed"


class NotFound(PageError):
    status = 404
    code = "not-found"


class TooLarge(PageError):
    status = 413
    code = "too-large"


class TooMany(PageError):
    status = 429
    code = "too-many-requests"
    retry_after = 1


class NoRoom(PageError):
    status = 507
    code = "no-room"


class Unavailable(PageError):
    status = 503
    code = "unavailable"
    retry_after = 5


class IndexEmpty(Unavailable):
    code = "index-empty"


class IndexBehind(Unavailable):
    code = "index-behind"


class ListenersFull(Unavailable):
    code = "listeners-full"
    retry_after = 30
