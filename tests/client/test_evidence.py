"""What is kept of a refused receipt is all that it takes to prove the fraud, where there is one."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from tallystick.protocol.errors import ReceiptMismatch
from tallystick.protocol.fraud import Overcharge, ReceiptEquivocation, first_failing, steps
from tallystick.protocol.signed import sign
from tallystick.protocol.units import Hash32
from tallystick.protocol.wire import RESYNC_PATH
from tests.cheats.providers import (
    BillsAnotherChannel,
    ChargesAnAtomMore,
    Cheat,
    CumulatesOneTooMuch,
    HashesOtherBytes,
    OvercountsOutput,
)


def post(transport: Any, body: Any) -> httpx2.Response:
    return transport.handle_request(httpx2.Request("POST", "https://market/v1/chat/completions", json=body))


def require_proven(world: Any, purse: Any, kind: type) -> None:
    (refused,) = purse.evidence.refused()
    (proof,) = refused.proofs
    assert isinstance(proof, kind)
    assert first_failing(steps(proof, purse.domain)) is None


@pytest.mark.parametrize("stream", [False, True])
def test_a_receipt_above_its_price_is_proof(world: Any, ask: Callable[..., Any], stream: bool) -> None:
    provider = world.provider(ChargesAnAtomMore)
    transport = world.transport()
    post(transport, ask(stream=stream)).read()
    purse = transport.session.purse
    require_proven(world, purse, Overcharge)
    assert purse.evidence.refused()[0].offer == provider.offer


@pytest.mark.parametrize(
    "cheat", [OvercountsOutput, HashesOtherBytes, CumulatesOneTooMuch, BillsAnotherChannel]
)
def test_a_lie_that_only_its_payer_sees_is_none(
    world: Any, ask: Callable[..., Any], cheat: type[Cheat]
) -> None:
    world.provider(cheat)
    transport = world.transport()
    post(transport, ask())
    (refused,) = transport.session.purse.evidence.refused()
    assert refused.offer is not None
    assert refused.proofs == []


def other(signed: Any, provider: Any, domain: Any, **changes: Any) -> Any:
    """Another receipt in the same place, signed by the provider too."""
    changes = changes or {"response_hash": Hash32(b"\5" * 32)}
    return sign(replace(signed.message, **changes), domain, provider.key)


def test_a_second_receipt_in_one_place_is_proof_with_the_first(world: Any, ask: Callable[..., Any]) -> None:
    """It is accepted, and lies behind a gap: refusing the second gives it up, and keeps it as proof."""
    provider = world.provider(mishap="no-receipt")
    session = world.session()
    purse = session.purse
    transport = world.transport()
    post(transport, ask("one two three"))
    (side,) = provider.sides.values()
    transport.close()
    channel = purse.open_channel(provider.key.address)
    pending = purse.open_requests(channel)[0]
    (true,) = side.receipts
    behind = other(true, provider, purse.domain, sequence=4)
    purse.accept(pending, [behind], final=False)
    contradicting = other(behind.signed, provider, purse.domain)
    with pytest.raises(ReceiptMismatch) as caught:
        purse.accept(pending, [contradicting], final=False)
    purse.evidence.refuse(channel, contradicting.signed, caught.value, nonce=pending.nonce)
    require_proven(world, purse, ReceiptEquivocation)
    assert purse.held_receipts() == []

    third = other(behind.signed, provider, purse.domain, response_hash=Hash32(b"\6" * 32))
    purse.evidence.refuse(channel, third.signed, caught.value)
    _, again = purse.evidence.refused()
    assert again.other == contradicting.signed, "the receipt refused before has that place too"


def test_a_provider_that_tells_another_receipt_when_asked_again_is_caught(
    world: Any, ask: Callable[..., Any]
) -> None:
    """The first receipt never comes, so the second waits behind a gap; asked again, it tells another."""
    provider = world.provider(mishap="no-receipt")
    transport = world.transport()
    session = transport.session
    post(transport, ask("one two three"))
    (side,) = provider.sides.values()

    def tamper() -> None:
        with provider.lock:
            if provider.seen[RESYNC_PATH] == 1 and len(side.receipts) == 2:
                side.receipts[1] = other(side.receipts[1], provider, session.purse.domain).signed

    provider.mishap, provider.latency = "", tamper
    post(transport, ask("four five six"))
    transport.close()
    require_proven(world, world.session().purse, ReceiptEquivocation)
    assert provider.paid == 0


def test_a_purse_of_the_version_before_is_read(world: Any, ask: Callable[..., Any]) -> None:
    world.provider(ChargesAnAtomMore)
    transport = world.transport()
    post(transport, ask())
    folder = transport.session.purse.folder
    transport.close()
    with sqlite3.connect(folder / "purse.db") as database:
        database.execute("ALTER TABLE evidence DROP COLUMN offer")
        database.execute("ALTER TABLE evidence DROP COLUMN other")
        database.execute("DROP INDEX ix_requests_pair")
        database.execute("ALTER TABLE requests DROP COLUMN pair")
        for table in ("pairs", "audits", "outlays", "lapses"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")
    database.close()
    (refused,) = world.session().purse.evidence.refused()
    assert (refused.code, refused.offer, refused.proofs) == ("receipt-does-not-add-up", None, [])
