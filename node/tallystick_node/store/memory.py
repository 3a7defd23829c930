"""The store in memory: the definition of what a store does. It forgets all when the process ends."""

from dataclasses import dataclass, field, replace

from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ChannelId, Hash32, Milliseconds
from tallystick.protocol.voucher import Acknowledgement, Tally
from tallystick.protocol.wire import read_receipt_text, receipt_text
from tallystick_node.store.records import (
    BallotCast,
    BallotShown,
    Born,
    Change,
    ChannelSaved,
    Presented,
    ReceiptIssued,
    ReceiptRestored,
    RequestDropped,
    RequestEnded,
    RequestStarted,
    StoredAnswer,
    StoredChannel,
    VoucherSaved,
)


@dataclass(slots=True)
class _Request:
    request_hash: Hash32
    parts: list[bytes] = field(default_factory=list)
    last: ReceiptIssued | None = None
    ended: RequestEnded | None = None
    pruned: bool = False


class MemoryStore:
    forgetful = False

    def __init__(self) -> None:
        self._birth: int | None = None
        self._channels: dict[ChannelId, ChannelSaved] = {}
        self._vouchers: dict[ChannelId, VoucherSaved] = {}
        self._receipts: dict[ChannelId, list[Signed[Receipt]]] = {}
        self._presented: dict[ChannelId, dict[Acknowledgement, None]] = {}
        self._requests: dict[tuple[ChannelId, int], _Request] = {}
        self._ballots: dict[Hash32, BallotCast] = {}

    async def save(self, *changes: Change) -> None:
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        match change:
            case Born():
                self._birth = change.block
            case ChannelSaved():
                self._channels[change.channel_id] = change
            case VoucherSaved():
                held = self._vouchers.get(change.voucher.message.channel_id)
                if held is None or held.tally.count < change.tally.count:
                    self._vouchers[change.voucher.message.channel_id] = change
            case Presented():
                self._presented.setdefault(change.channel_id, {})[change.acknowledgement] = None
            case RequestStarted():
                self._requests[change.channel_id, change.nonce] = _Request(change.request_hash)
            case ReceiptIssued():
                receipt = change.receipt.message
                receipts = self._receipts.setdefault(receipt.channel_id, [])
                assert receipt.sequence == len(receipts)
                receipts.append(change.receipt)
                request = self._requests[receipt.channel_id, change.nonce]
                request.parts.append(change.content)
                request.last = change
            case ReceiptRestored():
                self._receipts.setdefault(change.receipt.channel_id, []).append(
                    read_receipt_text(change.text)
                )
            case RequestEnded():
                request = self._requests[change.channel_id, change.nonce]
                request.parts.append(change.content)
                request.ended = change
            case RequestDropped():
                del self._requests[change.channel_id, change.nonce]
            case BallotCast():
                self._ballots.setdefault(change.ballot.duel, change)
            case BallotShown():
                cast = self._ballots[change.duel]
                self._ballots[change.duel] = replace(cast, shown=cast.shown or change.commitments)

    def birth(self) -> int | None:
        return self._birth

    def channels(self) -> list[StoredChannel]:
        for key, request in list(self._requests.items()):
            if request.ended is None and request.last is None:
                del self._requests[key]
            elif request.ended is None:
                channel_id, nonce = key
                at = request.last.receipt.message.finished_at if request.last else Milliseconds(0)
                request.parts.append(STREAM_END)
                request.ended = RequestEnded(
                    channel_id=channel_id, nonce=nonce, media_type=STREAM, content=STREAM_END, ended_at=at
                )
        return [self._channel(saved) for saved in self._channels.values()]

    def _channel(self, saved: ChannelSaved) -> StoredChannel:
        held = self._vouchers.get(saved.channel_id)
        acknowledged = held.tally if held else Tally()
        receipts = self._receipts.get(saved.channel_id, [])
        return StoredChannel(
            key=saved.key,
            channel_id=saved.channel_id,
            grant=saved.grant,
            closed=saved.closed,
            refusing=saved.refusing,
            lost=saved.lost,
            voucher=held.voucher if held else None,
            acknowledged=acknowledged,
            unacknowledged=tuple(signed.message for signed in receipts[acknowledged.count :]),
        )

    def answer(self, channel_id: ChannelId, nonce: int) -> StoredAnswer | None:
        request = self._requests.get((channel_id, nonce))
        if request is None or request.ended is None:
            return None
        return StoredAnswer(
            request_hash=request.request_hash,
            media_type=request.ended.media_type,
            content=None if request.pruned else b"".join(request.parts),
            receipt=request.last.text if request.last else None,
        )

    def receipts(self, channel_id: ChannelId, start: int, limit: int) -> list[Signed[Receipt]]:
        return self._receipts.get(channel_id, [])[start:][:limit]

    def texts(self, channel_id: ChannelId, start: int, limit: int) -> list[str]:
        return [receipt_text(signed) for signed in self.receipts(channel_id, start, limit)]

    def presented(self, channel_id: ChannelId, above: int, most: int) -> list[Acknowledgement]:
        found = [item for item in self._presented.get(channel_id, ()) if above < item.receipt_count <= most]
        return sorted(found, key=lambda item: item.receipt_count)

    def ballot(self, duel: Hash32) -> BallotCast | None:
        return self._ballots.get(duel)

    def prune(self, before: Milliseconds, limit: int | None = None) -> int:
        count = sum(1 for key in self._oldest_first() if self._prune_one(key, before))
        for key in self._oldest_first():
            if limit is None or self._answer_bytes() <= limit:
                break
            count += self._prune_one(key, Milliseconds(1 << 62))
        return count

    def _oldest_first(self) -> list[tuple[ChannelId, int]]:
        ended = [(key, item.ended.ended_at) for key, item in self._requests.items() if item.ended is not None]
        return [key for key, _ in sorted(ended, key=lambda item: item[1])]

    def _answer_bytes(self) -> int:
        return sum(len(part) for request in self._requests.values() for part in request.parts)

    def _prune_one(self, key: tuple[ChannelId, int], before: Milliseconds) -> bool:
        request = self._requests[key]
        if not self._prunable(key[0], request, before):
            return False
        request.pruned = True
        request.parts.clear()
        return True

    def _prunable(self, channel_id: ChannelId, request: _Request, before: Milliseconds) -> bool:
        if request.pruned or request.ended is None or request.ended.ended_at >= before:
            return False
        held = self._vouchers.get(channel_id)
        count = held.tally.count if held else 0
        acknowledged = request.last is None or request.last.receipt.message.sequence < count
        return acknowledged or self._channels[channel_id].closed

    def close(self) -> None:
        pass


STREAM = "text/event-stream; charset=utf-8"
"""What a request that a crash cut off was answering with: only streams have receipts before they end."""
STREAM_END = b"data: [DONE]\n\n"
"""What it ends with: the last receipt stays an interim one, nothing more is billed, and whoever fetches it
has all there will ever be."""
