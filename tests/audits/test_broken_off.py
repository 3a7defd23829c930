"""An audit that is cancelled in its middle, and one whose receipt was being saved just then."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tallystick.protocol.finding import Finding
from tallystick.protocol.signed import verify
from tallystick.protocol.wire import AUDIT_PATH, signed_from_json
from tallystick_node.quality.auditor import Auditor
from tallystick_node.store.records import Change, ReceiptIssued
from tests.audits.serving import QUESTIONS
from tests.audits.test_inspector import Office, answers, block_of, of, office
from tests.gateway.conftest import DOMAIN, until

__all__ = ["office"]


@pytest.mark.parametrize("when", ["engine-asked", "receipt-saved"])
async def test_whoever_asks_again_has_the_finding(
    tmp_path: Path, office: Office, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It costs what it costs, once; and what was broken off holds no room."""
    samples = await answers(tmp_path, questions=QUESTIONS[:3])
    office.block = block_of(samples, 0, 2)
    world, payer, body = office.world, office.payer, office.body(of(samples, 0, 2))
    examine, store, cancelled = Auditor.examine, world.store, [when]
    assert store is not None
    save = store.save

    async def examined(auditor: Auditor, shown: Any) -> Any:
        found = await examine(auditor, shown)
        if cancelled == ["engine-asked"]:
            cancelled.clear()
            raise asyncio.CancelledError
        return found

    async def saved(*changes: Change) -> None:
        await save(*changes)
        if cancelled == ["receipt-saved"] and isinstance(changes[0], ReceiptIssued):
            cancelled.clear()
            raise asyncio.CancelledError

    monkeypatch.setattr(Auditor, "examine", examined)
    monkeypatch.setattr(store, "save", saved)
    with suppress(httpx2.TransportError):
        await payer.post(body, AUDIT_PATH)
    await until(lambda: not world.gateway.running)
    assert world.books.accounts[payer.wallet.address].reserved == 0
    assert len(payer.receipts) == 0

    again = await payer.post(body, AUDIT_PATH, nonce=payer.nonce)
    assert again.status_code == 200, again.text
    receipt = payer.take_whole(body, again)
    signed = signed_from_json(Finding, again.json())
    finding = verify(signed, DOMAIN, signer=world.key.address).message
    assert finding.receipt_hash == samples[2].receipt.message.struct_hash()
    assert (receipt.sequence, world.books.tabs[payer.channel.id].issued.count) == (0, 1)
