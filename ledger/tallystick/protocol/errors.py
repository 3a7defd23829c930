"""Every error the protocol raises on purpose.

MarketError
├─ FormatError
│  ├─ MalformedCredential     ├─ CredentialTooLarge    └─ MalformedMessage
├─ SignatureError
│  ├─ MalformedSignature      └─ WrongSigner
├─ OfferError
│  ├─ OfferUnknown            ├─ OfferExpired          ├─ OfferWithdrawn
│  ├─ ModelNotOffered         └─ ContextTooLong
├─ ChannelError
│  ├─ ChannelUnknown          ├─ ChannelNotOpen        └─ WrongEpoch
├─ GrantError
│  ├─ GrantExpired            └─ GrantNotCovered
├─ VoucherError
│  ├─ VoucherExceedsCap       ├─ VoucherNotGreater     ├─ AcknowledgementMismatch
│  ├─ RequestHashMismatch     └─ NonceReused
├─ CreditError                (retryable, but for WorstCaseExceedsCredit: it can never fit)
│  ├─ CreditExceeded          ├─ CapExceeded           └─ WorstCaseExceedsCredit
├─ ReceiptError
│  ├─ ReceiptNotContiguous    ├─ ReceiptDoesNotAddUp   └─ ReceiptMismatch
└─ BudgetError
   ├─ RequestBudgetExceeded   └─ TotalBudgetExceeded

`code` goes on the wire and never changes. The numbers that decided travel as attributes, what was required
first, what was found second. `retryable` says whether the same request may succeed later without the caller
changing anything but its payment. A bug is an AssertionError, never one of these.
"""

from typing import ClassVar


class MarketError(Exception):
    """Something that a correct peer, payer or provider may cause."""

    code: ClassVar[str] = "market-error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, required: int | str | None = None, actual: int | str | None = None):
        super().__init__(message)
        self.message = message
        self.required = required
        self.actual = actual


class FormatError(MarketError):
    code = "format-error"


class MalformedCredential(FormatError):
    """The payment header is not base64url of the JSON that the protocol names."""

    code = "malformed-credential"


class CredentialTooLarge(FormatError):
    code = "credential-too-large"


class MalformedMessage(FormatError):
    """A JSON message lacks a field, or holds one that is out of range."""

    code = "malformed-message"


class SignatureError(MarketError):
    code = "signature-error"


class MalformedSignature(SignatureError):
    """Neither 65 bytes nor EIP-2098, or not low-s."""

    code = "malformed-signature"


class WrongSigner(SignatureError):
    code = "wrong-signer"


class OfferError(MarketError):
    code = "offer-error"


class OfferUnknown(OfferError):
    code = "offer-unknown"


class OfferExpired(OfferError):
    code = "offer-expired"


class OfferWithdrawn(OfferError):
    code = "offer-withdrawn"


class ModelNotOffered(OfferError):
    code = "model-not-offered"


class ContextTooLong(OfferError):
    code = "context-too-long"


class ChannelError(MarketError):
    code = "channel-error"


class ChannelUnknown(ChannelError):
    code = "channel-unknown"


class ChannelNotOpen(ChannelError):
    """Closing or closed: the payer may already be taking the rest back."""

    code = "channel-not-open"


class WrongEpoch(ChannelError):
    code = "wrong-epoch"


class GrantError(MarketError):
    code = "grant-error"


class GrantExpired(GrantError):
    code = "grant-expired"


class GrantNotCovered(GrantError):
    """The payer's account does not hold what the grant promises."""

    code = "grant-not-covered"


class VoucherError(MarketError):
    code = "voucher-error"


class VoucherExceedsCap(VoucherError):
    code = "voucher-exceeds-cap"


class VoucherNotGreater(VoucherError):
    """A bare voucher that pays no more than the one held changes nothing."""

    code = "voucher-not-greater"


class AcknowledgementMismatch(VoucherError):
    """Count, root and amount are not those of a prefix of the receipts issued."""

    code = "acknowledgement-mismatch"


class RequestHashMismatch(VoucherError):
    code = "request-hash-mismatch"


class NonceReused(VoucherError):
    """The nonce names another request already."""

    code = "nonce-reused"


class CreditError(MarketError):
    code = "credit-error"
    retryable = True


class CreditExceeded(CreditError):
    """Unacknowledged work plus this request would exceed the account's credit."""

    code = "credit-exceeded"


class CapExceeded(CreditError):
    """The channel's cap would not pay for it: raise the cap by a grant."""

    code = "cap-exceeded"


class WorstCaseExceedsCredit(CreditError):
    """An answer that is not streamed is all credit until it ends: ask for a stream, or for fewer tokens."""

    code = "worst-case-exceeds-credit"
    retryable = False


class ReceiptError(MarketError):
    code = "receipt-error"


class ReceiptNotContiguous(ReceiptError):
    code = "receipt-not-contiguous"


class ReceiptDoesNotAddUp(ReceiptError):
    """Cost or cumulative cost is not what price and counts say."""

    code = "receipt-does-not-add-up"


class ReceiptMismatch(ReceiptError):
    """It speaks of other bytes, counts, offer or channel than those seen."""

    code = "receipt-mismatch"


class BudgetError(MarketError):
    code = "budget-error"


class RequestBudgetExceeded(BudgetError):
    code = "request-budget-exceeded"


class TotalBudgetExceeded(BudgetError):
    code = "total-budget-exceeded"
