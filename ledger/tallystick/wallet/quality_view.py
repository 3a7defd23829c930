"""How duels and findings read, and what of them is saved. It prints nothing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from tallystick.chain.market import Asset
from tallystick.client.avoidance import Avoided, Reason
from tallystick.client.findings import HeldFinding
from tallystick.client.pairs import Pair
from tallystick.client.purse import Purse
from tallystick.protocol.case import Exhibit
from tallystick.protocol.finding import Check, Verdict
from tallystick.protocol.units import Atoms, Timestamp, to_hex
from tallystick.protocol.vote import Choice
from tallystick.protocol.wire import signed_to_json
from tallystick.wallet.errors import FindingUnknown
from tallystick.wallet.money import show_briefly
from tallystick.wallet.render import moment
from tallystick.wallet.view import View, lines, short, table

_WHY: Final = {
    Reason.FALSE_RECEIPT: "signed a false receipt",
    Reason.UNPAID: "ends its channels unpaid",
    Reason.STRUCK: "was struck",
    Reason.MISDATED: "misdates receipts",
    Reason.UNAUDITABLE: "cannot be audited",
}


def duels(pairs: Sequence[Pair], spent: Atoms, asset: Asset) -> View:
    """Of one purse; `spent` on all of them, at most."""
    data = {"spent": str(spent), "duels": [duel_to_json(pair) for pair in pairs]}
    rows = [
        [
            str(pair.number),
            pair.state,
            short(pair.case.first.provider),
            short(pair.case.second.provider),
            _said(pair),
            show_briefly(pair.cost, asset),
        ]
        for pair in pairs
    ]
    columns = ("duel>", "state", "first", "second", "verdict", "cost>")
    note = f"{show_briefly(spent, asset)} in all, at most."
    return table(data, columns, rows, empty="No duels.", note=note)


def duel_to_json(pair: Pair) -> dict[str, Any]:
    return {
        "number": pair.number,
        "id": to_hex(pair.duel),
        "state": pair.state,
        "first": _exhibit(pair.case.first),
        "second": _exhibit(pair.case.second),
        "known": _word(pair.known),
        "verdict": _word(pair.verdict),
        "cost": str(pair.cost),
    }


def findings(held: Sequence[HeldFinding], spent: Atoms, avoided: Sequence[Avoided], asset: Asset) -> View:
    """Of one purse; `spent` on all audits, at most; `avoided` by it, for whatever reason."""
    data = {
        "spent": str(spent),
        "findings": [_finding(one) for one in held],
        "avoided": [_avoided(one) for one in avoided],
    }
    rows = [
        [
            str(one.number),
            short(one.finding.message.provider),
            short(one.finding.message.auditor),
            one.verdict.name.lower(),
            _check(one),
            str(one.finding.message.tokens),
            one.state,
            show_briefly(one.cost, asset),
        ]
        for one in held
    ]
    columns = ("audit>", "provider", "auditor", "verdict", "check", "tokens>", "state", "cost>")
    note = f"{show_briefly(spent, asset)} in all, at most."
    told = table(data, columns, rows, empty="No auditor has said anything.", note=note)
    return _beside(told, avoided) if avoided else told


def _beside(told: View, avoided: Sequence[Avoided]) -> View:
    """The same, with those who are avoided below it."""
    from rich.console import Group

    rows = [
        [
            short(one.provider),
            _WHY[one.reason],
            "after all others" if one.is_last else "never",
            moment(Timestamp(one.until // 1000)),
        ]
        for one in avoided
    ]
    below = table([], ("avoided", "because it", "is asked", "until"), rows, empty="")
    return View(told.data, Group(told.shown, "", below.shown))


def save_samples(purse: Purse, number: int, file: Path) -> View:
    """What an auditor found a strike of, as `tally-node audit` takes it. Raises FindingUnknown."""
    if number not in [one.number for one in purse.findings.all() if one.verdict is Verdict.STRIKE]:
        raise FindingUnknown("No strike has that number.", actual=number)
    dossier = purse.findings.shown(number)
    _write_for_oneself(file, orjson.dumps(dossier.to_json()))
    count = len(dossier.samples)
    data = {"file": str(file), "samples": count}
    return lines(data, f"{count} answers with their requests are in {file}. They are in the clear.")


def _write_for_oneself(file: Path, content: bytes) -> None:
    """So that nobody else on the machine reads it, whoever could read what was there before."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as opened:
        os.fchmod(opened.fileno(), 0o600)
        opened.truncate()
        opened.write(content)


def _avoided(one: Avoided) -> dict[str, Any]:
    return {
        "provider": to_hex(one.provider),
        "reason": one.reason.value,
        "isAsked": "last" if one.is_last else "never",
        "since": str(one.since),
        "until": str(one.until),
    }


def _finding(one: HeldFinding) -> dict[str, Any]:
    said = {"verdict": one.verdict.name.lower(), "check": _check(one)}
    about = {"number": one.number, "state": one.state, "channelId": to_hex(one.channel_id)}
    return {**about, "cost": str(one.cost), "said": said, **signed_to_json(one.finding)}


def _check(one: HeldFinding) -> str:
    check = one.finding.message.check
    return Check(check).name.lower() if check in tuple(Check) else str(check)


def _exhibit(exhibit: Exhibit) -> dict[str, Any]:
    return {"provider": to_hex(exhibit.provider), **signed_to_json(exhibit.receipt)}


def _said(pair: Pair) -> str:
    known = "" if pair.known is Choice.NONE else f" (known: {_word(pair.known)})"
    return f"{_word(pair.verdict) or '–'}{known}"


def _word(choice: Choice) -> str | None:
    return None if choice is Choice.NONE else choice.name.lower()
