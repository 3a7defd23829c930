"""Documents that anybody may have written, held against the chain: receipt by receipt, or whole channels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tallystick.chain.market import Market
from tallystick.chain.record import Record
from tallystick.protocol.acknowledgements import of_settlements
from tallystick.protocol.audit import Step, Verdict, check, read, verdict
from tallystick.protocol.documents import (
    CHANNEL,
    ChannelDocument,
    Document,
    ReceiptDocument,
    document_from_json,
    documents_from_json,
    proofs,
)
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.facts import Facts
from tallystick.protocol.reconcile import ChannelAudit, Half, ManyAudit, halves, reconcile
from tallystick.protocol.units import Address, ChannelId, to_hex
from tallystick.wallet.json_file import read_json_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One receipt, step by step."""

    document: ReceiptDocument | None
    """None: it was none."""
    steps: Sequence[Step]
    facts: Facts | None

    @property
    def verdict(self) -> Verdict:
        return verdict(self.steps)


def check_file(market: Market, path: Path) -> list[Checked]:
    """Each receipt of a file that holds one document or a list of them; those of a channel's document under
    the largest acknowledgement in it that was settled.

    Raises
    ------
    MalformedMessage :
        The file cannot be read, or is no JSON, or a document of a channel in it is none.
    ChainUnavailable :
        The node does not answer.
    """
    data = read_json_file(path)
    record = Record(market)
    return [
        item for entry in (data if isinstance(data, list) else [data]) for item in _checked(record, entry)
    ]


def _checked(record: Record, entry: object) -> Iterable[Checked]:
    if isinstance(entry, dict) and entry.get("tallystick") == CHANNEL:
        whole = document_from_json(entry)
        assert isinstance(whole, ChannelDocument)
        facts = record.facts(whole.channel.id, ())
        settled = of_settlements(whole.acknowledgements, facts.settlements)
        for document in proofs(whole.domain, whole.receipts, settled, whole.voucher):
            yield _check(record, document)
        return
    found = read(entry)
    if isinstance(found, Step):
        yield Checked(document=None, steps=(found,), facts=None)
    else:
        yield _check(record, found)


def _check(record: Record, document: ReceiptDocument) -> Checked:
    receipt = document.signed.message
    facts = record.facts(receipt.channel_id, (receipt.offer_hash,))
    return Checked(document=document, steps=check(document, facts), facts=facts)


# ------------------------------------------------------------------------------------------------ channels


def audit_channels(market: Market, paths: Sequence[Path]) -> ManyAudit:
    """Every channel that these files hold receipts of; raises what `audit_provider` does."""
    record = Record(market)
    found = [_audited(record, *item) for item in _halves(market, paths).items()]
    return ManyAudit(channels=found, block=record.block)


def audit_provider(market: Market, paths: Sequence[Path], provider: Address) -> ManyAudit:
    """Every channel of the provider that was settled, or that these files hold receipts of.

    Raises
    ------
    MalformedMessage :
        A file cannot be read, or holds no documents, or those of another market.
    ChainUnavailable :
        The node does not answer.
    """
    record = Record(market)
    given = _halves(market, paths)
    settled = [key for key in record.settled_channels() if key not in given]
    ours = [
        key
        for key in (*given, *settled)
        if (channel := record.channel(key)) is not None and channel.provider == provider
    ]
    found = [_audited(record, key, given.get(key, Half())) for key in ours]
    return ManyAudit(channels=found, block=record.block)


def _audited(record: Record, channel_id: ChannelId, half: Half) -> ChannelAudit:
    facts = record.facts(channel_id, {signed.message.offer_hash for signed in half.receipts})
    return reconcile(half.receipts, half.acknowledgements, channel_id, facts, half.vouchers)


def _halves(market: Market, paths: Sequence[Path]) -> dict[ChannelId, Half]:
    documents: list[Document] = []
    for path in paths:
        documents += documents_from_json(read_json_file(path))
        for document in documents:
            _require_ours(market, path, document)
    return halves(documents)


def _require_ours(market: Market, path: Path, document: Document) -> None:
    ours, theirs = market.deployment.domain, document.domain
    if theirs is not None and theirs != ours:
        raise MalformedMessage(
            f"{path} is of another market: what is signed for one holds on no other.",
            required=f"{ours.chain_id}:{to_hex(ours.contract)}",
            actual=f"{theirs.chain_id}:{to_hex(theirs.contract)}",
        )
