"""The contract on the chain: its code compared with the build, and the values that it was made with, as its
code has them and as it answers. It asks the one node that the operator named."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal

from tallystick.chain import build, contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.protocol.units import to_hex
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.values import Address, shown

_GETTERS: Final = {
    "ASSET": "asset",
    "ARBITER": "arbiter",
    "MINIMUM_STAKE": "minimumStake",
    "EXIT_NOTICE": "exitNotice",
    "CLOSE_NOTICE": "closeNotice",
    "UNSTAKE_NOTICE": "unstakeNotice",
}
"""What the contract can be asked of its immutables. The others follow from where it is."""


@shown
class Value:
    """One that the constructor set."""

    name: str
    kind: Literal["address", "atoms", "seconds", "number", "hash"]
    in_code: str | None
    """Decimal, or hex of an address or a hash; none: its copies in the code disagree."""
    answered: str
    """By the contract, or what follows from chain and address."""
    agrees: bool


@shown
class Deployed:
    """A contract as the chain has it."""

    address: Address
    block: int
    code_bytes: int
    same: bool
    """Every byte is the build's, but for the constructor's values."""
    differs_at: int | None
    values: tuple[Value, ...]
    code: str

    @property
    def ours(self) -> bool:
        """It is the build, and its values are what they should be."""
        return self.same and all(value.agrees for value in self.values)


class NodeSilent(Exception):
    """The code cannot be compared now."""


async def deployed(node: Node, deployment: Deployment) -> Deployed:
    """Raises NodeSilent."""
    interface = contracts.market().interface
    market = deployment.market
    try:
        code = await node.code(market)
        getters = _GETTERS if code else {}
        asked = (node.call(market, interface.call(getter, ())) for getter in getters.values())
        answers = await asyncio.gather(*asked)
        told: dict[str, Any] = {
            name: interface.result(getter, answer)[0]
            for (name, getter), answer in zip(getters.items(), answers, strict=True)
        }
    except ChainUnavailable as error:
        raise NodeSilent(str(error)) from error
    except (RpcError, AbiError) as error:
        raise NodeSilent(f"What stands there does not answer as a market does: {error}") from error
    told |= {"CHAIN_ID": deployment.chain_id, "SEPARATOR": deployment.domain.separator}
    return _deployed(deployment, code, told)


def _deployed(deployment: Deployment, code: bytes, told: Mapping[str, Any]) -> Deployed:
    found = build.compare(build.market(), code)
    return Deployed(
        address=deployment.market,
        block=deployment.block,
        code_bytes=len(code),
        same=found.same,
        differs_at=found.differs_at,
        values=tuple(_value(name, found.values[name], its) for name, its in told.items() if code),
        code=to_hex(code),
    )


def _value(name: str, word: bytes | None, told: Any) -> Value:
    kind = _kind(name, told)
    text = to_hex(told) if isinstance(told, bytes) else str(told)
    if word is None:
        in_code = None
    elif isinstance(told, bytes):
        in_code = to_hex(word[-len(told) :]) if not any(word[: -len(told)]) else to_hex(word)
    else:
        in_code = str(int.from_bytes(word, "big"))
    return Value(name=name, kind=kind, in_code=in_code, answered=text, agrees=in_code == text)


def _kind(name: str, told: Any) -> Literal["address", "atoms", "seconds", "number", "hash"]:
    if isinstance(told, bytes):
        return "address" if len(told) == 20 else "hash"
    if name == "MINIMUM_STAKE":
        return "atoms"
    return "seconds" if name.endswith("_NOTICE") else "number"
