"""What a provider holds of a channel, asked for by whoever holds the channel's session key or pays for it.

It knows no purse: the wallet alone is enough. Nothing of the answer is believed; `protocol.reconcile` judges.
"""

import secrets
from typing import Final

import httpx2
import orjson

from tallystick.client.errors import ProviderUnreachable
from tallystick.client.flow import Endpoint
from tallystick.client.pools import Pools
from tallystick.client.refusals import read_refusal
from tallystick.ports import Signer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import ChannelDocument, document_from_json
from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ZERO_HASH, Timestamp, to_hex
from tallystick.protocol.voucher import Acknowledgement, Tally, Voucher, request_hash
from tallystick.protocol.wire import (
    AUTHORIZATION,
    READING_LIFE_S,
    RECEIPTS_PATH,
    Credential,
    authorization,
    reading,
)

_PATIENCE_S: Final = 10
_PAGE_BYTES: Final = 4 << 20
"""A thousand receipts take one."""
_PAGES: Final = 10_000


def provider_half(
    pools: Pools, endpoint: Endpoint, key: ChannelKey, *, signer: Signer, domain: Domain, now: Timestamp
) -> ChannelDocument:
    """All pages of it, put together. `signer` has the session key, or is the payer's wallet.

    Raises
    ------
    ProviderUnreachable :
        It does not answer, or not as a gateway does.
    ProviderRefused :
        It says why not.
    """
    receipts: list[Signed[Receipt]] = []
    acknowledgements: dict[Acknowledgement, None] = {}
    voucher: Signed[Voucher] | None = None
    with httpx2.Client(transport=pools.of(endpoint).blocking, timeout=_PATIENCE_S) as client:
        for _ in range(_PAGES):
            page = _page(client, endpoint, key, len(receipts), signer, domain, now)
            receipts += page.receipts
            acknowledgements |= dict.fromkeys(page.acknowledgements)
            voucher = page.voucher
            if page.following is None:
                break
            if page.following != len(receipts) or not page.receipts:
                raise ProviderUnreachable(f"{endpoint.url} does not go on where its last page ended.")
    return ChannelDocument(
        domain=domain,
        channel=key,
        receipts=receipts,
        acknowledgements=tuple(acknowledgements),
        voucher=voucher,
    )


def _page(
    client: httpx2.Client,
    endpoint: Endpoint,
    key: ChannelKey,
    start: int,
    signer: Signer,
    domain: Domain,
    now: Timestamp,
) -> ChannelDocument:
    until = Timestamp(now + READING_LIFE_S // 2)
    voucher = Tally().voucher(
        key.id,
        request_hash=request_hash(ZERO_HASH, reading(key.id, start, until)),
        request_nonce=secrets.randbits(63) | 1,
    )
    signature = signer.sign_hash(digest(domain, voucher.struct_hash()))
    headers = {
        AUTHORIZATION: authorization(Credential(voucher=Signed(voucher, signature))),
        "accept-encoding": "identity",
    }
    url = f"{endpoint.url}{RECEIPTS_PATH}/{to_hex(key.id)}?from={start}&until={until}"
    status, body = _get(client, url, headers)
    if status != httpx2.codes.OK:
        raise read_refusal(status, body).error()
    try:
        page = document_from_json(orjson.loads(body))
    except (orjson.JSONDecodeError, MalformedMessage) as error:
        raise ProviderUnreachable(f"{endpoint.url} does not say what it holds of the channel.") from error
    if not isinstance(page, ChannelDocument) or page.channel != key or page.domain != domain:
        raise ProviderUnreachable(f"{endpoint.url} tells of another channel than the one asked for.")
    return page


def _get(client: httpx2.Client, url: str, headers: dict[str, str]) -> tuple[int, bytes]:
    body = b""
    try:
        with client.stream("GET", url, headers=headers) as answer:
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > _PAGE_BYTES:
                    raise ProviderUnreachable("The provider's answer has no end.", required=_PAGE_BYTES)
    except (httpx2.HTTPError, OSError) as error:
        raise ProviderUnreachable(f"The provider does not answer ({type(error).__name__}).") from error
    return answer.status_code, body
