// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "./IMarket.sol";
import {IBalances} from "./IBalances.sol";

/// @notice `keccak256(abi.encode("reaudit", provider, number))`: what re-auditors sign for.
type AccusationId is bytes32;

/// @title IAudits
/// @notice Three auditors of three owners, each drawn by stake for an answer that was drawn by lot, find that it is not
/// the promised model's: then the provider loses a part of its stake where it does not answer, or more auditors, drawn
/// anew, uphold three strikes. It acts through the duels' contract, which is the market's arbiter and has its judges, and has no owner, no upgrade
/// and no pause.
/// @dev Amounts are atoms of the market's asset, times unix seconds. A {period} is the duels'.
///
/// Before: the first block whose timestamp is 30 s or more after a receipt's `finishedAt` draws whether its answer is
/// audited, and five auditors for it; which block that is follows from the receipt, and nobody knew its hash when the
/// provider signed. Whoever was drawn audits, and signs a {Finding}.
///
///                                                 nobody answers: slashed
///              third strike          ┌─────────────────────────────────────────────────────┐
///     NONE ───────────────────▶ ACCUSED ──answer──▶ COMMITTING ──▶ REVEALING ──▶ DUE ──conclude──▶ NONE, or
///                               1 period             2 periods      1 period                       ACCUSED anew
///
/// Re-auditors say of each strike whether they would have struck as well. Three that are upheld slash the provider; of
/// one that is cleared its auditor answers for it alone; others may count on. Strikes that are filed meanwhile wait for
/// the next accusation.
///
/// All of it takes four periods at most. Stake that is asked back at a provider's last answer is still there when the
/// last accusation for it ends, where each is concluded within a period: the window for the strikes, one accusation, and
/// one more by what waited for its end.
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

    /// @notice What a re-auditor says of one strike, having seen its samples.
    /// @custom:value0 NONE Nothing, in time: one may say so of what it could not audit, and neither gains nor loses by it.
    /// @custom:value1 UPHOLD It would have struck as well.
    /// @custom:value2 CLEAR It would not, or nobody showed it what the strike rests on: who strikes has to prove it.
    enum Opinion {
        NONE,
        UPHOLD,
        CLEAR
    }

    /// @notice How an accusation ended, and each of its strikes.
    /// @custom:value0 UNANSWERED Nobody paid for a re-audit: slashed.
    /// @custom:value1 UPHELD More than half of all seats upheld the strike; of an accusation, three of its strikes:
    /// slashed.
    /// @custom:value2 CLEARED More than half of all seats cleared the strike: who filed it pays; of an accusation, at
    /// least one.
    /// @custom:value3 OPEN Neither: nobody is slashed for it. Who filed it pays a little where most speak and hardly any
    /// uphold it.
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
    /// @param findingSignature By any receipt key that the auditor ever named.
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
    /// @param ballotHash `keccak256(abi.encode(accusationId, auditor, opinions, salt))`.
    /// @param signature Of `VoteCommitment(accusationId, auditor, ballotHash)` by any receipt key that it ever named, in the
    /// market's domain.
    struct Commitment {
        uint8 seat;
        bytes32 ballotHash;
        bytes signature;
    }

    /// @param opinions One for each strike that accuses, in the order of {strikesOf}.
    struct Reveal {
        uint8 seat;
        Opinion[] opinions;
        bytes32 salt;
    }

    // ------------------------------------------------------------------------------------------------ events

    event Sealed(uint48 indexed blockNumber, bytes32 blockHash);
    /// @param drawBlock That drew receipt and auditor. `count`: strikes against the provider that count now, whether they
    /// accuse or wait.
    event Struck(
        address indexed provider,
        address indexed auditor,
        bytes32 indexed receiptHash,
        address owner,
        uint48 drawBlock,
        Finding finding,
        uint8 count
    );
    /// @param auditors Those whose strikes accuse, in the order of every ballot. Of each it is its latest {Struck} before
    /// this. `answerBy`: first second at which nobody may answer any more.
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
    event Revealed(AccusationId indexed id, address indexed auditor, Opinion[] opinions);
    /// @param outcomes Of each strike, in the order of {Accused}. `count`: strikes that count on; where they are three, an
    /// {Accused} follows.
    /// @param slashed Atoms that left the provider's stake; `rewarded` of them went to those who struck.
    /// @param earned Of the fee, by re-auditors; `burnt` of it went to nobody.
    event Concluded(
        AccusationId indexed id,
        address indexed provider,
        Outcome outcome,
        Outcome[] outcomes,
        uint8 count,
        uint96 slashed,
        uint96 rewarded,
        uint96 earned,
        uint96 burnt
    );
    /// @notice Atoms of stake that an auditor lost: one whose strike was cleared or unproven, or a re-auditor whom most contradict, or
    /// that was silent.
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
    /// @notice No more are held against one provider until its accusation is concluded, or some are old.
    error TooManyStrikes(uint256 most);
    error WrongStatus(Status expected, Status actual);
    error FeeTooSmall(uint256 required, uint256 actual);
    error AlreadySummoned(AccusationId id);
    error NotSeated(uint8 seat);
    error WrongBallot(bytes32 expected, bytes32 actual);
    error OpinionsMismatch(uint256 strikes, uint256 opinions);

    // ------------------------------------------------------------------------------------------------ strikes

    /// @notice Keeps a block's hash, which the chain forgets after 256 blocks (8,191 with EIP-2935).
    function seal(uint48 blockNumber) external;

    /// @notice Files a strike. Anyone may; it counts for its auditor. The third one that counts accuses the provider; one
    /// that is filed while it is accused waits for its next accusation.
    /// @dev A receipt counts once, ever; of an owner one strike counts at a time, for {window} seconds; of eight owners at
    /// most.
    function strike(Exhibit calldata exhibit) external;

    // ------------------------------------------------------------------------------------------------ accusations

    /// @notice Answers an accusation with `fee` atoms for eleven re-auditors, an equal part each. Anyone may.
    function answer(address provider, uint96 fee) external returns (AccusationId);

    /// @notice Draws the re-auditors and seats them, two blocks after the answer. Anyone may.
    function summon(address provider) external;

    /// @notice Enters commitments of re-auditors. Anyone may; the first of each stands, and what it did not sign is passed
    /// over.
    function commit(address provider, Commitment[] calldata commitments) external;

    /// @notice Enters ballots that were committed to. Anyone may.
    function reveal(address provider, Reveal[] calldata reveals) external;

    /// @notice Ends an accusation whose time is over: slashes, or makes those pay whose strikes are cleared, or neither.
    /// Strikes that no more cleared than upheld, and that are not unproven, count on, the newest two, and with what was filed meanwhile may accuse
    /// anew. Anyone may.
    function conclude(address provider) external;

    // ------------------------------------------------------------------------------------------------ views

    function duels() external view returns (address);
    /// @notice Seconds for which a strike counts, and after a draw within which one has to be filed.
    function window() external view returns (uint40);
    /// @notice Atoms for all re-auditors of an accusation of so many strikes together, at least: eleven of the duels' least
    /// fees for three, or fewer, and as much for each more. Rounded up.
    function minimumFee(uint256 strikes) external view returns (uint256);

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
    /// @notice Those who struck the provider, and still count: first those that accuse, then those that wait.
    function strikesOf(address provider) external view returns (address[] memory auditors, uint40[] memory times);
    /// @notice Whatever there is against the provider now, under the id that it has or would have.
    /// @param until First second at which the status is over; zero where no clock ends it.
    /// @param accusing So many of {strikesOf}, the first ones, accuse; zero where nobody is accused.
    function accusationOf(address provider)
        external
        view
        returns (
            AccusationId id,
            Status status,
            address answerer,
            uint96 fee,
            uint48 drawBlock,
            uint40 until,
            uint8 accusing
        );
    /// @notice Who re-audits; none before they are drawn or after {conclude}.
    function reauditorsOf(address provider) external view returns (address[] memory);
    /// @notice Zeros before re-auditors are summoned. `ballotHash` is zero until it commits, `opinions` are none until it
    /// reveals.
    function seatOf(address provider, uint8 seat)
        external
        view
        returns (address auditor, Opinion[] memory opinions, bytes32 ballotHash);
}
