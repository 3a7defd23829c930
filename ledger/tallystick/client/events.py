"""Server-sent events as they come off the wire, line by line, in bytes.

Pure: it knows no HTTP. A payload keeps the very bytes that were sent, because receipts hash them.
"""

from dataclasses import dataclass
from typing import Final

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.wire import RECEIPT_COMMENT

LINE_LIMIT: Final = 1 << 24
"""Bytes of one line: a provider cannot fill the payer's memory."""
DONE: Final = b"[DONE]"
_RECEIPT = RECEIPT_COMMENT.rstrip()


@dataclass(frozen=True, slots=True)
class Payload:
    """The content of one `data:` line."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReceiptText:
    """A receipt's comment line."""

    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """Any other line: comments that keep a connection alive, event names."""

    line: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """`data: [DONE]`."""


Event = Payload | ReceiptText | Other | Done


class Lines:
    """Bytes in, events out; a line may arrive in any number of pieces."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        """Of the line that has no end yet: joined once, or a long one would cost its length squared."""
        self._size = 0

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes.

        Raises
        ------
        MalformedMessage :
            A line is longer than `LINE_LIMIT`.
        """
        first, *others = data.split(b"\n")
        self._pieces.append(first)
        self._size += len(first)
        if self._size > LINE_LIMIT:
            raise MalformedMessage("A line of the stream is too long.", required=LINE_LIMIT)
        if not others:
            return []
        *lines, rest = b"".join(self._pieces), *others
        self._pieces, self._size = [rest], len(rest)
        return [event for line in lines if (event := _read(line.removesuffix(b"\r"))) is not None]


def _read(line: bytes) -> Event | None:
    if line.startswith(b"data:"):
        data = line[5:].removeprefix(b" ")
        return Done() if data == DONE else Payload(data)
    if line.startswith(_RECEIPT):
        return ReceiptText(line[len(_RECEIPT) :].strip().decode("latin-1"))
    return Other(line) if line else None
