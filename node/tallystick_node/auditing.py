"""`tally-node audit`: a provider looks at what others sold, with its own engine, and signs what it found.

What is decided of it is in `quality`; here are files, the chain and the engine.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tallystick.chain.errors import ChainError
from tallystick.chain.timeline import Timeline
from tallystick.protocol.dossier import Dossier, drawn, signers
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import MarketError, WrongSigner
from tallystick.protocol.evidence import Scales
from tallystick.protocol.examining import Opinion
from tallystick.protocol.finding import Finding
from tallystick.protocol.sample import Sample, sample_from_json
from tallystick.protocol.signed import Verified, recover
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.wire import signed_to_json
from tallystick_node.config import Config, api_key
from tallystick_node.engine.upstream import EngineGone, Upstream
from tallystick_node.gateway.serve import SystemClock
from tallystick_node.gateway.start import Provider, checked
from tallystick_node.quality.asking import own_engine
from tallystick_node.quality.auditor import Auditor


class AuditRefused(Exception):
    """Nothing can be said of these samples, and why."""


def audit(config: Config, *, samples: Path, scales: Path, sampler: str) -> dict[str, Any]:
    """The signed finding as JSON, and what it rests on.

    Raises
    ------
    AuditRefused :
        Files, chain or engine do not allow one, or no receipt binds what is shown.
    StartRefused, ConfigInvalid :
        The node itself is not in order.
    """
    try:
        shown = _read(orjson.loads(samples.read_bytes()))
        known = Scales.read(scales.read_bytes())
        with checked(config) as provider:
            opinion, finding = asyncio.run(_found(config, provider, shown, known, sampler))
    except (OSError, orjson.JSONDecodeError, TypeError) as error:
        raise AuditRefused(f"A file cannot be read: {error}.") from error
    except (MarketError, ChainError, EngineGone) as error:
        raise AuditRefused(str(error)) from error
    return signed_to_json(finding.signed) | {"said": _said(opinion)}


async def _found(
    config: Config, provider: Provider, shown: Sequence[Sample] | Dossier, scales: Scales, sampler: str
) -> tuple[Opinion, Verified[Finding]]:
    samples, withheld = _drawn(provider, shown) if isinstance(shown, Dossier) else (shown, 0)
    upstream = Upstream(config.engine.url, api_key=api_key(config.engine))
    try:
        auditor = Auditor(
            key=provider.key,
            address=provider.address,
            domain=provider.market.deployment.domain,
            ask=own_engine(upstream),
            engine_model=config.engine.models.get(scales.model, scales.model),
            scales=scales,
            sampler=sampler,
            clock=SystemClock(),
        )
        return await auditor.audit(samples, _receipt_key(provider, samples), withheld=withheld)
    finally:
        await upstream.close()


def _read(data: Any) -> Sequence[Sample] | Dossier:
    """A dossier, or samples alone, of which nobody knows what else was drawn. Raises MalformedMessage."""
    if isinstance(data, dict):
        return Dossier.from_json(data)
    return [sample_from_json(item) for item in data]


def _drawn(provider: Provider, dossier: Dossier) -> tuple[Sequence[Sample], int]:
    """What can be audited of it, and how much is withheld. Raises MarketError where it is none."""
    for signer in signers(dossier, provider.market.deployment.domain):
        _require_key(provider, dossier.provider, signer)
    found = drawn(dossier, Timeline(provider.market.rpc).block_at)
    return found.samples, found.withheld


def _receipt_key(provider: Provider, samples: Sequence[Sample]) -> Address:
    """Who signed the first receipt, which is a key that the audited provider ever named."""
    if not samples:
        raise AuditRefused("There is no sample.")
    first = samples[0]
    receipt = first.receipt
    signer = recover(
        digest(provider.market.deployment.domain, receipt.message.struct_hash()), receipt.signature
    )
    _require_key(provider, first.offer.provider, signer)
    return signer


def _require_key(provider: Provider, audited: Address, signer: Address) -> None:
    if not provider.market.is_receipt_key(audited, signer):
        raise WrongSigner(
            "The receipt is not the provider's.", required=to_hex(audited), actual=to_hex(signer)
        )


def _said(opinion: Opinion) -> dict[str, Any]:
    """For people."""
    return {
        "verdict": opinion.verdict.name.lower(),
        "check": opinion.strongest.name.lower(),
        "miscounted": opinion.miscounted,
        "checks": {
            check.name.lower(): {
                "tokens": evidence.tokens,
                "evidence": evidence.highest,
                "strike": opinion.scales.checks[check].strike,
            }
            for check, evidence in opinion.evidence.items()
        },
    }
