"""Named points at which a process may die: what `docs/trust.md` lists, and where the tests of `tests/crash`
kill.

Each is an audit event (PEP 578) that nobody hears: it does nothing, costs a tenth of a microsecond, and no
setting, variable or message switches it on. Only a program that runs this one inside itself, having added an
audit hook, can act on it; the tests' `dying.py` is such a program.
"""

import sys
from typing import Final

EVENT: Final = "tallystick.crash"


def point(name: str) -> None:
    """The process may die here."""
    sys.audit(EVENT, name)
