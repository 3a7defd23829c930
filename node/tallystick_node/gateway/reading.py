"""A channel's receipts for whoever holds its session key or pays for it: a GET that changes nothing.

What asks for them is a voucher that names this very page and a time soon after; it is good nowhere else, and
for nobody who finds it later. Nothing of a request's or an answer's words is among them.
"""

from typing import Any, Final

import orjson

from tallystick.protocol.documents import ChannelDocument, channel_to_json
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import ChannelUnknown, CredentialExpired, WrongSigner
from tallystick.protocol.signed import recover
from tallystick.protocol.units import ZERO_HASH, ChannelId, Timestamp, to_hex
from tallystick.protocol.voucher import request_hash, require_names
from tallystick.protocol.wire import READING_LIFE_S, Credential, read_text, reading
from tallystick_node.gateway.books import Books

PAGE: Final = 500
"""Receipts in one answer: half a megabyte, and some milliseconds."""


def page(
    books: Books, credential: Credential, channel_id: ChannelId, start: int, until: Timestamp
) -> dict[str, Any]:
    """A `channel/1` document of the receipts from `start` on, with what was sent to be settled of them.

    Raises
    ------
    ChannelUnknown :
        It is no channel of this provider's.
    CredentialExpired :
        `until` has passed, or lies too far ahead.
    RequestHashMismatch :
        The credential is for something else.
    WrongSigner :
        Neither the channel's session key nor its payer signed it.
    """
    voucher = credential.voucher.message
    tab = books.tabs.get(channel_id)
    if tab is None:
        raise ChannelUnknown("This provider knows no such channel.")
    if not books.now < until <= books.now + READING_LIFE_S:
        raise CredentialExpired(
            f"A credential that reads is good for at most {READING_LIFE_S} s, by this provider's clock.",
            required=books.now + READING_LIFE_S,
            actual=until,
        )
    require_names(voucher, request_hash(ZERO_HASH, reading(channel_id, start, until)))
    signer = recover(digest(books.domain, voucher.struct_hash()), credential.voucher.signature)
    if signer not in (tab.channel.key.session_key, tab.channel.key.payer):
        raise WrongSigner(
            "Only the channel's session key and its payer may read it.",
            required=to_hex(tab.channel.key.session_key),
            actual=to_hex(signer),
        )
    texts = books.store.texts(channel_id, min(start, tab.issued.count), PAGE)
    end = start + len(texts)
    document = ChannelDocument(
        domain=books.domain,
        channel=tab.channel.key,
        receipts=(),
        acknowledgements=books.store.presented(tab.id, start, end),
        voucher=tab.voucher,
        following=end if end < tab.issued.count else None,
    )
    return channel_to_json(document, [orjson.Fragment(read_text(text)) for text in texts])
