"""How hearsay travels between nodes: an envelope that its sender signs, and a body of packed messages.

The envelope names sender, recipient and a growing number, and the hash of the body: it cannot be replayed,
passed on, or held against anybody else. What the body holds is each speaker's own and proves itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.hearsay import Said
from tallystick.protocol.message import Message
from tallystick.protocol.packed import pack, unpack
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address, Hash32

BODY_LIMIT: Final = 16_384
"""Bytes of one body."""
_SIGNATURE: Final = 65
_KINDS: Final[dict[int, type[Status] | type[Suspicion] | type[Rating]]] = {1: Status, 2: Suspicion, 3: Rating}
_TAGS: Final = {"status": 1, "suspicion": 2, "rating": 3}
_HEAD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gossip(Message):
    """Signed with the sender's receipt key; one for each message, and one for its answer."""

    TYPE: ClassVar[str] = "Gossip(address sender,address recipient,uint64 number,bytes32 bodyHash)"
    sender: Address
    recipient: Address
    number: int
    """Greater than any before, from this sender to this recipient; an answer has that of its message."""
    body_hash: Hash32
    """keccak-256 of the body."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as it came; nothing of it is proven yet."""

    message: Status | Suspicion | Rating
    packed: bytes
    signature: bytes
    receipt: Signed[Receipt] | None = None


def size_of(said: Said) -> int:
    """Bytes that it takes in a body."""
    paid = 0 if said.receipt is None else len(pack(said.receipt.message)) + _SIGNATURE
    return _HEAD + len(said.packed) + _SIGNATURE + paid


def write_frame(said: Said) -> bytes:
    """Kind (one byte), length of the rest (two), the packed message and its signature; behind a rating its
    receipt, likewise."""
    content = said.packed + said.proof.signature
    if said.receipt is not None:
        content += pack(said.receipt.message) + said.receipt.signature
    return bytes((_TAGS[said.key[0]],)) + len(content).to_bytes(2, "big") + content


def write_body(known: bytes, said: Iterable[Said]) -> bytes:
    """`known`: bits for the messages of the body that this one answers, one each, set where its message was
    known already; empty in a first message."""
    return bytes((len(known),)) + known + b"".join(map(write_frame, said))


def read_body(data: bytes) -> tuple[bytes, Iterator[Frame]]:
    """What `write_body` wrote. Frames are read one by one, so that nothing is read behind the first bad one.
    Raises MalformedMessage, and so does the iterator."""
    if not data:
        raise MalformedMessage("A body of gossip begins with a count.")
    end = 1 + data[0]
    if len(data) < end:
        raise MalformedMessage("The body ends too early.", required=end, actual=len(data))
    return data[1:end], _frames(data, end)


def bits(flags: Iterable[bool]) -> bytes:
    text = list(flags)
    value = sum(1 << place for place, flag in enumerate(text) if flag)
    return value.to_bytes((len(text) + 7) // 8, "big")


def is_set(known: bytes, place: int) -> bool:
    return bool(int.from_bytes(known, "big") >> place & 1)


def _frames(data: bytes, at: int) -> Iterator[Frame]:
    while at < len(data):
        start, size = at + _HEAD, int.from_bytes(data[at + 1 : at + _HEAD], "big")
        kind, at = _KINDS.get(data[at]), start + size
        if kind is None or at > len(data):
            raise MalformedMessage("A frame is of no known kind, or ends too early.")
        yield _frame(kind, data[start:at])


def _frame(kind: type[Status] | type[Suspicion] | type[Rating], content: bytes) -> Frame:
    message, end = unpack(kind, content)
    packed, signature = content[:end], content[end : end + _SIGNATURE]
    rest = content[end + _SIGNATURE :]
    receipt = None
    if isinstance(message, Rating):
        paid, end = unpack(Receipt, rest)
        receipt, rest = Signed(paid, rest[end : end + _SIGNATURE]), rest[end + _SIGNATURE :]
        if len(receipt.signature) != _SIGNATURE:
            raise MalformedMessage("A receipt's signature has 65 bytes here.")
    if rest or len(signature) != _SIGNATURE:
        raise MalformedMessage("A frame is one message and its signature of 65 bytes.")
    return Frame(message, packed, signature, receipt)
