"""`tally-node strike` and `reaudit`: an auditor takes what it found to the chain.

What a strike rests on is looked at here before it costs gas, as the contract will.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from tallystick.chain.audits import Audits, Exhibit, Status
from tallystick.chain.draws import drawing
from tallystick.chain.errors import ChainError
from tallystick.chain.history import opening_of
from tallystick.chain.timeline import Timeline
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.dossier import Dossier, drawn
from tallystick.protocol.errors import MarketError
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.lottery import draws_at, is_drawn
from tallystick.protocol.merkle import root
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.strikes import STRIKES, Opinion
from tallystick.protocol.units import Address, address, to_hex
from tallystick.protocol.viewing import Shown
from tallystick.protocol.wire import signed_from_json
from tallystick_node.config import Config
from tallystick_node.gateway.start import checked
from tallystick_node.quality.accusations import commitment
from tallystick_node.quality.dossiers import Dossiers

ALL: Final = "all"
"""In place of an auditor: each."""


class StrikeRefused(Exception):
    """Why nothing was sent."""


def strike(config: Config, *, samples: Path, finding: Path) -> str:
    """What was sent, as a sentence. Raises StrikeRefused, StartRefused or ConfigInvalid."""
    try:
        dossier = Dossier.from_json(orjson.loads(samples.read_bytes()))
        shown = [sample.receipt for sample in dossier.samples if sample.is_single]
        found = read_finding(orjson.loads(finding.read_bytes()))
        with checked(config) as provider:
            audits = Audits(provider.market)
            exhibit = exhibit_of(audits, shown, found, auditor=provider.address)
            drawn(dossier, Timeline(audits.market.rpc).block_at)  # or re-auditors would clear it
            kept = Dossiers(config.quality.dossiers)
            kept.keep(Shown(finding=found, dossier=dossier), audits.is_counted)
            audits.strike(exhibit)
            accused = found.message.provider
            count, accusation = len(audits.strikes(accused)), audits.accusation(accused)
    except (OSError, orjson.JSONDecodeError, TypeError) as error:
        raise StrikeRefused(f"A file cannot be read: {error}.") from error
    except (MarketError, ChainError) as error:
        raise StrikeRefused(str(error)) from error
    if count > accusation.accusing > 0:
        return f"Struck {to_hex(accused)}: it is accused already, and this waits for its next accusation."
    if accusation.status is Status.ACCUSED:
        return f"Struck {to_hex(accused)}: that makes {STRIKES}. It may answer until {accusation.until}."
    return f"Struck {to_hex(accused)}: {count} of {STRIKES}."


def read_finding(data: Any) -> Signed[Finding]:
    """What `tally-node audit` printed, without what is for people. Raises MalformedMessage."""
    if isinstance(data, dict):
        data = {name: value for name, value in data.items() if name != "said"}
    return signed_from_json(Finding, data)


def exhibit_of(
    audits: Audits, receipts: Sequence[Signed[Receipt]], found: Signed[Finding], *, auditor: Address
) -> Exhibit:
    """What the strike rests on. `receipts`: all that the finding is of. Raises StrikeRefused, or
    ChainError."""
    message, hashes = found.message, [signed.message.struct_hash() for signed in receipts]
    if message.verdict != Verdict.STRIKE:
        raise StrikeRefused("The finding is no strike.")
    if message.auditor != auditor or message.receipts_root != root(hashes):
        raise StrikeRefused("The finding is not this node's of these samples.")
    receipt = receipts[hashes.index(message.receipt_hash)]
    rpc = audits.market.rpc
    block = Timeline(rpc).block_at(draws_at(receipt.message.finished_at))
    if block is None:
        raise StrikeRefused("The block that draws is not there yet.")
    if not is_drawn(block.hash, message.receipt_hash, receipt.message.sequence):
        raise StrikeRefused("The lottery passed this receipt over.")
    if auditor not in audits.auditors(message.receipt_hash, message.provider, block):
        raise StrikeRefused("This provider was not drawn to audit it, or the chain forgot who was.")
    opened = opening_of(audits.market, receipt.message.channel_id)
    if opened is None:
        raise StrikeRefused("The receipt's channel was never opened on chain.")
    channel = ChannelKey(
        payer=opened.payer, provider=opened.provider, session_key=opened.session_key, epoch=opened.epoch
    )
    return Exhibit(channel=channel, receipt=receipt, drawing=drawing(rpc, block), finding=found)


def reaudit(
    config: Config, *, accused: str, uphold: bool, but: Sequence[str] = (), nothing: Sequence[str] = ()
) -> str:
    """What was committed to, as a sentence. `but`: auditors of whose strikes it says the other; `nothing`:
    of whose it says nothing, or `ALL`. Raises StrikeRefused, StartRefused or ConfigInvalid."""
    try:
        named, others = address(accused), {address(one) for one in but}
        unsaid = {address(one) for one in nothing if one != ALL}
        with checked(config) as provider:
            audits = Audits(provider.market)
            accusation, drawn = audits.accusation(named), list(audits.reauditors(named))
            if accusation.status is not Status.COMMITTING or provider.address not in drawn:
                raise StrikeRefused("This provider is not drawn to re-audit it, or it is not the time.")
            strikers = [strike.auditor for strike in audits.strikes(named)[: accusation.accusing]]
            if not others | unsaid <= set(strikers):
                raise StrikeRefused("Not all who are named accuse it.")
            if ALL in nothing:
                unsaid = set(strikers)
            if others & unsaid:
                raise StrikeRefused("Of a strike it says the other, or nothing: not both.")
            place = drawn.index(provider.address)
            if audits.seat(named, place) is None:
                audits.summon(named)
            committed = commitment(
                provider.key,
                provider.market.deployment.domain,
                accusation.id,
                auditor=provider.address,
                seat=place,
                opinions=[_opinion(one, uphold=uphold, others=others, unsaid=unsaid) for one in strikers],
            )
            audits.commit(named, [committed])
    except ValueError as error:
        raise StrikeRefused(f"No address: {error}") from error
    except (MarketError, ChainError) as error:
        raise StrikeRefused(str(error)) from error
    said = ("upholds" if uphold else "clears") + (" the other strikes" if others | unsaid else " the strikes")
    if unsaid == set(strikers):
        said = "says nothing of any strike"
    return f"Committed: it {said}. The node reveals it from {accusation.until} on, while it runs."


def _opinion(striker: Address, *, uphold: bool, others: set[Address], unsaid: set[Address]) -> Opinion:
    if striker in unsaid:
        return Opinion.NONE
    return Opinion.UPHOLD if uphold is (striker not in others) else Opinion.CLEAR
