"""What `tally judge` and `tally duel expire` do, over the contracts of duels and audits. It prints
nothing."""

from collections.abc import Sequence
from typing import Any

from tallystick.chain.audits import Audits
from tallystick.chain.duels import Duels, Status
from tallystick.chain.market import Market
from tallystick.chain.transaction import Mined
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import Address, Hash32, hash32, to_hex
from tallystick.wallet.desk import Desk, sent
from tallystick.wallet.money import show_exactly
from tallystick.wallet.view import View, facts, lines


def shown(desk: Desk, who: Address) -> View:
    """Raises NoContract where the market has no duels, as all here do."""
    judge = Duels(desk.market).judge(who)
    owed = _owed(desk.market, who)
    data = _judge_data(desk, who) | {"owed": {name: str(atoms) for name, _, atoms in owed}}
    state = "not enlisted" if not judge.slot else "retired, or too little staked" if not judge.weight else ""
    pairs = [("judge", to_hex(who)), ("weight", state or show_exactly(judge.weight, desk.asset))]
    pairs += [("owner", to_hex(judge.owner))] if judge.slot else []
    pairs += [(f"owed by {name}", show_exactly(atoms, desk.asset)) for name, _, atoms in owed]
    return facts(data, pairs)


def enlist(desk: Desk, owner: Address) -> View:
    """Raises ContractError where too little is staked, or the owner has not consented."""
    mined = Duels(desk.signing_market).enlist(owner)
    judge = Duels(desk.market).judge(desk.wallet.address)
    return lines(
        sent(_judge_data(desk, desk.wallet.address), [mined]),
        f"Enlisted, with a weight of {show_exactly(judge.weight, desk.asset)}.",
        f"Its owner is {to_hex(judge.owner)}, for good.",
        "Whoever is drawn and silent loses a fee: let your node judge ([quality] judge = true), and audit "
        "(audit = true).",
    )


def consent(desk: Desk, provider: Address) -> View:
    mined = Duels(desk.signing_market).consent(provider)
    data = {"owner": to_hex(desk.wallet.address), "provider": to_hex(provider)}
    return lines(
        sent(data, [mined]),
        f"{to_hex(provider)} may name this wallet: tally judge enlist --owner {to_hex(desk.wallet.address)}",
    )


def retire(desk: Desk) -> View:
    mined = Duels(desk.signing_market).retire()
    return lines(
        sent(_judge_data(desk, desk.wallet.address), [mined]),
        "Retired. What it was drawn for before is still to be done.",
    )


def refresh(desk: Desk, who: Address) -> View:
    before = Duels(desk.market).judge(who).weight
    mined = Duels(desk.signing_market).refresh(who)
    now = Duels(desk.market).judge(who).weight
    return lines(
        sent(_judge_data(desk, who), [mined]),
        f"The weight of {to_hex(who)} is {show_exactly(now, desk.asset)}; it was "
        f"{show_exactly(before, desk.asset)}.",
    )


def withdraw(desk: Desk, who: Address) -> View:
    owed = [one for one in _owed(desk.market, who) if one[2]]
    mined: list[Mined] = []
    if owed:
        there = {name: contract for name, contract, _ in _owed(desk.signing_market, who)}
        mined = [there[name].withdraw(who) for name, _, _ in owed]
    text = [f"{show_exactly(atoms, desk.asset)} of {name} are in the wallet now." for name, _, atoms in owed]
    data = {"withdrawn": {name: str(atoms) for name, _, atoms in owed}}
    return lines(sent(data, mined), *(text or ["Nothing is owed."]))


def expire(desk: Desk, text: str) -> View:
    """Raises MalformedMessage, or ContractError where the duel has not lapsed."""
    try:
        duel: Hash32 = hash32(text)
    except ValueError as error:
        raise MalformedMessage(f"{text} is no duel's id: 0x and 64 hex digits.") from error
    duels = Duels(desk.market)
    if duels.duel(duel).status is Status.NONE:
        raise MalformedMessage("There is no such duel on this market.", actual=text)
    mined = Duels(desk.signing_market).expire(duel)
    status = duels.duel(duel).status.name.lower()
    return lines(
        sent({"duel": to_hex(duel), "status": status}, [mined]),
        "Nobody decided it in time: its fee is burnt.",
    )


def _owed(market: Market, who: Address) -> Sequence[tuple[str, Duels | Audits, int]]:
    """By contract: those that the market has."""
    contracts: list[tuple[str, Duels | Audits]] = [("duels", Duels(market))]
    if market.deployment.audits is not None:
        contracts.append(("audits", Audits(market)))
    return [(name, contract, contract.balance_of(who)) for name, contract in contracts]


def _judge_data(desk: Desk, who: Address) -> dict[str, Any]:
    judge = Duels(desk.market).judge(who)
    return {
        "judge": to_hex(who),
        "enlisted": bool(judge.slot),
        "weight": str(judge.weight),
        "owner": to_hex(judge.owner),
    }
