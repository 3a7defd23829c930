"""What a gateway refuses for reasons of its own, and the one table from codes to HTTP.

MarketError
└─ GatewayError
   ├─ PaymentRequired      no credential at all
   ├─ BodyTooLarge
   ├─ RouteUnknown
   ├─ InternalFailure      not the payer's doing: the log says more
   └─ Unready              (retryable) nothing is wrong with the request
      ├─ ChainStale        the newest block known is too old to sell by
      ├─ Draining          the node shuts down
      ├─ Busy              as many requests run as the node allows, or its own users wait
      ├─ Declined          the provider's policy does not take it now
      ├─ Bounced           it would take longer than the payer expects: ask elsewhere
      ├─ RateLimited       too many refused credentials from one address
      ├─ BodyTooSlow       the body did not come in time
      ├─ RequestsRunning   a channel is closed when nothing runs on it
      └─ EngineUnreachable the engine did not answer at all
"""

from collections.abc import Mapping
from typing import Any, Final

from tallystick.chain.errors import ChainDisputed
from tallystick.protocol import errors as protocol
from tallystick.protocol.errors import MarketError
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed
from tallystick.protocol.wire import Terms, signed_to_json
from tallystick_node.network.errors import Crowded, ModelUnknown, OriginError, Unserved, UserBusy, UserUnknown


class GatewayError(MarketError):
    code = "gateway-error"


class PaymentRequired(GatewayError):
    code = "payment-required"


class BodyTooLarge(GatewayError):
    code = "body-too-large"


class RouteUnknown(GatewayError):
    code = "route-unknown"


class InternalFailure(GatewayError):
    code = "internal-failure"


class Unready(GatewayError):
    code = "unready"
    retryable = True


class ChainStale(Unready):
    code = "chain-stale"


class Draining(Unready):
    code = "draining"


class Busy(Unready):
    code = "busy"


class Bounced(Unready):
    code = "bounced"

    def __init__(self, message: str, *, quote: Signed[Quote]):
        """`quote`: what this provider would have promised."""
        super().__init__(message)
        self.quote = quote


class Declined(Unready):
    code = "declined"


class RateLimited(Unready):
    code = "rate-limited"


class BodyTooSlow(Unready):
    code = "body-too-slow"


class RequestsRunning(Unready):
    code = "requests-running"


class EngineUnreachable(Unready):
    code = "engine-unreachable"


class Refused(Exception):
    """An error of credit, and the terms on which the request would be served."""

    def __init__(self, error: MarketError, terms: Terms, *, mined: bool):
        """`mined`: the chain has shown the channel. Any other costs whoever asks nothing."""
        super().__init__(error.message)
        self.error = error
        self.terms = terms
        self.mined = mined


STATUS: Final[Mapping[type[MarketError], int]] = {
    protocol.FormatError: 400,
    protocol.CredentialTooLarge: 431,
    protocol.SignatureError: 401,
    protocol.OfferError: 404,
    protocol.OfferExpired: 410,
    protocol.OfferWithdrawn: 410,
    protocol.ContextTooLong: 400,
    InternalFailure: 500,
    protocol.ChannelUnknown: 404,
    protocol.ChannelError: 409,
    protocol.GrantError: 402,
    protocol.VoucherError: 409,
    protocol.RequestHashMismatch: 400,
    protocol.AnswerUnknown: 404,
    protocol.AnswerDropped: 410,
    protocol.CreditError: 402,
    protocol.QuoteError: 409,
    protocol.QuoteExpired: 410,
    protocol.ReceiptError: 422,
    protocol.GossipError: 403,
    protocol.NumberNotGreater: 409,
    protocol.TurnSpent: 429,
    protocol.DuelError: 422,
    protocol.NotDrawn: 403,
    protocol.BallotUnknown: 404,
    protocol.BallotSealed: 409,
    protocol.DossierUnknown: 404,
    protocol.DrawPending: 409,
    PaymentRequired: 402,
    BodyTooLarge: 413,
    RouteUnknown: 404,
    Unready: 503,
    ChainDisputed: 503,
    Busy: 429,
    BodyTooSlow: 408,
    OriginError: 502,
    UserUnknown: 401,
    ModelUnknown: 404,
    UserBusy: 429,
    Crowded: 429,
    Unserved: 503,
    RequestsRunning: 409,
    RateLimited: 429,
    EngineUnreachable: 502,
}
"""By the nearest class that an error descends from."""

RETRY_AFTER_S: Final = 1
"""What a 429 asks for."""


def status_of(error: MarketError | type[MarketError]) -> int:
    kind = error if isinstance(error, type) else type(error)
    return next((STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS), 500)


def error_json(error: MarketError, terms: Terms | None = None) -> dict[str, Any]:
    """OpenAI's shape, with what decided, required first."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": "tallystick_error",
        "code": error.code,
        "param": None,
        "required": _text(error.required),
        "actual": _text(error.actual),
        "retryable": error.retryable,
    }
    if terms is not None:
        body["terms"] = terms.to_json()
    if isinstance(error, Bounced):
        body["quote"] = signed_to_json(error.quote)
    return {"error": body}


def _text(value: int | str | None) -> str | None:
    return None if value is None else str(value)
