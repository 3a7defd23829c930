"""The contracts as the compiler left them, and calls to them ready to be sent.

ABI and bytecode are generated (`scripts/contracts build`) and shipped: nobody needs a compiler to trade.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from tallystick.chain.abi import AbiError, Entry, Interface, decode, encode, named
from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ContractError
from tallystick.protocol.units import Address, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call as it would be sent, and as it can be shown."""

    contract: str
    name: str
    to: Address | None
    """None: it creates the contract."""
    arguments: tuple[tuple[str, Any], ...]
    """By name; structs as mappings of their fields."""
    data: bytes

    @property
    def spare(self) -> int:
        """Gas beyond what a node estimates."""
        return _WEIGHING if (self.contract, self.name) in _WEIGHS else 0


_WEIGHS: Final = {
    *(("Duels", name) for name in ("enlist", "retire", "refresh")),
    ("Audits", "conclude"),
}
"""Calls that change a judge's weight."""
_WEIGHING: Final = 400_000
"""Gas, of which nothing is paid that is not used. A node estimates as of the newest block, in which a weight
may have changed too: then it sees sums written over that the next block writes anew, one for each doubling of
the number of judges, at 20,000 and a little each."""


class Contract:
    """One contract's interface and bytecode."""

    def __init__(self, name: str):
        artifact = orjson.loads((files("tallystick.chain") / "artifacts" / f"{name}.json").read_bytes())
        self.name = name
        self.interface = Interface(artifact["abi"])
        self.bytecode = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))

    def call(self, to: Address, name: str, *values: Any) -> Call:
        """Raises TypeError where a value is not exactly of its parameter's type."""
        data = self.interface.call(name, values)
        entry = self.interface.functions[name][1]
        arguments = tuple(zip(entry.names, map(named, entry.inputs, values), strict=True))
        return Call(contract=self.name, name=name, to=to, arguments=arguments, data=data)

    def create(self, *values: Any) -> Call:
        entry = self.interface.constructor
        return Call(
            contract=self.name,
            name="constructor",
            to=None,
            arguments=tuple(zip(entry.names, values, strict=True)),
            data=self.bytecode + encode(entry.types, values),
        )


@cache
def market() -> Contract:
    return Contract("Market")


@cache
def duels() -> Contract:
    return Contract("Duels")


@cache
def audits() -> Contract:
    return Contract("Audits")


@cache
def lens() -> Contract:
    return Contract("Lens")


@cache
def asset() -> Contract:
    """An ERC-20 with permits; only a local chain's also mints."""
    return Contract("TestAsset")


def of_name(name: str) -> Contract:
    """One that holds money, by its name: raises KeyError."""
    return {"Market": market, "Duels": duels, "Audits": audits}[name]()


def at(address: bytes | None, deployment: Deployment) -> Contract | None:
    """What stands there of one market: the market itself, its duels or its audits; None: neither."""
    if address is None:
        return None
    if address == deployment.market:
        return market()
    if address == deployment.duels:
        return duels()
    return audits() if address == deployment.audits else None


def _builtin(name: str, parameter: str, kind: str) -> Entry:
    return Entry(name, ({"name": parameter, "type": kind},), ())


@cache
def _errors() -> dict[bytes, Entry]:
    builtin = (_builtin("Error", "message", "string"), _builtin("Panic", "code", "uint256"))
    known = {entry.topic[:4]: entry for entry in builtin}
    for contract in (lens(), asset(), audits(), duels(), market()):
        known |= contract.interface.errors
    return known


def contract_error(data: bytes) -> ContractError:
    """What a contract meant by the bytes that it reverted with."""
    entry = _errors().get(data[:4])
    try:
        if entry is not None:
            return ContractError(entry.name, entry.named(decode(entry.types, data[4:])))
    except AbiError:
        pass  # An error of the same selector from some other contract.
    return ContractError("Unexplained", {"data": to_hex(data[:68])})


def error_names() -> Sequence[str]:
    """Every error that the contracts can raise."""
    return sorted(entry.name for entry in _errors().values())
