"""How checked receipts and audited channels read, on a terminal, on paper and as JSON. It asks nobody."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tallystick.chain.market import Asset
from tallystick.protocol.audit import Step, Verdict
from tallystick.protocol.reconcile import ChannelAudit, ManyAudit, audit_to_json
from tallystick.protocol.units import Hash32, to_hex
from tallystick.wallet.auditing import Checked
from tallystick.wallet.money import show_exactly
from tallystick.wallet.render import moment
from tallystick.wallet.view import View, short

MARKS: Final = {True: "ok  ", False: "NO  ", None: "--  "}
COLOURS: Final = {True: "green", False: "bold red", None: "yellow"}
_WORDS: Final = {Verdict.PAID: "paid", Verdict.UNPAID: "not shown to be paid", Verdict.BAD: "BAD"}
_ADDS_UP: Final = {True: "It adds up.", False: "It does NOT add up.", None: "Not all was given."}
_FIGURES: Final = {
    "amount": "Σ of their costs",
    "settled": "paid on chain",
    "explained": "of that, proven to be paid for these receipts",
    "unexplained": "of that, not explained by them",
    "unsettled": "receipts beyond what was paid",
}
_FAULTS: Final = 50
"""Of one channel that are told; JSON has them all."""


def told_by_steps(kind: str, name: Hash32, block: int, steps: Sequence[Step]) -> View:
    """Of a duel or an accusation, as it stood at a block. `ok` is false where a step does not hold."""
    data = {
        "ok": all(step.holds is not False for step in steps),
        kind: to_hex(name),
        "block": block,
        "steps": [step.to_json() for step in steps],
    }
    from rich.text import Text

    text = Text()
    text.append(f"{kind.capitalize()} {to_hex(name)} at block {block:,}\n", style="bold")
    for step in steps:
        text.append("  " + MARKS[step.holds], style=COLOURS[step.holds])
        text.append(f"{step.name:<17} {step.reason}\n")
        for key, value in step.inputs.items():
            text.append(f"       {key} {value}\n", style="dim")
    text.rstrip()
    return View(data, text)


def checked(found: Sequence[Checked], asset: Asset) -> View:
    """Each step of one receipt, or a line for each of many. `ok` is false where one is bad."""
    data = {
        "ok": all(item.verdict is not Verdict.BAD for item in found),
        "receipts": [_checked_data(item) for item in found],
    }
    if not found:
        return View(data, "The file holds no receipt.")
    from rich.text import Text

    text = Text()
    for item in found:
        text.append(_head(item, asset) + "\n", style="bold" if len(found) == 1 else "")
        for step in item.steps:
            if len(found) == 1 or step.holds is False:
                text.append("  " + MARKS[step.holds], style=COLOURS[step.holds])
                text.append(f"{step.name:<11} {step.reason}\n")
                if len(found) == 1:
                    text.append_text(Text("".join(_inputs(step)), style="dim"))
    text.rstrip()
    return View(data, text)


def _checked_data(item: Checked) -> dict[str, Any]:
    receipt = None if item.document is None else item.document.signed.message
    channel = None if item.facts is None else item.facts.channel
    wrong = next((step for step in item.steps if step.holds is False), None)
    return {
        "ok": item.verdict is not Verdict.BAD,
        "verdict": item.verdict.value,
        "receiptHash": to_hex(receipt.struct_hash()) if receipt else None,
        "provider": to_hex(channel.provider) if channel else None,
        "cost": str(receipt.cost) if receipt else None,
        "trouble": wrong.reason if wrong else None,
        "steps": [step.to_json() for step in item.steps],
    }


def _head(item: Checked, asset: Asset) -> str:
    if item.document is None:
        return "What is no receipt: BAD"
    receipt = item.document.signed.message
    where = f"receipt {receipt.sequence} of the channel {short(receipt.channel_id)}"
    cost = show_exactly(receipt.cost, asset)
    return f"{short(receipt.struct_hash())}  {where}, {cost}: {_WORDS[item.verdict]}"


def _inputs(step: Step) -> Iterator[str]:
    for name, value in step.inputs.items():
        shown = f"{value} ({moment(int(value))})" if name.endswith(("At", "Until")) else value
        yield f"      {'':<11} {name} {shown}\n"


# ------------------------------------------------------------------------------------------------ channels


def audited(many: ManyAudit, title: str, asset: Asset) -> View:
    """One page. `ok` is false unless all of it adds up."""
    totals = {name: str(many.total(name)) for name in _FIGURES}
    data = {
        "ok": many.adds_up is True,
        "addsUp": many.adds_up,
        "block": many.block,
        "receipts": many.total("receipts"),
        **totals,
        "channels": [audit_to_json(item) for item in many.channels],
    }
    return View(data, "\n".join(_page(many, title, asset)))


def _page(many: ManyAudit, title: str, asset: Asset) -> Iterator[str]:
    yield f"{title}, by the chain up to block {many.block}"
    yield ""
    yield f"  receipts      {many.total('receipts'):>12}"
    for name, what in _FIGURES.items():
        yield f"  {name:<12}  {show_exactly(many.total(name), asset)}: {what}"
    yield f"  {_ADDS_UP[many.adds_up]}"
    for channel in many.channels:
        yield ""
        yield from _channel(channel, asset)


def _channel(audit: ChannelAudit, asset: Asset) -> Iterator[str]:
    yield f"channel {to_hex(audit.channel_id)}"
    if (key := audit.facts.channel) is not None:
        yield f"  payer {to_hex(key.payer)}, provider {to_hex(key.provider)}, epoch {key.epoch}"
    yield f"  {audit.receipts} receipts for {audit.input_tokens} tokens in and {audit.output_tokens} out"
    yield f"  Σ {show_exactly(audit.amount, asset)}, settled {show_exactly(audit.settled, asset)}"
    yield f"  {_ADDS_UP[audit.adds_up]}"
    for fault in audit.faults[:_FAULTS]:
        yield f"  {MARKS[False if fault.is_lie else None]}{fault.kind}: {fault.reason}"
    if len(audit.faults) > _FAULTS:
        yield f"  … and {len(audit.faults) - _FAULTS} more."
    for row in audit.rows:
        where = f"block {row.settlement.block}, transaction {to_hex(row.settlement.transaction)}"
        yield f"  {MARKS[row.holds]}{where}: {row.reason}"
