"""Why a target is missed, by the row's name: for docs/performance.md. A reason is no excuse: targets stay."""

from typing import Final

_OPENED: Final = (
    "`ChannelOpened` logs every part of the channel's id and indexes the payer and the provider, so that who "
    "opened what with whom is found from events alone. Two topics and two words more than the id and the cap "
    "take are 1,262 gas"
)
_EARNED: Final = (
    "`Earned` logs the provider's new balance once a transaction, so that balances are found from events "
    "alone. A log of two topics and two words is 1,637 gas"
)

REASONS: Final[dict[str, str]] = {
    "settle 1 row": f"{_EARNED}, which is the difference; ten rows share it, and are under the prototype's.",
    "close, signed by the provider": f"{_EARNED}; without it the close would be under the prototype's.",
    "open 1 channel": f"{_OPENED}: all but a few of the difference.",
    "open 10 channels, each": f"{_OPENED}; the other 313 are not accounted for.",
    "open 1 channel by grant": f"{_OPENED}: all but a few of the difference.",
    "open 100 channels by grants, each": f"{_OPENED}: the difference.",
}
