"""Whom the audits' contract tells that it is accused, and of what, read from its events.
It decides nothing."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.audit_events import Struck as Filed
from tallystick.chain.audit_events import read_audit_event
from tallystick.chain.audits import Audits, Struck
from tallystick.chain.blocks import read_logs
from tallystick.chain.errors import ChainUnavailable
from tallystick.chain.lookout import Lookout
from tallystick.protocol.finding import Finding
from tallystick.protocol.lottery import BlockAt
from tallystick.protocol.units import Address, Timestamp, to_hex

_SPAN: Final = 2_000
"""Blocks of one question: what nodes that limit it allow."""


class Accused:
    """Of one market's audits. Not for two threads at once."""

    def __init__(self, audits: Audits):
        market = audits.market
        self._lookout = Lookout(market.rpc, audits.address, [_topic("Accused")], market.deployment.block)

    def news(self, head: int) -> Iterator[Address]:
        """In the blocks up to `head`, in order, the newest of them once more: as `Lookout.logs`."""
        interface = contracts.audits().interface
        for log in self._lookout.logs(head):
            try:
                topics = [bytes.fromhex(word[2:]) for word in log["topics"]]
                told = interface.log(topics, bytes.fromhex(log["data"][2:]))
            except (AbiError, KeyError, TypeError, ValueError) as error:
                raise ChainUnavailable("The node answered what is no log of the audits' contract.") from error
            if told is not None:
                yield told[1]["provider"]


def findings(
    audits: Audits, provider: Address, strikes: Sequence[Struck], block_at: BlockAt
) -> Iterator[Finding]:
    """What each of the strikes against the provider was filed with, in their order. The chain is asked for
    the blocks of their times alone. Raises ChainUnavailable, also where one of these is not deep enough
    yet."""
    for strike in strikes:
        first, next_one = block_at(strike.at), block_at(Timestamp(strike.at + 1))
        if first is None:
            raise ChainUnavailable("The block of a strike is not deep enough yet.")
        end = first.number + _SPAN if next_one is None else next_one.number
        wanted = [to_hex(_topic("Struck")), _word(provider), _word(strike.auditor)]
        told = [read_audit_event(log) for log in _logs(audits, first.number, end, wanted)]
        filed = [event for event in told if isinstance(event, Filed)]
        if not filed:
            raise ChainUnavailable("The node has no log of a strike that counts.")
        yield filed[0].finding


def _logs(audits: Audits, begin: int, end: int, topics: Sequence[str]) -> Iterator[Any]:
    for first in range(begin, end + 1, _SPAN):
        blocks = {"fromBlock": hex(first), "toBlock": hex(min(end, first + _SPAN - 1))}
        asked = {"address": to_hex(audits.address), "topics": list(topics), **blocks}
        yield from read_logs(audits.market.rpc.call("eth_getLogs", asked))


def _topic(name: str) -> bytes:
    events = contracts.audits().interface.events
    (topic,) = (topic for topic, entry in events.items() if entry.name == name)
    return topic


def _word(value: Address) -> str:
    return to_hex(value.rjust(32, b"\0"))
