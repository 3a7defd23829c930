"""How a checked accusation reads, on a terminal and as JSON."""

from tallystick.chain.audits import Audits
from tallystick.chain.market import Market
from tallystick.chain.strike_audit import check
from tallystick.chain.strike_record import AccusationRecord
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import hash32, to_hex
from tallystick.wallet.audit_view import told_by_steps
from tallystick.wallet.view import View


def checked(market: Market, name: str) -> View:
    """Each step, with what it was decided by. `ok` is false where one does not hold.

    Raises
    ------
    MalformedMessage :
        It is no id of an accusation, or there never was one that has it.
    NoContract :
        The market has no audits.
    ChainUnavailable :
        The node does not answer.
    """
    try:
        accusation = hash32(name)
    except ValueError as error:
        raise MalformedMessage("An accusation is named by 0x and 64 hex digits.") from error
    record = AccusationRecord(Audits(market))
    facts = record.facts(accusation)
    if facts is None:
        raise MalformedMessage(f"No accusation of this market has the id {to_hex(accusation)}.")
    return told_by_steps("accusation", accusation, record.block, check(facts))
