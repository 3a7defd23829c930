"""Every error the protocol raises on purpose.

MarketError
├─ FormatError
│  ├─ MalformedCredential     ├─ CredentialTooLarge    └─ MalformedMessage
├─ SignatureError
│  ├─ MalformedSignature      ├─ WrongSigner           └─ CredentialExpired
├─ OfferError
│  ├─ OfferUnknown            ├─ OfferExpired          ├─ OfferWithdrawn
│  ├─ ModelNotOffered         └─ ContextTooLong
├─ ChannelError
│  ├─ ChannelUnknown          ├─ ChannelNotOpen        ├─ WrongEpoch
│  └─ ChannelLost
├─ GrantError
│  ├─ GrantExpired            └─ GrantNotCovered
├─ VoucherError
│  ├─ VoucherExceedsCap       ├─ VoucherNotGreater     ├─ AcknowledgementMismatch
│  ├─ RequestHashMismatch     ├─ NonceReused           ├─ AnswerUnknown
│  └─ AnswerDropped
├─ CreditError                (retryable, but for WorstCaseExceedsCredit: it can never fit)
│  ├─ CreditExceeded          ├─ CapExceeded           └─ WorstCaseExceedsCredit
├─ QuoteError
│  ├─ QuoteUnknown            ├─ QuoteExpired          └─ QuoteMismatch
├─ ReceiptError
│  ├─ ReceiptNotContiguous    ├─ ReceiptDoesNotAddUp   └─ ReceiptMismatch
├─ GossipError
│  ├─ PeerUnknown             ├─ NumberNotGreater      └─ TurnSpent
└─ DuelError
   ├─ Unjudgeable             ├─ ExhibitMismatch       ├─ NotDrawn
   ├─ BallotUnknown           ├─ BallotSealed          ├─ DossierMismatch
   ├─ DossierUnknown          └─ DrawPending

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
    """What came is not in the protocol's form."""

    code = "format-error"


class MalformedCredential(FormatError):
    """The payment header is not base64url of the JSON that the protocol names."""

    code = "malformed-credential"


class CredentialTooLarge(FormatError):
    """The payment header, or a receipt, is longer than the protocol allows."""

    code = "credential-too-large"


class MalformedMessage(FormatError):
    """A JSON message lacks a field, or holds one that is out of range."""

    code = "malformed-message"


class SignatureError(MarketError):
    """A signature does not prove what it should."""

    code = "signature-error"


class MalformedSignature(SignatureError):
    """Neither 65 bytes nor EIP-2098, or not low-s."""

    code = "malformed-signature"


class WrongSigner(SignatureError):
    """A true signature, but of another key, another message, or another market."""

    code = "wrong-signer"


class CredentialExpired(SignatureError):
    """A credential that reads names a time that has passed, or one too far ahead."""

    code = "credential-expired"


class OfferError(MarketError):
    """The offer named cannot be bought under."""

    code = "offer-error"


class OfferUnknown(OfferError):
    """The provider has posted no offer with this hash."""

    code = "offer-unknown"


class OfferExpired(OfferError):
    """The offer's `validUntil` has come."""

    code = "offer-expired"


class OfferWithdrawn(OfferError):
    """The provider has withdrawn it on chain, or posted a newer one in its place."""

    code = "offer-withdrawn"


class ModelNotOffered(OfferError):
    """The offer is for another model than the request."""

    code = "model-not-offered"


class ContextTooLong(OfferError):
    """Input and `max_tokens` together exceed the offer's context."""

    code = "context-too-long"


class ChannelError(MarketError):
    """The channel cannot carry this payment."""

    code = "channel-error"


class ChannelUnknown(ChannelError):
    """The chain holds no such channel, and no grant for it came along."""

    code = "channel-unknown"


class ChannelNotOpen(ChannelError):
    """Closing or closed: the payer may already be taking the rest back."""

    code = "channel-not-open"


class ChannelLost(ChannelError):
    """The provider has lost what it held of the channel: hand the payer's half over (`restore`), and the
    channel goes on in its next epoch."""

    code = "channel-lost"


class WrongEpoch(ChannelError):
    """The channel was closed since: the voucher or grant is of an earlier life, or of none yet."""

    code = "wrong-epoch"


class GrantError(MarketError):
    """The grant opens or raises nothing."""

    code = "grant-error"


class GrantExpired(GrantError):
    """The grant's `deadline` has come."""

    code = "grant-expired"


class GrantNotCovered(GrantError):
    """The payer's account does not hold what the grant promises."""

    code = "grant-not-covered"


class VoucherError(MarketError):
    """The voucher does not fit its channel, its receipts or its request."""

    code = "voucher-error"


class VoucherExceedsCap(VoucherError):
    """The chain would not pay all of it."""

    code = "voucher-exceeds-cap"


class VoucherNotGreater(VoucherError):
    """A bare voucher that pays no more than the one held changes nothing."""

    code = "voucher-not-greater"


class AcknowledgementMismatch(VoucherError):
    """Count, root and amount are not those of a prefix of the receipts issued."""

    code = "acknowledgement-mismatch"


class RequestHashMismatch(VoucherError):
    """The voucher was signed for another offer or another body than came with it."""

    code = "request-hash-mismatch"


class AnswerUnknown(VoucherError):
    """Nothing was begun under this nonce, or nothing of it was billed: there is no answer to fetch."""

    code = "answer-unknown"


class AnswerDropped(VoucherError):
    """The answer under this nonce was billed and acknowledged, and is no longer kept."""

    code = "answer-dropped"


class NonceReused(VoucherError):
    """The nonce names another request already."""

    code = "nonce-reused"


class CreditError(MarketError):
    """The provider extends no further credit for now."""

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


class QuoteError(MarketError):
    """The request redeems no quote: send it without one, or ask for another."""

    code = "quote-error"


class QuoteUnknown(QuoteError):
    """No room is held under it: it was redeemed, replaced by a newer one, or never given."""

    code = "quote-unknown"


class QuoteExpired(QuoteError):
    """The quote's `validUntil` has come."""

    code = "quote-expired"


class QuoteMismatch(QuoteError):
    """It was given to another channel, under another offer, or for a much smaller request."""

    code = "quote-mismatch"


class ReceiptError(MarketError):
    """A receipt that the payer will not acknowledge."""

    code = "receipt-error"


class ReceiptNotContiguous(ReceiptError):
    """Its sequence is not the next of its channel."""

    code = "receipt-not-contiguous"


class ReceiptDoesNotAddUp(ReceiptError):
    """Cost or cumulative cost is not what price and counts say."""

    code = "receipt-does-not-add-up"


class ReceiptMismatch(ReceiptError):
    """It speaks of other bytes, counts, offer or channel than those seen."""

    code = "receipt-mismatch"


class GossipError(MarketError):
    """A node's message to another is not taken."""

    code = "gossip-error"


class PeerUnknown(GossipError):
    """It is from nobody who offers something on chain, or for somebody else."""

    code = "peer-unknown"


class NumberNotGreater(GossipError):
    """A message with this number, or a later one, came before: it is replayed, or its sender's clock was set
    back. `required` would do."""

    code = "number-not-greater"


class TurnSpent(GossipError):
    """Its sender has said all that it may for now."""

    code = "turn-spent"


class DuelError(MarketError):
    """Answers that a judge will not judge, or an auditor not audit."""

    code = "duel-error"


class Unjudgeable(DuelError):
    """The request or an answer is not one text, or the judge's engine says no verdict."""

    code = "unjudgeable"


class ExhibitMismatch(DuelError):
    """A receipt is not of the request, the answer or the offer that it is shown with."""

    code = "exhibit-mismatch"


class NotDrawn(DuelError):
    """This provider is no judge of the duel, or whoever asks no re-auditor, or nobody is yet."""

    code = "not-drawn"


class BallotUnknown(DuelError):
    """This provider has not judged the duel."""

    code = "ballot-unknown"


class BallotSealed(DuelError):
    """A ballot is revealed to whoever shows the commitments of all judges of the duel, and not before."""

    code = "ballot-sealed"


class DossierMismatch(DuelError):
    """Receipts or answers are no unbroken stretch of one channel's, or not what the lottery drew of it."""

    code = "dossier-mismatch"


class DossierUnknown(DuelError):
    """This auditor keeps nothing of such a finding."""

    code = "dossier-unknown"


class DrawPending(DuelError):
    """The block that draws a receipt is not there yet, or not deep enough."""

    code = "draw-pending"
    retryable = True
