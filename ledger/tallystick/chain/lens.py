"""Many of the market's accounts in one question, asked of the contract that reads for others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address

T = TypeVar("T")

_ROWS: Final = 200
"""That are asked for at a time."""


class Lens:
    def __init__(self, deployment: Deployment, ask: Callable[..., tuple[Any, ...]]):
        """`ask`: (contract, address, function, arguments) → what it returns; raises ChainError."""
        self._deployment = deployment
        self._ask = ask

    def stakes(self, providers: Sequence[Address]) -> dict[Address, Stake]:
        views = self._views("providers", providers)
        return {
            provider: Stake(
                provider=provider, staked=staked, exiting=exiting, exits_at=exits_at, receipt_key=receipt_key
            )
            for provider, (staked, exiting, exits_at, receipt_key, *_) in zip(providers, views, strict=True)
        }

    def channels(self, keys: Sequence[ChannelKey]) -> list[Channel]:
        """In their current epochs, whatever epochs the caller has in mind."""
        places = [(key.payer, key.provider, key.session_key) for key in keys]
        return [
            Channel(
                key=ChannelKey(payer=payer, provider=provider, session_key=session_key, epoch=epoch),
                cap=cap,
                settled=settled,
                closes_at=closes_at,
            )
            for (payer, provider, session_key), (_, cap, settled, closes_at, epoch, _) in zip(
                places, self._views("channels", places), strict=True
            )
        ]

    def _views(self, name: str, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        return [
            view
            for part in parts(rows, _ROWS)
            for view in self._ask(
                contracts.lens(), self._deployment.lens, name, self._deployment.market, list(part)
            )[0]
        ]


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
