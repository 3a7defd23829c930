"""Receipts as documents: listed, saved into a file, sent to an explorer, or asked of the provider."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from tallystick.chain.history import posted_offers
from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.chain.record import Record
from tallystick.client.errors import ProviderUnreachable
from tallystick.client.flow import Endpoint
from tallystick.client.pools import Pools
from tallystick.client.purse import Purse
from tallystick.client.reading import provider_half
from tallystick.protocol.acknowledgements import of_settlements
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import (
    ChannelDocument,
    Document,
    ReceiptDocument,
    document_to_json,
    proofs,
)
from tallystick.protocol.errors import ChannelUnknown, MalformedMessage
from tallystick.protocol.units import Timestamp, to_hex
from tallystick.reach import reachable_safely
from tallystick.wallet.desk import Desk
from tallystick.wallet.errors import NotPublished
from tallystick.wallet.halves import Halves, only_paid
from tallystick.wallet.render import channel_document, receipts
from tallystick.wallet.view import View

PUBLISH_PATH: Final = "/api/receipts"
_AT_A_TIME: Final = 100
"""Documents in one request to an explorer."""
_PATIENCE_S: Final = 30


def listed(desk: Desk, purse: Purse, last: int, save: Path | None, publish: str | None) -> View:
    """The newest receipts that were accepted; saved and published with their proofs."""
    found = purse.held_receipts()[-last:]
    view = receipts(found, desk.asset)
    if save is None and publish is None:
        return view
    record = Record(desk.market)
    halves = Halves(purse, record)
    documents = halves.documents(found)
    if save is not None:
        _save(save, documents)
    return view if publish is None else _published(view, publish, only_paid(record, documents))


def of_channel(desk: Desk, purse: Purse, text: str, save: Path | None, publish: str | None) -> View:
    """One channel, whole."""
    record = Record(desk.market)
    halves = Halves(purse, record)
    document = halves.channel(text)
    view = channel_document(document, desk.asset)
    if save is not None:
        _save(save, document)
    if publish is None:
        return view
    return _published(view, publish, only_paid(record, halves.documents_of(document.channel.id)))


def of_provider(desk: Desk, text: str | None, save: Path | None, publish: str | None) -> View:
    """The same as its provider holds it."""
    record = Record(desk.market)
    key = _own_channel(desk, record, text)
    document = _asked(desk, key)
    view = channel_document(document, desk.asset)
    if save is not None:
        _save(save, document)
    if publish is None:
        return view
    facts = record.facts(key.id, ())
    settled = of_settlements(document.acknowledgements, facts.settlements)
    proven = proofs(document.domain, document.receipts, settled, document.voucher)
    return _published(view, publish, only_paid(record, proven))


def _own_channel(desk: Desk, record: Record, text: str | None) -> ChannelKey:
    own = {to_hex(key): record.channel(key) for key in record.channels_of(desk.wallet.address)}
    named = [key for name, key in own.items() if key is not None and name.startswith((text or "").lower())]
    if len(named) != 1:
        raise ChannelUnknown(
            f"{text or 'That'} names {len(named)} channels of {desk.wallet.name}. Say which with --channel."
        )
    return named[0]


def _asked(desk: Desk, key: ChannelKey) -> ChannelDocument:
    """Of the endpoints that the provider ever offered, the newest that answers."""
    local = desk.deployment.chain_id in LOCAL_CHAIN_IDS
    offers = [
        event.offer
        for event in posted_offers(desk.market)
        if event.provider == key.provider and reachable_safely(event.offer, local=local)
    ]
    endpoints = dict.fromkeys(Endpoint(offer.endpoint, offer.endpoint_key) for offer in reversed(offers))
    pools = Pools()
    trouble: ProviderUnreachable | None = None
    try:
        for endpoint in endpoints:
            try:
                return provider_half(
                    pools,
                    endpoint,
                    key,
                    signer=desk.key(),
                    domain=desk.deployment.domain,
                    now=Timestamp(int(time.time())),
                )
            except ProviderUnreachable as error:
                trouble = error
    finally:
        pools.close()
    raise trouble or ProviderUnreachable(f"{to_hex(key.provider)} has posted no offer that says where it is.")


def _save(path: Path, documents: Document | Sequence[Document]) -> None:
    data: object
    if isinstance(documents, ReceiptDocument | ChannelDocument):
        data = document_to_json(documents)
    else:
        data = [document_to_json(item) for item in documents]
    try:
        path.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise MalformedMessage(f"{path} cannot be written: {error.strerror}. Name another file.") from error


def _published(view: View, url: str, documents: Sequence[ReceiptDocument]) -> View:
    """What the explorer made of them, below what was shown."""
    counts = {"kept": 0, "known": 0, "refused": 0}
    with httpx2.Client(timeout=_PATIENCE_S) as client:
        for start in range(0, len(documents), _AT_A_TIME):
            answer = _sent(client, url, documents[start : start + _AT_A_TIME])
            for name in counts:
                counts[name] += _count(answer, name)
    told = f"{counts['kept']} published, {counts['known']} known there before, {counts['refused']} refused."
    if not documents:
        told = "None of them is settled yet: there is nothing to publish."
    from rich.console import Group

    return View({"receipts": view.data, "published": counts}, Group(view.shown, told))


def _sent(client: httpx2.Client, url: str, documents: Sequence[ReceiptDocument]) -> Any:
    body = orjson.dumps([document_to_json(item) for item in documents])
    target = f"{url.rstrip('/')}{PUBLISH_PATH}"
    try:
        answer = client.post(target, content=body, headers={"content-type": "application/json"})
        answer.raise_for_status()
        return answer.json()
    except httpx2.HTTPStatusError as error:
        status = error.response.status_code
        raise NotPublished(
            f"{target} answers with status {status}{_reason(error.response)}", actual=status
        ) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise NotPublished(f"{target} does not answer ({type(error).__name__}).") from error
    except ValueError as error:
        raise NotPublished(f"What answers at {target} is no explorer.") from error


def _reason(answer: httpx2.Response) -> str:
    """What it says of itself, as letters that turn nothing around."""
    try:
        message = answer.json()["message"]
    except (ValueError, TypeError, LookupError):
        return "."
    return f": {''.join(letter for letter in str(message)[:300] if letter.isprintable())}"


def _count(answer: Any, name: str) -> int:
    value = answer.get(name) if isinstance(answer, dict) else None
    if isinstance(value, list):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
