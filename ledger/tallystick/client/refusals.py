"""What a gateway says when it does not serve, and what it would accept."""

from dataclasses import dataclass
from typing import Final

import orjson

from tallystick.client.errors import ProviderRefused
from tallystick.protocol.errors import CapExceeded, CreditExceeded, MalformedMessage
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Atoms
from tallystick.protocol.wire import Terms, signed_from_json

ROOM: Final = 30_000
"""Milliseconds for which a request waits for room: in a provider's credit, in the budget, or in a grant that
the chain has yet to mine."""
BLOCK_S: Final = 1.0
"""The chain shows nothing new so soon: nobody is asked more often for that."""
PASSING: Final = 5_000
"""Milliseconds for which it waits for a provider that cannot sell for the moment."""
_PASSES: Final = frozenset({"chain-stale", "chain-disputed", "busy", "declined", "unready"})
"""A gateway's codes for that. Nothing is wrong with the request."""
BOUNCED: Final = "bounced"
"""The code of a gateway that would take longer than the payer expects."""
_MARKET: Final = "tallystick_error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error status."""

    status: int
    body: bytes
    code: str
    """Of the market; empty where the engine refused, and the error is the caller's to see."""
    message: str
    terms: Terms | None
    quote: Signed[Quote] | None = None
    """Of one that bounced; whose word it is is not proven."""

    def error(self, granted: Atoms = Atoms(0)) -> ProviderRefused:
        """`granted`: the cap that the provider was shown a grant of."""
        patience, pause_s = PASSING if self.code in _PASSES else 0, 0.0
        if self.code == CreditExceeded.code and (
            self.terms is None or self.terms.owed + self.terms.reserved > 0
        ):
            patience = ROOM
        if self.code == CapExceeded.code and self.terms is not None and self.terms.cap <= granted:
            patience, pause_s = ROOM, BLOCK_S  # it serves on what is mined, and on little that is not
        return ProviderRefused(
            self.message,
            status=self.status,
            body=self.body,
            reason=self.code,
            patience=patience,
            pause_s=pause_s,
            quote=self.quote,
        )


def read_refusal(status: int, body: bytes) -> Refusal:
    """Whatever it is: what is no error of the market's shape is the engine's."""
    try:
        data = orjson.loads(body)
        error = data["error"]
        code, message = str(error["code"]), str(error["message"])
        if error["type"] != _MARKET:
            return Refusal(status, body, "", message, None)
        terms = error.get("terms", data.get("terms"))
        read = None if terms is None else Terms.from_json(terms)
        quote = signed_from_json(Quote, error["quote"]) if code == BOUNCED else None
        return Refusal(status, body, code, message, read, quote)
    except MalformedMessage:
        return Refusal(status, body, code, message, None)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return Refusal(status, body, "", f"The provider answered {status}.", None)
