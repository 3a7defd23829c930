"""Calls and events of the market and of its duels told argument by argument, each with what kind of thing
it is: a page can show an amount as one and link an address.

It knows no page and asks nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError, Entry, Parameter, named, type_of
from tallystick.chain.contracts import Contract
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.units import to_hex
from tallystick_node.explorer.values import Address, Amount, Hash, shown

ARGUMENTS: Final = 400
"""Told of one call, at most."""
ROWS: Final = 1_000
"""Of one settle call, told at most: no block holds as many."""

_TIMES: Final = frozenset(
    {"exitsAt", "closesAt", "validUntil", "deadline", "decideBy", "revealFrom", "appealBy", "answerBy"}
)
_MOMENTS: Final = frozenset({"receivedAt", "firstTokenAt", "finishedAt", "foundAt"})
_PRICES: Final = frozenset({"inputPrice", "cachedInputPrice", "outputPrice"})
_WHO: Final = {
    **{"provider": "provider", "payer": "payer", "sessionKey": "key", "receiptKey": "key"},
    **dict.fromkeys(
        ("judge", "judges", "first", "second", "loser", "winner", "auditor", "auditors"), "provider"
    ),
}
_WHAT: Final = {
    **{"channelId": "channel", "offerHash": "offer", "duel": "duel", "appeal": "duel"},
    "id": "accusation",
}


@shown
class Argument:
    """One value, by its path in the call: `offer.model`, `openings[0].cap`."""

    path: str
    kind: str
    """What it is: a provider, payer, key, address, channel, offer, duel, accusation, hash, bytes, atoms,
    price, time (seconds), moment (milliseconds), words or number."""
    value: str
    """As JSON has it: integers in decimal, bytes in hex."""

    @property
    def bytes(self) -> bytes:
        return bytes.fromhex(self.value[2:])

    @property
    def number(self) -> int:
        return int(self.value)

    @property
    def empty(self) -> bool:
        """A hash or an address of nothing: the contract has zero where there is none."""
        return self.kind in ("hash", "provider", "address") and not any(self.bytes)


@shown
class SettleRow:
    """One voucher as a settle call presents it."""

    payer: Address
    session_key: Address
    epoch: int
    cumulative_amount: Amount
    acknowledgement_hash: Hash
    channel_id: Hash


@shown
class Told:
    """A call as the market's ABI reads it."""

    function: str
    arguments: tuple[Argument, ...]
    rows: tuple[SettleRow, ...]
    """Of a settle call, in its order."""
    cut: bool
    """There are more arguments than these."""


def call_told(data: bytes, contract: Contract) -> Told | None:
    """None: no function of the contract, or not as its ABI has it."""
    interface = contract.interface
    try:
        called = interface.calldata(data)
    except AbiError:
        return None
    if called is None:
        return None
    name, values = called
    settles = contract is contracts.market() and name == "settle"
    rows = _settle_rows(values) if settles else ()
    given = {key: value for key, value in values.items() if not (settles and key == "rows")}
    arguments = tuple(_limited(_flat(interface.functions[name][1].inputs, given)))
    return Told(
        function=name if contract is contracts.market() else f"{contract.name}.{name}",
        arguments=arguments[:ARGUMENTS],
        rows=rows[:ROWS],
        cut=len(arguments) > ARGUMENTS or len(rows) > ROWS,
    )


def event_told(name: str, values: Mapping[str, Any]) -> tuple[Argument, ...]:
    """The arguments of an event as the index names it and keeps them."""
    entry = _events().get(name)
    return () if entry is None else tuple(_limited(_flat(entry.inputs, values)))


def log_told(
    topics: Sequence[bytes], data: bytes, contract: Contract
) -> tuple[str, tuple[Argument, ...]] | None:
    """A log of the contract's as the node tells it: name and arguments. None: none of its events."""
    try:
        found = contract.interface.log(topics, data)
    except AbiError:
        return None
    if found is None:
        return None
    name, values = found
    inputs = contract.interface.events[topics[0]].inputs
    told = {i["name"]: named(i, values[i["name"]]) for i in inputs}
    stem = "" if contract is contracts.market() else f"{contract.name}."
    return stem + name, tuple(_limited(_flat(inputs, told)))


@cache
def _events() -> Mapping[str, Entry]:
    """By the names that the index has."""
    found = {entry.name: entry for entry in contracts.market().interface.events.values()}
    for its in (contracts.duels(), contracts.audits()):
        found |= {f"{its.name}.{entry.name}": entry for entry in its.interface.events.values()}
    return found


def _limited(arguments: Iterator[Argument]) -> Iterator[Argument]:
    for _, argument in zip(range(ARGUMENTS + 1), arguments, strict=False):
        yield argument


def _settle_rows(values: Mapping[str, Any]) -> tuple[SettleRow, ...]:
    return tuple(
        SettleRow(
            payer=row["payer"],
            session_key=row["sessionKey"],
            epoch=row["epoch"],
            cumulative_amount=row["cumulativeAmount"],
            acknowledgement_hash=row["acknowledgementHash"],
            channel_id=ChannelKey(
                payer=row["payer"],
                provider=values["provider"],
                session_key=row["sessionKey"],
                epoch=row["epoch"],
            ).id,
        )
        for row in values["rows"]
    )


def _flat(parameters: Sequence[Parameter], values: Mapping[str, Any], stem: str = "") -> Iterator[Argument]:
    for parameter in parameters:
        if parameter["name"] in values:
            yield from _of(parameter, values[parameter["name"]], f"{stem}{parameter['name']}")


def _of(parameter: Parameter, value: Any, path: str) -> Iterator[Argument]:
    text: str = parameter["type"]
    if text.endswith("[]") and isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _of({**parameter, "type": text.removesuffix("[]")}, part, f"{path}[{number}]")
    elif text == "tuple" and isinstance(value, Mapping):
        yield from _flat(parameter["components"], value, f"{path}.")
    else:
        written = to_hex(value) if isinstance(value, bytes) else str(value)
        kind = _kind(type_of(parameter), parameter["name"])
        yield Argument(path=path, kind=kind if _is(kind, written) else "words", value=written)


def _kind(kind: str, name: str) -> str:
    if kind == "address":
        return _WHO.get(name, "address")
    if kind == "bytes32":
        return _WHAT.get(name, "hash")
    if kind == "bytes":
        return "bytes"
    if not kind.startswith("uint") or kind == "uint8":
        return "words" if kind == "string" else "number"
    for names, found in ((_TIMES, "time"), (_MOMENTS, "moment"), (_PRICES, "price")):
        if name in names:
            return found
    return "atoms" if kind in ("uint96", "uint128") or name in ("price", "total") else "number"


def _is(kind: str, value: str) -> bool:
    """Whether a value reads as its kind: `reason` is a number in the ABI and its name in the index."""
    if kind in ("time", "moment", "price", "atoms", "number"):
        return value.isdecimal()
    return True
