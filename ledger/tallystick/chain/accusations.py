"""Whom the audits' contract tells that it is accused, read from its events.

Each question reads the blocks that it names, once. It decides nothing.
"""

from collections.abc import Iterator
from typing import Final

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.audits import Audits
from tallystick.chain.errors import ChainUnavailable
from tallystick.protocol.units import Address, to_hex

_SPAN: Final = 2_000
"""Blocks of one question: what nodes that limit it allow."""


def accused(audits: Audits, begin: int, end: int) -> Iterator[Address]:
    """In the blocks from `begin` to `end`, in order; raises ChainUnavailable."""
    interface = contracts.audits().interface
    (topic,) = (topic for topic, entry in interface.events.items() if entry.name == "Accused")
    for first in range(begin, end + 1, _SPAN):
        blocks = {"fromBlock": hex(first), "toBlock": hex(min(end, first + _SPAN - 1))}
        asked = {"address": to_hex(audits.address), "topics": [to_hex(topic)], **blocks}
        logs = audits.market.rpc.call("eth_getLogs", asked)
        for log in logs if isinstance(logs, list) else ():
            try:
                topics = [bytes.fromhex(word[2:]) for word in log["topics"]]
                told = interface.log(topics, bytes.fromhex(log["data"][2:]))
            except (AbiError, KeyError, TypeError, ValueError) as error:
                raise ChainUnavailable("The node answered what is no log of the audits' contract.") from error
            if told is not None:
                yield told[1]["provider"]
