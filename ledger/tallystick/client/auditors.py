"""How a payer has an auditor look at what the lottery drew: a paid request like any other, and a signed
finding.

Nothing that it says is believed unsigned, nor of other receipts than those it was shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from tallystick.client.ask import Ask, read_ask, worst_cost
from tallystick.client.attempts import Call
from tallystick.client.bounds import AUDITOR_BYTES, CASE_BYTES, CREDIT_PARTS, bound
from tallystick.client.errors import AuditorFailed
from tallystick.client.flow import Flow
from tallystick.client.judges import heard
from tallystick.client.outcome import Outcome
from tallystick.client.replies import object_in
from tallystick.client.searching import Search
from tallystick.ports import PostedOffer
from tallystick.protocol.dossier import Dossier, is_of
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Atoms, to_hex
from tallystick.protocol.wire import AUDIT_PATH, signed_from_json

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_TIMEOUT: Final[Mapping[str, float | None]] = {"connect": 5.0, "read": 300.0, "write": 60.0, "pool": 60.0}
"""Seconds, for an auditor's engine: nobody waits for it."""

_TOKENS: Final = 16_384
"""Of answers that are shown, where there are several: an auditor may have its engine give each again, and is
waited for no longer than `_TIMEOUT`."""


def offers_of(offers: Sequence[PostedOffer], model: str, audited: Address) -> dict[Address, PostedOffer]:
    """Under which others than the audited provider sell the model, and so may audit."""
    return {
        posted.offer.provider: posted
        for posted in offers
        if posted.offer.model == model and posted.offer.provider != audited
    }


def most_of(dossier: Dossier, listed: Sequence[PostedOffer]) -> Atoms:
    """That an audit of it may cost."""
    same = [posted.offer for posted in listed if posted.offer.model == dossier.model]
    audited = _cost(dossier, dossier.samples[-1].offer)
    return bound([audited], [_cost(dossier, offer) for offer in same])


def worst(dossier: Dossier, posted: PostedOffer, most: Atoms) -> Atoms | None:
    """That the audit may cost there; None: it is more than `most`, or than that provider does for one request
    and leaves callers their credit."""
    offer = posted.offer
    cost = _cost(dossier, offer)
    fits = cost <= min(most, offer.credit // CREDIT_PARTS)
    return cost if fits and (_ask(dossier, offer).output_limit or 0) < offer.context_length else None


def _cost(dossier: Dossier, offer: Offer) -> Atoms:
    return worst_cost(_ask(dossier, offer), offer)


def as_much_as_fits(dossier: Dossier) -> Dossier | None:
    """What one auditor can look at, of the newest; None: the newest answer alone is too large."""
    shown: Dossier | None = dossier
    while shown is not None and not _fits(shown):
        shown = shown.later_half()
    return shown


def _fits(dossier: Dossier) -> bool:
    tokens = sum(len(sample.ids) for sample in dossier.samples)
    return (tokens <= _TOKENS or len(dossier.samples) == 1) and len(_body(dossier)) <= CASE_BYTES


def ask_auditor(
    payer: "Payer",
    dossier: Dossier,
    posted: PostedOffer,
    most: Atoms,
    shuns: frozenset[str],
    outcomes: list[Outcome],
) -> Flow[Signed[Finding]]:
    """Its finding on just this, for at most `most`, whatever its offers say by now, and under none of these
    names. Raises MarketError or httpx2.TransportError; what it cost is in `outcomes` then too."""
    auditor = posted.offer.provider
    call = Call(path=AUDIT_PATH, body=_body(dossier), timeout=_TIMEOUT)
    ask = _ask(dossier, posted.offer)
    ask = replace(ask, steering=replace(ask.steering, ignore=shuns), most=most, answer_bytes=AUDITOR_BYTES)
    search = Search(payer, ask, call)
    try:
        body = yield from heard(search.run())
    finally:
        if search.shown.outcome is not None:
            outcomes.append(search.shown.outcome)
    signed = signed_from_json(Finding, object_in(body))
    _require_of(signed.message, dossier, auditor)
    yield from payer.listing.proven(payer.purse.domain, auditor, signed)
    return signed


def _require_of(finding: Finding, dossier: Dossier, auditor: Address) -> None:
    if finding.auditor != auditor or not is_of(finding, dossier):
        raise AuditorFailed("The finding is not of what the auditor was shown.", actual=to_hex(auditor))
    if finding.verdict not in tuple(Verdict):
        raise AuditorFailed("The finding says no verdict.", actual=finding.verdict)


def _body(dossier: Dossier) -> bytes:
    return orjson.dumps({"model": dossier.model, "dossier": dossier.to_json()})


def _ask(dossier: Dossier, offer: Offer) -> Ask:
    """To that provider and to nobody else."""
    ask = read_ask(AUDIT_PATH, _body(dossier))
    wishes = replace(ask.steering, only=frozenset({to_hex(offer.provider)}))
    return replace(ask, steering=wishes, continues=False, hedges=False, duels=False, audits=False)
