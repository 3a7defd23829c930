"""The contracts on the chain: their code compared with the build, and the values that they were made with, as
their code has them and as they answer. It asks the one node that the operator named."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal

from tallystick.chain import build, contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.contracts import Contract
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.protocol.units import Address as AddressBytes
from tallystick.protocol.units import to_hex
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.values import Address, shown

_GETTERS: Final[Mapping[str, Mapping[str, str]]] = {
    "Market": {
        "ASSET": "asset",
        "ARBITER": "arbiter",
        "MINIMUM_STAKE": "minimumStake",
        "EXIT_NOTICE": "exitNotice",
        "CLOSE_NOTICE": "closeNotice",
        "UNSTAKE_NOTICE": "unstakeNotice",
    },
    "Duels": {"MARKET": "market", "AUDITS": "audits", "MINIMUM_FEE": "minimumFee", "PERIOD": "period"},
    "Audits": {"DUELS": "duels", "WINDOW": "window"},
}
"""What each contract can be asked of its immutables. The others follow from where it is, or are another
contract's."""


@shown
class Value:
    """One that the constructor set."""

    name: str
    kind: Literal["address", "atoms", "seconds", "number", "hash"]
    in_code: str | None
    """Decimal, or hex of an address or a hash; none: its copies in the code disagree."""
    answered: str
    """By the contract, or what follows from chain, addresses and the other contracts."""
    agrees: bool


@shown
class Deployed:
    """A contract as the chain has it."""

    name: str
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


async def deployed(node: Node, deployment: Deployment) -> tuple[Deployed, ...]:
    """The market, and the duels and audits that the deployment names. Raises NodeSilent."""
    found: list[Deployed] = []
    told: dict[str, dict[str, Any]] = {}
    for name, address in addresses(deployment).items():
        code, told[name] = await _asked(node, contracts.of_name(name), address)
        values = _named(name, deployment, told) if code else {}
        found.append(_deployed(name, address, deployment.block, code, values))
    return tuple(found)


def addresses(deployment: Deployment) -> Mapping[str, AddressBytes]:
    """Of the contracts that hold money, by their names."""
    named = {"Market": deployment.market, "Duels": deployment.duels, "Audits": deployment.audits}
    return {name: address for name, address in named.items() if address is not None}


async def _asked(node: Node, contract: Contract, address: AddressBytes) -> tuple[bytes, dict[str, Any]]:
    """Its code, and what it answers of its values."""
    interface = contract.interface
    try:
        code = await node.code(address)
        getters = _GETTERS[contract.name] if code else {}
        asked = (node.call(address, interface.call(getter, ())) for getter in getters.values())
        answers = await asyncio.gather(*asked)
        return code, {
            name: interface.result(getter, answer)[0]
            for (name, getter), answer in zip(getters.items(), answers, strict=True)
        }
    except ChainUnavailable as error:
        raise NodeSilent(str(error)) from error
    except (RpcError, AbiError) as error:
        what = {"Market": "a market does", "Duels": "duels do", "Audits": "audits do"}[contract.name]
        raise NodeSilent(f"What stands there does not answer as {what}: {error}") from error


def _named(name: str, deployment: Deployment, told: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Each of its values as it must be: as it answers, or where another contract is asked, as that does."""
    values = {**told[name], "CHAIN_ID": deployment.chain_id, "SEPARATOR": deployment.domain.separator}
    if name == "Market" and deployment.duels is not None:
        values |= {"ARBITER": deployment.duels}
    if name in ("Duels", "Audits"):
        values |= {"MARKET": deployment.market, "ASSET": deployment.asset}
    if name == "Duels":
        values |= {"AUDITS": deployment.audits or bytes(20)}
    if name == "Audits":
        values |= {"DUELS": deployment.duels or bytes(20), "PERIOD": told.get("Duels", {}).get("PERIOD", 0)}
    return values


def _deployed(name: str, address: AddressBytes, block: int, code: bytes, told: Mapping[str, Any]) -> Deployed:
    found = build.compare(build.built(name), code)
    return Deployed(
        name=name,
        address=address,
        block=block,
        code_bytes=len(code),
        same=found.same,
        differs_at=found.differs_at,
        values=tuple(_value(one, found.values[one], its) for one, its in told.items() if one in found.values),
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
    if name in ("MINIMUM_STAKE", "MINIMUM_FEE"):
        return "atoms"
    return "seconds" if name.endswith("_NOTICE") or name in ("PERIOD", "WINDOW") else "number"
