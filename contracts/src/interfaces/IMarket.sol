// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @notice `keccak256(abi.encode(payer, provider, sessionKey, epoch))`: one life of one channel.
type ChannelId is bytes32;

/// @title IMarket
/// @notice The money of an open market for LLM inference: accounts, stakes, offers, channels, and the price of
/// fraud. It has no owner, no fee, no upgrade and no pause.
/// @dev Amounts are atoms of the settlement asset, times unix seconds, ranges half-open. *Token* always means an LLM
/// token, never the ERC-20. Every event is past tense and carries totals: the market is rebuilt from events alone.
interface IMarket {
    // ------------------------------------------------------------------------------------------------ signed

    /// @notice A provider's signed, expiring promise: this model, at these prices, on these terms, at this address.
    /// @param provider Whose stake stands behind it.
    /// @param sequence Grows with every offer of one provider, whatever the model.
    /// @param endpoint Base URL of the gateway, without the `/v1`.
    /// @param endpointKey SHA-256 of the gateway's TLS public key (SubjectPublicKeyInfo); zero: a public certificate.
    /// @param model Name by which a request asks for it.
    /// @param modelHash Commits to a manifest of weights, precision, tokenizer and chat template; zero: none.
    /// @param inputPrice Atoms per million input tokens that were not cached.
    /// @param cachedInputPrice Atoms per million cached input tokens.
    /// @param outputPrice Atoms per million output tokens.
    /// @param contextLength Tokens, input and output together.
    /// @param credit Atoms of unacknowledged work that the provider extends to one payer account.
    /// @param validUntil First second at which the offer no longer holds.
    struct Offer {
        address provider;
        uint64 sequence;
        string endpoint;
        bytes32 endpointKey;
        string model;
        bytes32 modelHash;
        uint64 inputPrice;
        uint64 cachedInputPrice;
        uint64 outputPrice;
        uint32 contextLength;
        uint128 credit;
        uint64 validUntil;
    }

    /// @notice A payer's leave to open a channel, or to raise its cap, which anyone may submit.
    /// @param epoch The channel's epoch that this grant is for: closing the channel voids it.
    /// @param cap Atoms the channel may pay in this epoch, in total. Cumulative: replays and reorders are harmless.
    /// @param deadline First second at which the grant can no longer be submitted.
    struct Grant {
        address payer;
        address provider;
        address sessionKey;
        uint24 epoch;
        uint96 cap;
        uint64 deadline;
    }

    /// @notice The provider-signed account of work delivered.
    /// @param sequence Dense in its channel, from 0: two receipts with one sequence are a fraud, {slashReceiptEquivocation}.
    /// @param tokensHash Commits to the ids of the output tokens; zero where the engine gives none.
    /// @param inputTokens All of them, cached ones included.
    /// @param finish Why the answer ended here.
    /// @param receivedAt Unix milliseconds of the provider's clock, as are the next two.
    /// @param cost Atoms of this receipt.
    /// @param cumulativeCost Atoms of all receipts of the channel up to this one.
    struct Receipt {
        ChannelId channelId;
        uint64 sequence;
        bytes32 offerHash;
        bytes32 requestHash;
        bytes32 responseHash;
        bytes32 tokensHash;
        uint32 inputTokens;
        uint32 cachedInputTokens;
        uint32 outputTokens;
        uint8 finish;
        uint64 receivedAt;
        uint64 firstTokenAt;
        uint64 finishedAt;
        uint128 cost;
        uint128 cumulativeCost;
    }

    // ------------------------------------------------------------------------------------------------ arguments

    /// @notice One channel to open from the caller's own account.
    struct Opening {
        address provider;
        address sessionKey;
        uint96 cap;
    }

    /// @notice One voucher to settle. `r` and `vs` are its EIP-2098 signature by `sessionKey`.
    /// @param cumulativeAmount Atoms that the channel may pay in this epoch, in total.
    /// @param acknowledgementHash EIP-712 struct hash of the voucher's acknowledgement.
    struct Row {
        address payer;
        address sessionKey;
        uint24 epoch;
        uint128 cumulativeAmount;
        bytes32 acknowledgementHash;
        bytes32 r;
        bytes32 vs;
    }

    // ------------------------------------------------------------------------------------------------ views' values

    /// @notice Why a row or a grant of a batch was passed over.
    /// @custom:value0 STALE_EPOCH The channel was closed since (or never reached that epoch).
    /// @custom:value1 NOT_GREATER The amount (or cap) is not greater than what is settled (or granted) already.
    /// @custom:value2 BAD_SIGNATURE Signed by somebody else, malleable, or malformed.
    /// @custom:value3 EXPIRED The grant's deadline is over.
    /// @custom:value4 CHANNEL_CLOSING A closing channel takes no new cap.
    /// @custom:value5 INSUFFICIENT_FREE The payer's account does not hold the difference.
    enum Skip {
        STALE_EPOCH,
        NOT_GREATER,
        BAD_SIGNATURE,
        EXPIRED,
        CHANNEL_CLOSING,
        INSUFFICIENT_FREE
    }

    // ------------------------------------------------------------------------------------------------ events

    // Amounts and totals are atoms; `free`, `staked`, `exiting`, `settled` and `balance` are what is left afterwards.

    event Deposited(address indexed payer, uint96 amount, uint96 free);
    event ExitRequested(address indexed payer, uint96 free, uint96 exiting, uint40 exitsAt);
    event Exited(address indexed payer, uint96 amount);

    event Staked(address indexed provider, uint96 amount, uint96 staked);
    event UnstakeRequested(address indexed provider, uint96 staked, uint96 exiting, uint40 exitsAt);
    event Unstaked(address indexed provider, uint96 amount);
    event ReceiptKeySet(address indexed provider, address indexed receiptKey);
    /// @param reward Atoms credited to `recipient`; `burnt` went where nobody can reach them.
    event Slashed(
        address indexed provider, address indexed recipient, uint96 reward, uint96 burnt, uint96 staked, uint96 exiting
    );

    /// @param toWinner Atoms that moved into the winner's stake, `winnerStaked` now; `toArbiter` left the market, for
    /// those who decided it. `staked` and `exiting` are the loser's.
    event Awarded(
        address indexed loser,
        address indexed winner,
        uint96 toWinner,
        uint96 toArbiter,
        uint96 staked,
        uint96 exiting,
        uint96 winnerStaked
    );

    // Each of these is followed by the {Slashed} that it caused: what was taken, who got it, what was burnt.

    /// @param price Atoms that the receipt's counts cost under the offer; `cost` is what it says they do.
    event OverchargeProven(
        address indexed provider,
        address indexed reporter,
        bytes32 indexed receiptHash,
        bytes32 offerHash,
        uint256 price,
        uint128 cost
    );
    /// @param first Struct hash of the receipt that was shown first, as `second` is of the other.
    event ReceiptEquivocationProven(
        address indexed provider,
        address indexed reporter,
        ChannelId indexed channelId,
        uint64 sequence,
        bytes32 first,
        bytes32 second
    );
    /// @param first Struct hash of the offer that was shown first, as `second` is of the other.
    event OfferEquivocationProven(
        address indexed provider, address indexed reporter, uint64 indexed sequence, bytes32 first, bytes32 second
    );

    /// @param offerHash EIP-712 struct hash of `offer`: what receipts and request hashes name it by.
    event OfferPosted(address indexed provider, uint64 indexed sequence, bytes32 indexed offerHash, Offer offer);
    event OffersWithdrawn(address indexed provider, uint64 minimumSequence);

    /// @dev The cap came out of the payer's free atoms, and what those did not cover out of its exiting ones.
    event ChannelOpened(
        ChannelId indexed channelId,
        address indexed payer,
        address indexed provider,
        address sessionKey,
        uint24 epoch,
        uint96 cap
    );
    /// @dev The difference to the cap before was drawn as in {ChannelOpened}.
    event CapRaised(ChannelId indexed channelId, uint96 cap);
    event GrantSkipped(address indexed payer, address indexed provider, address sessionKey, Skip reason);
    /// @param settled Atoms that the channel has paid in this epoch, in total.
    event Settled(ChannelId indexed channelId, uint96 settled, bytes32 acknowledgementHash);
    event RowSkipped(ChannelId indexed channelId, Skip reason);
    /// @notice The sum of one settlement or close, or the reward of one slash, credited to a balance.
    event Earned(address indexed provider, uint128 amount, uint128 balance);
    event CloseRequested(ChannelId indexed channelId, uint40 closesAt);
    /// @param returned Atoms that went back to the payer's account; the epoch is over.
    event ChannelClosed(ChannelId indexed channelId, uint96 settled, uint96 returned);
    event Withdrawn(address indexed provider, uint128 amount);

    // ------------------------------------------------------------------------------------------------ errors

    // Required or expected values come first, actual ones second. What a library refuses, it declares itself.

    /// @notice A constructor argument lies outside the bounds that every market keeps.
    error OutOfBounds(uint256 lowest, uint256 highest, uint256 actual);
    error ZeroAmount();
    error ZeroAddress();
    error WrongSigner(address expected, address actual);
    /// @notice The message is signed by a key that `provider` never named.
    error NotReceiptKey(address provider, address signer);
    error OnlyArbiter(address arbiter, address caller);
    error OnlyPayer(address payer, address caller);
    error LengthMismatch(uint256 grants, uint256 signatures);
    /// @notice The asset moved another number of atoms than it was told to.
    error AssetMismatch(uint256 expected, uint256 actual);
    /// @notice So much has to be left for the arbiter to be told. Hardly any of it is used, unless the provider judges.
    error GasTooLow(uint256 required, uint256 actual);

    // ------------------------------------------------------------------------------------------------ account

    /// @notice Adds `amount` atoms, taken from the caller, to `payer`'s account.
    function deposit(address payer, uint96 amount) external;

    /// @notice {deposit} into the caller's own account with an EIP-2612 permit in the same transaction.
    /// @dev A permit that somebody submitted first does not block it: the allowance decides.
    function depositWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Starts the caller's notice for `amount` atoms of `free`; a second request restarts it for the sum.
    /// @dev Until it ends, grants can still draw on these atoms: a provider that serves on a pending grant is safe.
    function requestExit(uint96 amount) external;

    /// @notice Pays `payer` what its notice has ended for. Anyone may call.
    function exit(address payer) external;

    // ------------------------------------------------------------------------------------------------ stake

    /// @notice Locks `amount` atoms of the caller behind its promises.
    function stake(uint96 amount) external;

    /// @notice Starts the caller's notice for `amount` atoms of stake, which can be slashed until they are paid.
    /// @dev The arbiter is told ({IArbiter}), as it is of every proof of fraud: who judges for it weighs less at once.
    function requestUnstake(uint96 amount) external;

    /// @notice Pays `provider` the stake whose notice has ended. Anyone may call.
    function unstake(address provider) external;

    /// @notice Names the key that signs the caller's offers, receipts and closes. Keys named before stay the caller's
    /// own for proofs of fraud.
    /// @dev The key need not consent: whatever it signs for another provider names that provider.
    function setReceiptKey(address receiptKey) external;

    /// @notice Takes up to `amount` atoms of `provider`'s stake, leaving stake first. Only the arbiter may call.
    /// At most half is credited to `recipient`, nothing where that is the zero address; the rest is burnt.
    function slash(address provider, uint96 amount, address recipient) external;

    /// @notice Moves up to `amount` atoms of `loser`'s stake, leaving stake first, and at most a 4,000th of it, into the
    /// stake of `winner`; but an eighth of that, rounded down, is paid to the arbiter, for those who decided. Only the
    /// arbiter may call.
    /// @dev Nothing of it is burnt: two equal providers that win and lose by chance must not ruin one another. The
    /// bound is kept here so that no arbiter can move a whole stake by one verdict.
    function award(address loser, address winner, uint96 amount) external returns (uint96 toWinner, uint96 toArbiter);

    // ------------------------------------------------------------------------------------------------ fraud

    // Anyone may report. What a provider has staked, what is on its way out included, is all taken: a third is credited
    // to the caller's balance, unless the caller is the provider, and the rest is burnt. A signature counts if its key
    // is, or ever was, a receipt key of the provider. A fraud is slashed for once, also if the provider stakes anew;
    // while nothing is staked, a report is refused and the fraud stays to be reported.

    /// @notice Slashes the provider of `offer` for a receipt that costs more than the offer's prices of its counts,
    /// rounded up once.
    /// @dev The receipt names the offer, whose own signature is not asked for, and the offer names the provider: a key
    /// that two providers name carries no receipt from one to the other.
    function slashOvercharge(Offer calldata offer, Receipt calldata receipt, bytes calldata signature) external;

    /// @notice Slashes `provider` for two different receipts with one channel and sequence.
    /// @param payer With the other three, what the channel's id is the hash of: it proves whose channel it is.
    function slashReceiptEquivocation(
        address payer,
        address provider,
        address sessionKey,
        uint24 epoch,
        Receipt calldata first,
        bytes calldata firstSignature,
        Receipt calldata second,
        bytes calldata secondSignature
    ) external;

    /// @notice Slashes the provider of two different offers with one sequence, whether or not they were posted.
    function slashOfferEquivocation(
        Offer calldata first,
        bytes calldata firstSignature,
        Offer calldata second,
        bytes calldata secondSignature
    ) external;

    // ------------------------------------------------------------------------------------------------ offers

    /// @notice Publishes an offer signed by its provider's receipt key. Anyone may submit it.
    function postOffer(Offer calldata offer, bytes calldata signature) external returns (bytes32 offerHash);

    /// @notice Withdraws all of the caller's offers with a sequence under `minimumSequence`.
    function withdrawOffers(uint64 minimumSequence) external;

    // ------------------------------------------------------------------------------------------------ channels

    /// @notice Opens channels from the caller's account, or raises their caps. All or nothing.
    function openChannels(Opening[] calldata openings) external;

    /// @notice Opens channels, or raises their caps, by their payers' grants (EOA or ERC-1271). Anyone may submit; a
    /// grant that cannot be met is skipped and says why.
    function openChannelsFor(Grant[] calldata grants, bytes[] calldata signatures) external;

    /// @notice Raises the cap of one of the caller's channels to `cap`, in total.
    function raiseCap(address provider, address sessionKey, uint96 cap) external;

    /// @notice Pays vouchers of one provider: `min(cumulativeAmount, cap) - settled` each, into the provider's
    /// balance, whoever calls. A row that cannot be paid is skipped and says why.
    function settle(address provider, Row[] calldata rows) external returns (uint128 amount);

    /// @notice Closes a channel at once, with the provider's signature on the final amount, and frees the rest.
    /// @dev Only the payer may close at an amount above what is settled: nobody else can spend its atoms. A provider
    /// that signs a close gives up every voucher over that amount, and must not accept another for the channel.
    function close(
        address payer,
        address provider,
        address sessionKey,
        uint128 cumulativeAmount,
        bytes calldata providerSignature
    ) external;

    /// @notice Starts the notice after which the caller's channel can be closed without the provider.
    /// @dev It cannot be taken back: a provider that has seen it settles and sells no more on this channel.
    function requestClose(address provider, address sessionKey) external;

    /// @notice Closes a channel whose notice has ended and frees the rest. Anyone may call.
    function finalizeClose(address payer, address provider, address sessionKey) external;

    /// @notice Pays `provider` its whole balance. Anyone may call.
    function withdraw(address provider) external returns (uint128 amount);

    // ------------------------------------------------------------------------------------------------ views

    function asset() external view returns (address);
    function arbiter() external view returns (address);
    /// @notice Atoms that a provider must have staked to post an offer.
    function minimumStake() external view returns (uint96);
    /// @notice Seconds.
    function exitNotice() external view returns (uint40);
    function closeNotice() external view returns (uint40);
    function unstakeNotice() external view returns (uint40);

    function accountOf(address payer) external view returns (uint96 free, uint96 exiting, uint40 exitsAt);
    /// @notice `receiptKey` is the provider itself until it names another.
    function stakeOf(address provider)
        external
        view
        returns (uint96 staked, uint96 exiting, uint40 exitsAt, address receiptKey);
    /// @notice Whether `key` is, or ever was, a receipt key of `provider`.
    function isReceiptKey(address provider, address key) external view returns (bool);
    /// @notice Whether `signer` signed `digest`, by the rule for grants: with its own key, or as an ERC-1271 contract.
    function hasSigned(address signer, bytes32 digest, bytes calldata signature) external view returns (bool);
    function offersOf(address provider) external view returns (uint64 latestSequence, uint64 minimumSequence);
    /// @notice The current epoch of a channel; all zero where none was ever opened.
    function channelOf(address payer, address provider, address sessionKey)
        external
        view
        returns (uint96 cap, uint96 settled, uint40 closesAt, uint24 epoch);
    function balanceOf(address provider) external view returns (uint128);
}
