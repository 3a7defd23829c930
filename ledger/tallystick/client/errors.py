"""What goes wrong on the payer's side alone.

MarketError (protocol/errors.py)
├─ BudgetError
│  ├─ RequestBudgetExceeded    this request could cost more than one request may
│  └─ TotalBudgetExceeded      with this request, all together could cost more than they may
└─ PayerError
   ├─ NoEligibleOffer          nobody offers this, or everybody who does is avoided or out of reach
   ├─ ProviderUnreachable      (retryable) no connection, or the connection broke
   ├─ ProviderRefused          the provider, or its engine, answered with an error
   ├─ AnswerCut                (retryable) the provider ended the answer before its end
   ├─ AnswerLost               (retryable) the connection broke, or time ran out
   ├─ JudgeFailed              what a judge says is no vote on the case that it was shown
   ├─ AuditorFailed            what an auditor says is no finding of what it was shown
   ├─ DepositTooSmall          the account on chain does not cover a channel
   ├─ MalformedRequest         the caller's body is not an OpenAI request
   ├─ TokenizerUnavailable     packages are missing, or the folder holds none that can be read
   ├─ ProxyError
   │  ├─ KeyRequired           nobody may spend without it
   │  ├─ OriginRefused         a web page asked
   │  └─ CannotListen          the port is taken, or no address of this machine
   └─ PurseError
      └─ WrongWallet           the purse was sealed by another wallet

The numbers that decided travel as attributes, as in the protocol's own tree.
"""

from tallystick.protocol.errors import MarketError
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed


class PayerError(MarketError):
    code = "payer-error"


class NoEligibleOffer(PayerError):
    code = "no-eligible-offer"


class ProviderUnreachable(PayerError):
    code = "provider-unreachable"
    retryable = True


class ProviderRefused(PayerError):
    """An answer that is an error. `status` and `body` are the provider's."""

    code = "provider-refused"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: bytes,
        reason: str,
        patience: int = 0,
        pause_s: float = 0.0,
        quote: Signed[Quote] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.body = body
        self.reason = reason
        """The wire code of the refusal; empty where the engine, not the market, refused."""
        self.patience = patience
        """Milliseconds for which to ask again where nobody else serves; zero: it does not pass."""
        self.pause_s = pause_s
        """Seconds in which it does not pass either."""
        self.quote = quote
        """What it would have promised, where it bounced the request; not proven."""


class AnswerCut(PayerError):
    """What came of the answer stays paid; asking again is a new request."""

    code = "answer-cut"
    retryable = True

    def __init__(self, message: str, *, streamed: bool):
        super().__init__(message)
        self.streamed = streamed
        """The caller has got what came of it."""


class AnswerLost(PayerError):
    """What a program behind the proxy is told of a broken connection. Where it repeats the request and says
    so (`x-stainless-retry-count`, `Idempotency-Key`), the answer is taken up again and not bought twice."""

    code = "answer-lost"
    retryable = True


class JudgeFailed(PayerError):
    code = "judge-failed"


class AuditorFailed(PayerError):
    code = "auditor-failed"


class DepositTooSmall(PayerError):
    code = "deposit-too-small"


class MalformedRequest(PayerError):
    code = "malformed-request"


class TokenizerUnavailable(PayerError):
    code = "tokenizer-unavailable"


class ProxyError(PayerError):
    code = "proxy-error"


class KeyRequired(ProxyError):
    """The proxy's API key is wrong or missing; or it is to listen where others reach it, and has none."""

    code = "key-required"


class OriginRefused(ProxyError):
    """A web page in a browser asked a proxy that has no API key; or it was asked under another name than this
    machine's."""

    code = "origin-refused"


class CannotListen(ProxyError):
    code = "cannot-listen"


class PurseError(PayerError):
    code = "purse-error"


class WrongWallet(PurseError):
    code = "wrong-wallet"


class BudgetError(MarketError):
    """The payer's own limit, checked before anything is signed."""

    code = "budget-error"


class RequestBudgetExceeded(BudgetError):
    """This request could cost more than one request may."""

    code = "request-budget-exceeded"


class TotalBudgetExceeded(BudgetError):
    """With this request, all requests together could cost more than they may."""

    code = "total-budget-exceeded"
