// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "./IMarket.sol";
import {IBalances} from "./IBalances.sol";

/// @notice `keccak256(abi.encode("reaudit", provider, number))`: what re-auditors sign for.
type AccusationId is bytes32;

/// @title IAudits
/// @notice Three auditors of three owners, each drawn by stake for an answer that was drawn by lot, find that it is not
/// the promised model's: then the provider loses a part of its stake, unless more auditors, drawn anew, clear it. It
/// acts through the duels' contract, which is the market's arbiter and has its judges, and has no owner, no upgrade
/// and no pause.
/// @dev Amounts are atoms of the market's asset, times unix seconds. A {period} is the duels'.
///
/// Before: the first block whose timestamp is 30 s or more after a receipt's `finishedAt` draws whether its answer is
/// audited, and five auditors for it; which block that is follows from the receipt, and nobody knew its hash when the
/// provider signed. Whoever was drawn audits, and signs a {Finding}.
///
///                                                 nobody answers: slashed
///              third strike          ┌─────────────────────────────────────────────────────┐
///     NONE ───────────────────▶ ACCUSED ──answer──▶ COMMITTING ──▶ REVEALING ──▶ DUE ──conclude──▶ NONE
///                               1 period             2 periods      1 period     upheld, cleared, or neither
///
/// All of it takes four periods at most. Stake that is asked back when the first of three strikes is filed is still
/// there when the last may be concluded.
interface IAudits is IBalances {
    // ------------------------------------------------------------------------------------------------ words

    /// @notice What becomes of a provider's strikes. Derived, never stored.
    /// @custom:value0 NONE Fewer than three count.
    /// @custom:value1 ACCUSED Three do; anybody may answer with the fee for a re-audit.
    /// @custom:value2 COMMITTING Re-auditors are drawn, audit, and commit.
    /// @custom:value3 REVEALING They reveal.
    /// @custom:value4 DUE Anyone may conclude it.
    enum Status {
        NONE,
        ACCUSED,
        COMMITTING,
        REVEALING,
        DUE
    }

    /// @notice What a re-auditor says, having seen the samples of all three strikes.
    /// @custom:value0 NONE Nothing, in time.
    /// @custom:value1 UPHOLD It would have struck as well.
    /// @custom:value2 CLEAR It would not, or nobody showed it what the strikes rest on: who strikes has to prove it.
    enum Opinion {
        NONE,
        UPHOLD,
        CLEAR
    }

    /// @notice How an accusation ended.
    /// @custom:value0 UNANSWERED Nobody paid for a re-audit: slashed.
    /// @custom:value1 UPHELD More than half of all seats upheld it: slashed.
    /// @custom:value2 CLEARED More than half of all seats cleared it: those who struck pay.
    /// @custom:value3 OPEN Neither, because too many were silent: the strikes are gone, and nobody is slashed for them.
    enum Outcome {
        UNANSWERED,
        UPHELD,
        CLEARED,
        OPEN
    }

    // ------------------------------------------------------------------------------------------------ signed

    /// @notice What an auditor found, signed with its receipt key, in the market's domain.
    /// @param receiptHash Struct hash of the receipt that the strike is for.
    /// @param receiptsRoot Merkle root over the receipts that it looked at.
    /// @param scalesHash Of the scales by which they were weighed.
    /// @param check 0 none, 1 counts, 2 rank, 3 replay, 4 logprob.
    /// @param verdict 0 clear, 1 alarm, 2 strike.
    /// @param tokens Output tokens that were compared.
    /// @param evidence A natural logarithm in millionths.
    /// @param foundAt Unix milliseconds.
    struct Finding {
        address auditor;
        address provider;
        bytes32 receiptHash;
        bytes32 receiptsRoot;
        uint32 receiptCount;
        bytes32 scalesHash;
        uint8 check;
        uint8 verdict;
        uint64 tokens;
        uint64 evidence;
        uint64 foundAt;
    }

    // ------------------------------------------------------------------------------------------------ arguments

    /// @notice What a channel's id is the hash of.
    struct Channel {
        address payer;
        address provider;
        address sessionKey;
        uint24 epoch;
    }

    /// @notice Everything that a strike rests on.
    /// @param receiptSignature By any receipt key that the provider ever named.
    /// @param header RLP of the block that drew the receipt; `parent` of the one before it, which was too early.
    /// @param findingSignature By the receipt key that the auditor names now.
    struct Exhibit {
        Channel channel;
        IMarket.Receipt receipt;
        bytes receiptSignature;
        bytes header;
        bytes parent;
        Finding finding;
        bytes findingSignature;
    }

    /// @notice A re-auditor's ballot, hidden: a lazy one would say what others said.
    /// @param seat Its place in {reauditorsOf}.
    /// @param ballotHash `keccak256(abi.encode(accusationId, auditor, opinion, salt))`.
    /// @param signature Of `VoteCommitment(accusationId, auditor, ballotHash)` by its receipt key, in the market's domain.
    struct Commitment {
        uint8 seat;
        bytes32 ballotHash;
        bytes signature;
    }

    struct Reveal {
        uint8 seat;
        Opinion opinion;
        bytes32 salt;
    }

    // ------------------------------------------------------------------------------------------------ events

    event Sealed(uint48 indexed blockNumber, bytes32 blockHash);
    /// @param drawBlock That drew receipt and auditor. `count`: strikes against the provider that count now.
    event Struck(
        address indexed provider,
        address indexed auditor,
        bytes32 indexed receiptHash,
        address owner,
        uint48 drawBlock,
        Finding finding,
        uint8 count
    );
    /// @param answerBy First second at which nobody may answer any more.
    event Accused(AccusationId indexed id, address indexed provider, address[] auditors, uint40 answerBy);
    event Answered(
        AccusationId indexed id,
        address indexed provider,
        address answerer,
        uint96 fee,
        uint48 drawBlock,
        uint40 revealFrom
    );
    /// @param auditors In the order of their seats; zero for one that could not be filled.
    event Summoned(AccusationId indexed id, address indexed provider, address[] auditors);
    event Committed(AccusationId indexed id, address indexed auditor, bytes32 ballotHash);
    event Revealed(AccusationId indexed id, address indexed auditor, Opinion opinion);
    /// @param slashed Atoms that left the provider's stake; `rewarded` of them went to those who struck.
    /// @param earned Of the fee, by re-auditors; `burnt` of it went to nobody.
    event Concluded(
        AccusationId indexed id,
        address indexed provider,
        Outcome outcome,
        uint96 slashed,
        uint96 rewarded,
        uint96 earned,
        uint96 burnt
    );
    /// @notice Atoms of stake that an auditor lost: one who struck whom others cleared, or whom most re-auditors
    /// contradict, or that was silent.
    event Penalised(AccusationId indexed id, address indexed auditor, uint96 amount);

    // ------------------------------------------------------------------------------------------------ errors

    // Required or expected values come first, actual ones second.

    error OutOfBounds(uint256 lowest, uint256 highest, uint256 actual);
    error NotTheAudits(address audits, address actual);
    /// @notice The block is not there yet, or its hash is gone.
    error NoSeed(uint48 drawBlock, uint256 current);
    error WrongHeader(bytes32 expected, bytes32 actual);
    /// @notice Another block draws the receipt: the first one at or after `moment`.
    error WrongBlock(uint256 moment, uint256 parentTime, uint256 blockTime);
    error DrawTooOld(uint256 until, uint256 time);
    error WrongChannel(bytes32 expected, bytes32 actual);
    error WrongSigner(address expected, address actual);
    error NotReceiptKey(address provider, address signer);
    error WrongReceipt(bytes32 expected, bytes32 actual);
    error WrongProvider(address expected, address actual);
    /// @notice The lottery passed this receipt over.
    error NotDrawn(bytes32 receiptHash);
    error NotAnAuditor(address auditor);
    error NotAStrike(uint8 verdict);
    error NotEnoughStaked(uint96 required, uint96 staked);
    error ReceiptCounted(bytes32 receiptHash);
    error OwnerCounted(address owner);
    error WrongStatus(Status expected, Status actual);
    error FeeTooSmall(uint256 required, uint256 actual);
    error AlreadySummoned(AccusationId id);
    error NotSeated(uint8 seat);
    error WrongBallot(bytes32 expected, bytes32 actual);
    error NotAnOpinion(Opinion actual);

    // ------------------------------------------------------------------------------------------------ strikes

    /// @notice Keeps a block's hash, which the chain forgets after 256 blocks (8,191 with EIP-2935).
    function seal(uint48 blockNumber) external;

    /// @notice Files a strike. Anyone may; it counts for its auditor. The third one that counts accuses the provider.
    /// @dev A receipt counts once, ever; of an owner one strike counts at a time, for {window} seconds.
    function strike(Exhibit calldata exhibit) external;

    // ------------------------------------------------------------------------------------------------ accusations

    /// @notice Answers an accusation with `fee` atoms for eleven re-auditors, an equal part each. Anyone may.
    function answer(address provider, uint96 fee) external returns (AccusationId);

    /// @notice Draws the re-auditors and seats them, two blocks after the answer. Anyone may.
    function summon(address provider) external;

    /// @notice Enters commitments of re-auditors. Anyone may; the first of each stands.
    function commit(address provider, Commitment[] calldata commitments) external;

    /// @notice Enters ballots that were committed to. Anyone may.
    function reveal(address provider, Reveal[] calldata reveals) external;

    /// @notice Ends an accusation whose time is over: slashes, or makes those pay who struck, or neither. Anyone may.
    function conclude(address provider) external;

    // ------------------------------------------------------------------------------------------------ views

    function duels() external view returns (address);
    /// @notice Seconds for which a strike counts, and after a draw within which one has to be filed.
    function window() external view returns (uint40);
    /// @notice Atoms for all re-auditors together, at least.
    function minimumFee() external view returns (uint256);

    /// @notice Who may strike the provider for the receipt of `receiptHash`, a struct hash, where `drawBlock` draws it:
    /// anyone can ask. Zero where a seat could not be filled.
    function auditorsOf(bytes32 receiptHash, address provider, uint48 drawBlock)
        external
        view
        returns (address[] memory);
    /// @notice Whether `drawBlock` draws the receipt of `receiptHash` and `sequence`.
    function isDrawn(bytes32 receiptHash, uint64 sequence, uint48 drawBlock) external view returns (bool);
    /// @notice Whether a strike was filed for the receipt.
    function isCounted(bytes32 receiptHash) external view returns (bool);
    /// @notice Those who struck the provider, and still count.
    function strikesOf(address provider) external view returns (address[] memory auditors, uint40[] memory times);
    /// @notice Whatever there is against the provider now, under the id that it has or would have.
    /// @param until First second at which the status is over; zero where no clock ends it.
    function accusationOf(address provider)
        external
        view
        returns (AccusationId id, Status status, address answerer, uint96 fee, uint48 drawBlock, uint40 until);
    /// @notice Who re-audits; none before they are drawn or after {conclude}.
    function reauditorsOf(address provider) external view returns (address[] memory);
    /// @notice Zeros before re-auditors are summoned. `ballotHash` is zero until it commits.
    function seatOf(address provider, uint8 seat)
        external
        view
        returns (address auditor, Opinion opinion, bytes32 ballotHash);
}
