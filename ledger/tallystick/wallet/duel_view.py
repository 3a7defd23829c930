"""How a checked duel reads, on a terminal and as JSON."""

from tallystick.chain.duel_audit import check
from tallystick.chain.duel_record import DuelRecord
from tallystick.chain.duel_telling import facts_of
from tallystick.chain.duels import Duels
from tallystick.chain.market import Market
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import hash32, to_hex
from tallystick.wallet.audit_view import told_by_steps
from tallystick.wallet.view import View


def checked(market: Market, name: str) -> View:
    """Each step, with what it was decided by. `ok` is false where one does not hold.

    Raises
    ------
    MalformedMessage :
        It is no id of a duel, or none was opened that has it.
    NoContract :
        The market has no duels.
    ChainUnavailable :
        The node does not answer.
    """
    try:
        duel = hash32(name)
    except ValueError as error:
        raise MalformedMessage("A duel is named by 0x and 64 hex digits.") from error
    record = DuelRecord(Duels(market))
    facts = facts_of(record.told(duel))
    if facts is None:
        raise MalformedMessage(f"No duel of this market has the id {to_hex(duel)}.")
    return told_by_steps("duel", duel, record.block, check(facts))
