"""Why a target is missed, by the row's name: for docs/performance.md. A reason is no excuse: targets stay."""

from typing import Final

from tallystick_node.local.bench.machine import Machine
from tallystick_node.local.bench.row import Row

_OPENED: Final = (
    "`ChannelOpened` logs every part of the channel's id and indexes the payer and the provider, so that who "
    "opened what with whom is found from events alone. Two topics and two words more than the id and the cap "
    "take are 1,262 gas"
)
_EARNED: Final = (
    "`Earned` logs the provider's new balance once a transaction, so that balances are found from events "
    "alone. A log of two topics and two words is 1,637 gas"
)

_CALLS: Final = (
    "A token that comes by itself takes a wake-up of the loop, a read, an encryption and a write of its own, "
    "which tokens that come together share."
)

_PACE: Final = (
    "The tokens that come together share a wake-up of the loop, a read and a write: one takes 12 to 15 µs "
    "where sixty come at a time, and 34 to 39 where four do. How many do is the echo engine's pace, and the "
    "less else the machine has to do, the better the gateway keeps up with it: then it wakes for a few."
)

_UNEVEN: Final = (
    "A wait for credit takes a round trip and would show as a gap of its own: the longest ones stand beside "
    "the engine's own. What is left is some tenths of a millisecond a token: both sides sign, save and check "
    "a receipt for nearly each on the two cores on which the engine keeps its pace."
)

_REASONS: Final[dict[str, str]] = {
    "p50 at 1, ours": (
        "A paid request takes 0.6 to 0.9 ms of the gateway's CPU where many run, and more where each wakes "
        "an idle core: an eighth are its two commits, a ninth signatures and hashes, the most HTTP on both "
        "sides in Python."
    ),
    "CPU of one, as fast as they come, ours": _PACE,
    "CPU of one, each by itself, ours": _CALLS,
    "time stalled at 0 ms round trip": _UNEVEN,
    "time stalled at 50 ms round trip": _UNEVEN,
    "settle 1 row": f"{_EARNED}, nearly all of the difference; ten rows share it.",
    "close, signed by the provider": f"{_EARNED}; without it the close would be under the prototype's.",
    "open 1 channel": f"{_OPENED}: all but a few of the difference.",
    "open 10 channels, each": f"{_OPENED}; the other 313 are not accounted for.",
    "open 1 channel by grant": f"{_OPENED}: all but a few of the difference.",
    "open 100 channels by grants, each": f"{_OPENED}: nearly all of the difference.",
}

_BUSY: Final = (
    "Other work had the machine as well (load average {load:.1f} on {cores} cores): what is measured by the "
    "clock says nothing."
)
_CLOCKED: Final = ("ms", "1/s", "×")


def reason(machine: Machine, row: Row) -> str:
    if (known := _REASONS.get(row.name.strip())) is not None:
        return known
    if row.unit in _CLOCKED and machine.busy:
        return _BUSY.format(load=machine.load, cores=machine.cores)
    return "No reason is known: find it."
