"""What goes wrong between a program and the chain, each with a sentence that says what to do next.

MarketError (protocol/errors.py)
├─ ChainError
│  ├─ ChainUnavailable      (retryable) no answer, or no sensible one
│  ├─ ChainDisputed         (retryable) no witness confirms what the node says, and one contradicts it
│  ├─ WrongChain            the node follows another chain than the deployment's
│  ├─ NoContract            the deployment's addresses hold something else, or nothing
│  ├─ NoAnvil               the local chain's program is missing, or does not run on this machine
│  ├─ RpcError              the node understood and refused
│  ├─ GasUnaffordable       the sending wallet cannot pay for the transaction
│  ├─ TransactionUnknown    sent, or perhaps sent; a timeout means unknown, not failed
│  ├─ TransactionReplaced   (retryable) another transaction of the same key took its place for good
│  └─ TransactionFailed     mined, and reverted
│     └─ ContractError      the contract said why, before or after sending
└─ KeystoreError
   ├─ WalletUnknown         no keystore file has this name
   ├─ WalletExists          one has it already; nothing is overwritten
   └─ WrongPassword         the file opens with another password

A contract's custom error becomes a sentence by `SENTENCES`, which a test holds complete.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tallystick.protocol.errors import MarketError
from tallystick.protocol.units import Hash32, to_hex


class ChainError(MarketError):
    """Something between a program and the chain."""

    code = "chain-error"


class ChainUnavailable(ChainError):
    code = "chain-unavailable"
    retryable = True


class ChainDisputed(ChainError):
    """No witness confirms what the node says, and one contradicts it: nothing is acted on."""

    code = "chain-disputed"
    retryable = True


class WrongChain(ChainError):
    code = "wrong-chain"


class NoContract(ChainError):
    code = "no-contract"


class NoAnvil(ChainError):
    code = "no-anvil"


class RpcError(ChainError):
    """The node understood and refused. `data` is what the contract returned as it reverted, where it did."""

    code = "rpc-error"

    def __init__(self, message: str, *, number: int, data: bytes = b""):
        super().__init__(message, actual=number)
        self.number = number
        self.data = data


class GasUnaffordable(ChainError):
    """The sending wallet cannot pay for the transaction; the numbers are wei."""

    code = "gas-unaffordable"


class TransactionUnknown(ChainError):
    """Sent, or perhaps sent, and not seen mined: look `transaction` up before sending again."""

    code = "transaction-unknown"

    def __init__(self, message: str, *, transaction: Hash32):
        super().__init__(message, actual=to_hex(transaction))
        self.transaction = transaction


class TransactionReplaced(ChainError):
    """Another transaction of the same key was mined with its nonce: this one never will be."""

    code = "transaction-replaced"
    retryable = True


class TransactionFailed(ChainError):
    code = "transaction-failed"


class ContractError(TransactionFailed):
    """A custom error of the contract: its name, its arguments by name, and what they mean."""

    code = "contract-error"

    def __init__(self, name: str, arguments: Mapping[str, Any]):
        self.name = name
        self.arguments = dict(arguments)
        self.sentence = sentence(name, arguments)
        super().__init__(self.sentence)


class KeystoreError(MarketError):
    """A wallet cannot be read or written, and the sentence says why."""

    code = "keystore-error"


class WalletUnknown(KeystoreError):
    code = "wallet-unknown"


class WalletExists(KeystoreError):
    code = "wallet-exists"


class WrongPassword(KeystoreError):
    code = "wrong-password"


SENTENCES: Final[Mapping[str, str]] = {
    # Account
    "AccountTooSmall": "The account holds {available} atoms that can be used and {required} are needed. "
    "Deposit more, or ask for less.",
    "AccountFull": "The account would hold {actual} atoms, and {maximum} is the most. Exit with some first.",
    "NothingExiting": "Nothing is on its way out of this account. Request the exit first.",
    "ExitNotOver": "The exit notice runs until {exitsAt}; it is {time} now. Try again then.",
    # Stake
    "StakeTooSmall": "The stake is {staked} atoms and {required} are required. Stake the difference first.",
    "NothingUnstaking": "No stake is on its way out. Request the unstake first.",
    "UnstakeNotOver": "The unstake notice runs until {exitsAt}; it is {time} now. Try again then.",
    "NothingStaked": "The provider has nothing at stake, so there is nothing to slash. The proof stays good: "
    "report it when the provider stakes again.",
    "OnlyArbiter": "Only the arbiter {arbiter} may slash or award; the caller is {caller}.",
    "GasTooLow": "There is {actual} gas left and {required} has to be, for the arbiter to be told: most of "
    "it is not used. Give the transaction more.",
    # Offers
    "SequenceNotGreater": "The offer's sequence {sequence} is not greater than the latest, {latestSequence}. "
    "Use {latestSequence} + 1 or leave the sequence out.",
    "SequenceWithdrawn": "Offers under sequence {minimumSequence} are withdrawn and this one has {sequence}. "
    "Use a greater sequence.",
    "MinimumNotGreater": "Offers under sequence {minimumSequence} are withdrawn already; "
    "{requested} withdraws no more.",
    "OfferExpired": "The offer holds until {validUntil} and it is {time} now. Give it a later end.",
    "EndpointLength": "The endpoint has {actual} bytes; it must have 1 to {maximum}. Shorten the URL.",
    "ModelLength": "The model's name has {actual} bytes; it must have 1 to {maximum}. Shorten it.",
    "BalanceFull": "The provider's balance would be {actual} atoms, and {maximum} is the most one can be. "
    "Withdraw it first.",
    "NothingToWithdraw": "The balance is zero. Settle vouchers, or duels, first.",
    # Channels
    "CapNotGreater": "The channel's cap is {cap} atoms already and {requested} would not raise it. "
    "Ask for a greater total.",
    "ChannelNotOpen": "The channel is not open. Open it first.",
    "ChannelClosing": "The channel is closing since its payer asked for it; its notice ends at {closesAt}. "
    "Finalize it then, and open it again.",
    "ChannelNotClosing": "Nobody has requested to close this channel. Request it first.",
    "CloseNotOver": "The close notice runs until {closesAt}; it is {time} now. Try again then.",
    "OnlyPayer": "Only the payer {payer} may close a channel above what is settled; the caller is {caller}.",
    "LengthMismatch": "{grants} grants came with {signatures} signatures. This is a bug of the program.",
    # Fraud
    "AlreadyProven": "This fraud was proven before, and its provider was slashed for it; the contract keeps "
    "it under {fraud}. Nothing more can be had for it.",
    "NotReceiptKey": "The signature is by {signer}, which {provider} never named as its receipt key: it is "
    "no word of that provider's.",
    "NotOvercharged": "The receipt costs {cost} atoms and the offer's price of its counts is {price}: that "
    "is no overcharge.",
    "OfferMismatch": "The receipt was issued under the offer {expected}, and the one shown is {actual}. Show "
    "the offer that it names.",
    "ChannelMismatch": "The receipt is of the channel {actual}, and payer, provider, session key and epoch "
    "name {expected}. It is no word of this provider's about this channel.",
    "ProviderMismatch": "The offers are of two providers, {first} and {second}: each has its own sequences.",
    "SequenceMismatch": "The sequences differ, {first} and {second}, so the messages may well be two.",
    "NotTwo": "It is one message twice, {structHash}, which proves nothing.",
    # Judges
    "NotConsented": "{owner} did not agree to own the judge {provider}. It has to call consent first.",
    "AlreadyEnlisted": "This judge is owned by {owner}, for good. Enlist with that owner.",
    "NotEnlisted": "{provider} never enlisted as a judge.",
    "NotEnoughStaked": "The stake is {staked} atoms and a judge needs {required}. Stake the rest first.",
    "NotDrawn": "Neither judge nor receipt was drawn.",
    # Duels
    "NotTheArbiter": "The market's arbiter is {arbiter}, and these duels are at {actual}. Deploy it with "
    "the address that its duels will have.",
    "WrongStatus": "The status is {actual} and should be {expected}. Ask duelOf, or accusationOf, until "
    "when it lasts.",
    "AlreadyOpened": "The duel {duel} was opened before. Commit with another salt.",
    "SeatsNotAllowed": "A duel has 3 or 5 judges, and not {seats}.",
    "FeeTooSmall": "The fee is {actual} atoms and {required} are required. Post the difference more.",
    "NoSeed": "Who is drawn follows from the hash of block {drawBlock}, which the chain at {current} does "
    "not have yet, or no more. Wait for the next block; seal the next one in time, if that is over.",
    "WrongCase": "The case belongs to the duel {actual}, and not to {expected}. Show what it commits to.",
    "WrongRuling": "The ruling's hash is {actual}, and the contract keeps {expected}. Take it from Decided.",
    "WrongHidden": "The verdict and its salt hash to {actual}, and the case hides {expected}.",
    "ReceiptUsed": "The receipt {receiptHash} was judged in the duel {duel}. No receipt duels twice.",
    "WrongChannel": "The receipt is of the channel {actual}, and those who are named have {expected}.",
    "WrongRequest": "The receipt answers the request {actual}, and the body under its offer makes "
    "{expected}.",
    "OneProvider": "Both answers are {provider}'s. A duel takes two.",
    "VotesMismatch": "There are {judges} judges and {votes} votes. Leave an empty one for an empty seat.",
    "NotAChoice": "The choice {actual} is none for a ballot: first, second or tie is.",
    "WrongSubject": "The ballots are about {actual}, and the case about {expected}.",
    "WrongBallot": "The ballot's hash is {actual}, and what was committed to is {expected}.",
    "IsAppeal": "This is the appeal of {root}. Decide it as one.",
    "NotAParty": "{caller} is neither a duellist nor the challenger, and so cannot appeal.",
    "OnlyAudits": "Only the audits {audits} may slash through the duels; the caller is {caller}.",
    # Audits
    "NotTheAudits": "The duels name the audits {audits}, and these are at {actual}. Deploy the duels with "
    "the address that their audits will have.",
    "WrongHeader": "The header hashes to {actual}, and the chain's block has {expected}.",
    "WrongBlock": "The first block at or after {moment} draws this receipt; the one shown is of {blockTime}, "
    "and the one before it of {parentTime}.",
    "DrawTooOld": "Strikes for what that block drew were taken until {until}; it is {time} now.",
    "WrongReceipt": "The finding is of the receipt {actual}, and the one shown is {expected}.",
    "WrongProvider": "The finding is of the provider {actual}, and the receipt is {expected}'s.",
    "FieldNotPresentInBlockHeader": "The block's header is cut short.",
    "RLPInvalidEncoding": "The block's header is no RLP.",
    "NotAnAuditor": "{auditor} was not drawn to audit these receipts.",
    "NotAStrike": "The finding's verdict is {verdict}, which is no strike.",
    "ReceiptCounted": "A strike was filed for the receipt {receiptHash} before.",
    "OwnerCounted": "A strike of {owner}'s counts already. Another owner's auditor may strike.",
    "TooManyStrikes": "{most} strikes are held against the provider already. File it once its accusation "
    "is concluded, or some are old.",
    "AlreadySummoned": "The re-auditors of {id} are seated already.",
    "NotSeated": "There is no re-auditor in seat {seat}.",
    "OpinionsMismatch": "There are {strikes} strikes and {opinions} opinions. Say one for each.",
    "CheckpointUnorderedInsertion": "The chain's block number went backwards.",
    # Everything
    "WrongSigner": "The signature is by {actual}, and should be by {expected}. Check which key signs: a "
    "provider names its receipt key on chain.",
    "ZeroAmount": "The amount is zero. Give one atom at least.",
    "ZeroAddress": "An address is zero. Name a real one.",
    "OutOfBounds": "The value {actual} lies outside {lowest} to {highest}, which every market keeps.",
    # The asset
    "AssetMismatch": "The asset moved {actual} atoms instead of {expected}: it takes a fee or rebases. "
    "This market cannot use it.",
    "SafeERC20FailedOperation": "The asset {token} refused the transfer. Check its balance and allowance.",
    "ERC20InsufficientBalance": "{sender} holds {balance} atoms of the asset and {needed} are needed. "
    "Get more (on a local chain: tally faucet).",
    "ERC20InsufficientAllowance": "{spender} may take {allowance} atoms and {needed} are needed. "
    "Approve them first.",
    "ERC20InvalidApprover": "The approving address {approver} is not valid.",
    "ERC20InvalidReceiver": "The asset cannot be sent to {receiver}.",
    "ERC20InvalidSender": "The asset cannot be sent from {sender}.",
    "ERC20InvalidSpender": "The address {spender} cannot be approved.",
    "ERC2612ExpiredSignature": "The permit expired at {deadline}. Sign another.",
    "ERC2612InvalidSigner": "The permit is signed by {signer}, and should be by {owner}.",
    "ERC3009InvalidAuthorizationTime": "The authorisation holds from {validAfter} to {validBefore} only. "
    "Sign another.",
    "ERC3009InvalidSignature": "The authorisation's signature is not its owner's.",
    "ERC3009UsedAuthorization": "The authorisation was used, or cancelled, before. Sign another.",
    "InvalidAccountNonce": "The permit's nonce is not {account}'s current one, {currentNonce}. Sign another.",
    "ECDSAInvalidSignature": "The signature is nobody's. Sign again.",
    "ECDSAInvalidSignatureLength": "The signature has {length} bytes instead of 65. Sign again.",
    "ECDSAInvalidSignatureS": "The signature's s is in the upper half of the curve's order. Sign again.",
    "SafeCastOverflowedUintDowncast": "The value {value} does not fit {bits} bits. Use a smaller one.",
    "InvalidShortString": "The contract's name is corrupt. Check the deployment.",
    "StringTooLong": "The text {str} is too long for the contract. Shorten it.",
    # Solidity's own
    "Error": "The contract refused: {message}",
    "Panic": "The contract stopped at its own check {code} (17 is an overflow): an amount is absurdly large, "
    "or this is a bug of the contract.",
    "Unexplained": "The contract refused without saying why (it returned {data}). Is the deployment's file "
    "the right one for this chain?",
}
"""By error name, in terms of its arguments."""

_TIMES: Final = (
    *("exitsAt", "closesAt", "time", "until", "moment", "blockTime", "parentTime"),
    *("validUntil", "deadline", "validAfter", "validBefore"),
)


def sentence(name: str, arguments: Mapping[str, Any]) -> str:
    """What `name` means with these arguments, and what to do next."""
    template = SENTENCES.get(name)
    if template is None:
        return f"The contract refused with {name}({', '.join(f'{k}={v}' for k, v in arguments.items())})."
    return template.format_map({key: _text(key, value) for key, value in arguments.items()})


def _text(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return to_hex(value)
    if name in _TIMES and isinstance(value, int) and value < 1 << 35:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return str(value)
