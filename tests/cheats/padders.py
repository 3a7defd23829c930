"""Providers that pad as much as a payer with the tokenizer lets them, and know how it counts.

Their engine echoes with the real tokenizer, so an honest count is known to the token.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from tallystick.client.recount import SILENT
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.transcript import TEXTLESS_ALLOWANCE
from tallystick.protocol.units import Tokens
from tallystick.tokenizer import Vocabulary
from tests.cheats.providers import Cheat
from tests.client.echo import MODEL

TOKENIZER = Vocabulary(Path(__file__).parents[1] / "models" / "good")
TEXT = "The word is mightier than the sword, and word3 is the third of them."
IDS = TOKENIZER.encode(TEXT)
LETTERS = {data: token for token, data in enumerate(TOKENIZER.token_bytes) if len(data) == 1}


class Padder(Cheat):
    """`padded` says how: ids that it tells, and what it says besides. Without ids it tells a usage."""

    text: ClassVar[str] = TEXT
    over = 0
    """Tokens beyond what passes."""

    def padded(self) -> tuple[list[int], dict[str, str]]:
        raise NotImplementedError

    def slack(self) -> int:
        """Tokens."""
        raise NotImplementedError

    def bound(self) -> int:
        return self.worked * self.slack()

    def fair(self) -> int:
        size = TOKENIZER.chat_size([{"role": "user", "content": TEXT}])
        assert size is not None
        cost = cost_up(
            self.offer,
            input_tokens=Tokens(size),
            cached_input_tokens=Tokens(0),
            output_tokens=Tokens(len(IDS)),
        )
        return self.worked * cost

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        yield self._payload("delta")

    def said_whole(self, body: dict[str, Any]) -> bytes:
        return self._payload("message")

    def _payload(self, where: str) -> bytes:
        ids, more = self.padded()
        prompts = TOKENIZER.chat_size([{"role": "user", "content": TEXT}])
        choice = {"index": 0, where: {"role": "assistant", "content": TEXT, **more}, "finish_reason": "stop"}
        choice |= {"token_ids": ids} if ids else {}
        count = len(ids) or len(IDS) + self.slack() + self.over
        usage = {"prompt_tokens": prompts, "completion_tokens": count, "total_tokens": 0}
        return json.dumps({"id": "x", "model": MODEL, "choices": [choice], "usage": usage}).encode()


class PadsTokenIdsABit(Padder):
    """Ids without text, no more than an answer may have that cannot be compared."""

    def padded(self) -> tuple[list[int], dict[str, str]]:
        return IDS + [7] * (self.slack() + self.over), {}

    def slack(self) -> int:
        return len(IDS) // 4 + SILENT


class SpellsItsTokens(Padder):
    """True to the letter: an id a letter, as far as a model may spell."""

    def padded(self) -> tuple[list[int], dict[str, str]]:
        ids: list[int] = []
        for place, token in enumerate(IDS):
            letters = [LETTERS[bytes([byte])] for byte in TOKENIZER.shown(token)]
            room = len(IDS) + self.slack() + self.over - len(ids) - (len(IDS) - place - 1)
            ids += letters if len(letters) <= room else [token]
        return ids, {}

    def slack(self) -> int:
        return len(IDS) + SILENT


class PadsWhatIsParsed(Padder):
    """Speaks of reasons, so that the text need not be that of the ids, and 64 may be markers."""

    def padded(self) -> tuple[list[int], dict[str, str]]:
        return [7] * (len(IDS) + self.slack() + self.over), {"reasoning": "!"}

    def slack(self) -> int:
        size = len(IDS) + 1
        return size + size // 4 + TEXTLESS_ALLOWANCE - len(IDS)


class PadsUsageABit(Padder):
    """A usage without ids, and as much above the text as text that a model wrote may have."""

    def padded(self) -> tuple[list[int], dict[str, str]]:
        return [], {}

    def slack(self) -> int:
        return len(IDS) // 4 + SILENT
