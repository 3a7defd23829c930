"""How evidence and proofs of fraud read. It prints nothing and asks nobody."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tallystick.chain.events import Slashed
from tallystick.chain.market import Asset
from tallystick.chain.transaction import Mined
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.fraud import (
    OfferEquivocation,
    Overcharge,
    Proof,
    ReceiptEquivocation,
    Step,
    first_failing,
    proof_to_json,
)
from tallystick.protocol.units import Address, to_hex
from tallystick.wallet.desk import sent
from tallystick.wallet.money import show_amount, show_exactly
from tallystick.wallet.proving import Held, Look
from tallystick.wallet.render import moment, receipt_data
from tallystick.wallet.view import View, facts, lines, short, table

_MARKS: Final = {True: "ok  ", False: "NO  ", None: "--  "}


def _held_data(item: Held, domain: Domain) -> dict[str, Any]:
    return {
        "number": item.refused.number,
        "provider": to_hex(item.refused.channel.provider),
        "fraud": item.proof.KIND if item.proof is not None else None,
        "standing": item.standing.value,
        "why": item.why,
        "code": item.refused.code,
        "reason": item.refused.reason,
        "refusedAt": item.refused.refused_at,
        **receipt_data(item.refused.signed),
        "proof": proof_to_json(item.proof, domain) if item.proof is not None else None,
    }


def evidence(found: Sequence[Held], domain: Domain, asset: Asset) -> View:
    """One line a fraud, and one for each receipt that proves none."""
    data = [_held_data(item, domain) for item in found]
    columns = ("n>", "refused", "provider", "cost>", "why", "fraud", "report")
    rows = [
        (
            str(item.refused.number),
            moment(item.refused.refused_at // 1000),
            short(item.refused.channel.provider),
            show_amount(item.refused.signed.message.cost, asset),
            item.refused.code,
            item.proof.KIND if item.proof is not None else "-",
            item.standing.value,
        )
        for item in found
    ]
    return table(data, columns, rows, empty="No receipt was refused.")


def shown(found: Sequence[Held], domain: Domain, asset: Asset) -> View:
    """One piece of evidence, whole."""
    refused = found[0].refused
    message = refused.signed.message
    pairs = [
        ("provider", to_hex(refused.channel.provider)),
        ("channel", to_hex(refused.channel.id)),
        ("sequence", str(message.sequence)),
        ("refused", f"{moment(refused.refused_at // 1000)}: {refused.reason} ({refused.code})"),
        ("receipt", to_hex(message.struct_hash())),
        ("cost", show_exactly(message.cost, asset)),
        ("tokens", f"{message.input_tokens} in ({message.cached_input_tokens} cached), "
         f"{message.output_tokens} out"),
        ("offer", to_hex(message.offer_hash) + ("" if refused.offer is not None else " (not known)")),
    ]  # fmt: skip
    if refused.other is not None:
        pairs.append(("in its place", to_hex(refused.other.message.struct_hash())))
    pairs += [("fraud", f"{item.proof.KIND if item.proof else 'none'}: {item.why}") for item in found]
    return facts([_held_data(item, domain) for item in found], pairs)


def exported(path: Path, proof: Proof, domain: Domain) -> View:
    return lines(
        {"file": str(path), **proof_to_json(proof, domain)},
        f"Wrote the proof of {proof.KIND} by {to_hex(proof.provider)} to {path}.",
        f"Report it with: tally fraud report {path}",
    )


def verdict(proof: Proof, domain: Domain, checked: Sequence[Step]) -> View:
    """`ok` is false where a step fails."""
    failing = first_failing(checked)
    open_steps = sum(step.holds is None for step in checked)
    data = {
        "ok": failing is None,
        "fraud": proof.KIND,
        "provider": to_hex(proof.provider),
        "chainId": str(domain.chain_id),
        "market": to_hex(domain.contract),
        "steps": [{"holds": step.holds, "says": step.says, "error": step.error} for step in checked],
    }
    if failing is not None:
        end = f"It proves nothing: the contract would refuse it with {failing.error}."
    elif open_steps:
        end = "It adds up. Which keys are the provider's, and what is at stake, the chain says at the report."
    else:
        end = "It adds up. What is at stake, and whether it was proven before, the chain says at the report."
    head = f"{_what(proof)}, on the market {to_hex(domain.contract)} of chain {domain.chain_id}:"
    return lines(data, head, *(f"{_MARKS[step.holds]}{step.says}" for step in checked), end)


def _what(proof: Proof) -> str:
    who = to_hex(proof.provider)
    match proof:
        case Overcharge():
            return f"An overcharge by {who}"
        case ReceiptEquivocation():
            return f"Two receipts in one place, by {who}"
        case OfferEquivocation():
            return f"Two offers with one sequence, by {who}"


def reported(proof: Proof, reporter: Address, mined: Mined, asset: Asset) -> View:
    """What the report brought."""
    (slashed,) = (event for event in mined.events if isinstance(event, Slashed))
    data = {
        "fraud": proof.KIND,
        "provider": to_hex(slashed.provider),
        "reporter": to_hex(reporter),
        "reward": str(slashed.reward),
        "burnt": str(slashed.burnt),
    }
    gain = (
        f"{show_exactly(slashed.reward, asset)} are yours; run `tally settle` to move them into the wallet."
        if slashed.reward
        else "A provider that reports itself gets nothing."
    )
    return lines(
        sent(data, [mined]),
        f"{to_hex(slashed.provider)} lost its stake: {show_exactly(slashed.burnt, asset)} are burnt.",
        gain,
    )


def looked(found: Look, domain: Domain, files: Sequence[Path]) -> View:
    data = {
        "asked": found.asked,
        "silent": list(found.silent),
        "found": [proof_to_json(proof, domain) for proof in found.found],
        "files": [str(path) for path in files],
    }
    text = [f"{found.asked} gateways told their offers."]
    text += [f"{endpoint} did not." for endpoint in found.silent]
    text += [f"{_what(proof)}: sequence {proof.first.message.sequence}." for proof in found.found]
    text += [f"Report it with: tally fraud report {path}" for path in files]
    if not found.found:
        text.append("None contradicts another, or the chain.")
    elif not files:
        text.append("Give --save FOLDER to keep the proofs.")
    return lines(data, *text)
