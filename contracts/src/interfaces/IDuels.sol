// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IArbiter} from "./IArbiter.sol";
import {IBalances} from "./IBalances.sol";
import {IMarket} from "./IMarket.sol";

/// @notice `keccak256(abi.encode(challenger, commitment))`, or of its appeal {IDuels-appealOf}: what judges sign for.
type DuelId is bytes32;

/// @title IDuels
/// @notice Two providers answered one request; judges drawn by stake say which answer is better. It is the arbiter of
/// one market, holds the fees of duels, and has no owner, no upgrade and no pause.
/// @dev Amounts are atoms of the market's asset, times unix seconds. Two transactions in the usual case:
///
///     open ──▶ (two blocks on: the judges are known) ──▶ decide, with every judge's vote
///
/// Off chain, between the two: the challenger shows each judge the case, as a paid request. A judge checks that it was
/// drawn ({panelOf}), that the receipts are those which the duel commits to, and that the answers hash to what the
/// receipts say; it signs a {VoteCommitment}, and gives its ballot away only once it was shown the commitments of *all*
/// judges of the panel. Where anybody is silent, the chain takes over:
///
///     OPEN ──summon──▶ COMMITTING ──▶ REVEALING ──▶ COUNTING ──decide──▶ …      one {period} each
///
/// A verdict that all judges share moves its money at once. One that is split can be appealed to more judges for a
/// period; then anyone settles it.
interface IDuels is IArbiter, IBalances {
    // ------------------------------------------------------------------------------------------------ words

    /// @notice What a judge says, over both orders of the answers.
    /// @custom:value0 NONE Nothing, in time: a judge that is silent.
    /// @custom:value1 FIRST The first answer is better.
    /// @custom:value2 SECOND The second is.
    /// @custom:value3 TIE Neither; also where the order of the answers decided.
    /// @custom:value4 DECLINED No vote, and no blame: the case was never delivered. Not for ballots.
    enum Choice {
        NONE,
        FIRST,
        SECOND,
        TIE,
        DECLINED
    }

    /// @notice What a duel is doing. Derived from its fields and the clock, never stored.
    /// @custom:value0 NONE Never opened.
    /// @custom:value1 OPEN Somebody may summon the judges. All judges' votes decide it, as in the next.
    /// @custom:value2 COMMITTING Summoned judges commit or decline, on chain.
    /// @custom:value3 REVEALING Those who committed reveal, on chain.
    /// @custom:value4 COUNTING Anyone decides it with what was revealed.
    /// @custom:value5 APPEALABLE Decided by a split panel; a party may appeal.
    /// @custom:value6 APPEALED Another panel decides.
    /// @custom:value7 SETTLEABLE Anyone may move the money.
    /// @custom:value8 ENDED The money has moved.
    /// @custom:value9 LAPSED Nobody decided it in time: anyone may burn its fee.
    enum Status {
        NONE,
        OPEN,
        COMMITTING,
        REVEALING,
        COUNTING,
        APPEALABLE,
        APPEALED,
        SETTLEABLE,
        ENDED,
        LAPSED
    }

    // ------------------------------------------------------------------------------------------------ signed

    /// @notice A judge's word that its ballot is cast. Signed by any receipt key that it ever named, in the market's domain.
    /// @param judge The provider that was drawn: a key that two providers name must not vote for both.
    /// @param ballotHash EIP-712 struct hash of its {Ballot}; zero: it declines.
    struct VoteCommitment {
        DuelId duel;
        address judge;
        bytes32 ballotHash;
    }

    /// @notice What the judge judged, and its choice. Not signed: the commitment binds it.
    /// @param judge In here too: otherwise a lazy judge would commit to another's ballot and reveal what that one reveals.
    /// @param bodyHash keccak-256 of the request's raw body, as {Case} has it.
    /// @param firstResponseHash Of the first receipt: a ballot on other answers than the receipts' does not count.
    /// @param salt Random: a ballot of three choices could be guessed.
    struct Ballot {
        DuelId duel;
        address judge;
        bytes32 bodyHash;
        bytes32 firstResponseHash;
        bytes32 secondResponseHash;
        Choice choice;
        bytes32 salt;
    }

    // ------------------------------------------------------------------------------------------------ arguments

    /// @notice One duellist's answer: the receipt, and what the id of its channel is the hash of, but for the payer.
    /// @param receipt The last one of the answer: its response hash covers all of it.
    /// @param signature By any receipt key that the provider ever named.
    struct Answer {
        address provider;
        address sessionKey;
        uint24 epoch;
        IMarket.Receipt receipt;
        bytes signature;
    }

    /// @notice What a duel commits to: `keccak256(abi.encode(firstReceiptHash, secondReceiptHash, hidden))`, where
    /// `hidden = keccak256(abi.encode(known, salt))` and the receipt hashes are struct hashes.
    /// @param bodyHash keccak-256 of the request's raw body, the same for both: each receipt's request hash is that of
    /// its own offer and this.
    /// @param hidden Of {Choice-NONE}, or of a known verdict: judges cannot tell which.
    struct Case {
        Answer first;
        Answer second;
        bytes32 bodyHash;
        bytes32 hidden;
    }

    /// @notice One judge's vote where all have voted, in the panel's order. A seat that could not be filled has none. Of a
    /// judge that has committed to another ballot on chain it counts as silence.
    /// @param signature Of the judge's {VoteCommitment}.
    struct Vote {
        Choice choice;
        bytes32 salt;
        bytes signature;
    }

    /// @notice A {VoteCommitment} on chain.
    struct Commitment {
        address judge;
        bytes32 ballotHash;
        bytes signature;
    }

    /// @notice What every ballot of a duel is about.
    struct Subject {
        bytes32 bodyHash;
        bytes32 firstResponseHash;
        bytes32 secondResponseHash;
    }

    /// @notice A {Ballot} on chain, but for its {Subject}.
    struct Reveal {
        address judge;
        Choice choice;
        bytes32 salt;
    }

    /// @notice What one panel said. Its hash is kept while money waits for it, {Decided} has it whole.
    /// @param price Atoms: the cost of the dearer of the two receipts.
    /// @param known The known verdict; {Choice-NONE} for a duel without one, and for every appeal.
    /// @param judges In the order they were drawn; zero where a seat could not be filled.
    struct Ruling {
        DuelId duel;
        address first;
        address second;
        uint96 price;
        Choice known;
        address[] judges;
        Choice[] choices;
    }

    // ------------------------------------------------------------------------------------------------ events

    event Consented(address indexed owner, address indexed provider);
    event Enlisted(address indexed judge, address indexed owner, uint32 slot);
    /// @param weight Atoms of stake that draws go by from this block on; `total` of all judges.
    event Weighed(address indexed judge, uint96 weight, uint256 total);

    /// @param drawBlock Its hash draws the judges, from the weights at the end of the block of this event.
    event Opened(
        DuelId indexed duel, address indexed challenger, uint96 fee, uint8 seats, uint48 drawBlock, uint40 decideBy
    );
    event Sealed(DuelId indexed duel, bytes32 seed);
    /// @param revealFrom First second at which judges reveal, and no longer commit.
    event Summoned(DuelId indexed duel, address[] judges, uint40 revealFrom);
    /// @param ballotHash Zero: it declined.
    event Committed(DuelId indexed duel, address indexed judge, bytes32 ballotHash);
    event Revealed(DuelId indexed duel, address indexed judge, Choice choice);
    /// @param firstReceiptHash Struct hash, as the other.
    /// @param appealBy First second at which nobody may appeal any more; zero: nobody may.
    event Decided(
        DuelId indexed duel,
        Choice verdict,
        uint40 appealBy,
        bytes32 firstReceiptHash,
        bytes32 secondReceiptHash,
        Ruling ruling
    );
    event Appealed(DuelId indexed duel, DuelId indexed appeal, address indexed appellant);
    /// @notice The money of a duel, its appeal included, has moved: the one verdict that ratings are computed from.
    /// @param prize Atoms that left the loser's stake, of which `toWinner` went to the winner's stake.
    /// @param burnt Atoms of fees and prizes that nobody earned; what judges lost is in the market's own events.
    event Ended(
        DuelId indexed duel,
        address indexed first,
        address indexed second,
        Choice verdict,
        uint96 prize,
        uint96 toWinner,
        uint96 burnt
    );
    /// @notice Atoms of stake that a judge lost, all burnt.
    event Penalised(DuelId indexed duel, address indexed judge, uint96 amount);
    event Lapsed(DuelId indexed duel, uint96 burnt);

    // ------------------------------------------------------------------------------------------------ errors

    // Required or expected values come first, actual ones second. What a library refuses, it declares itself.

    error OutOfBounds(uint256 lowest, uint256 highest, uint256 actual);
    error NotTheArbiter(address arbiter, address actual);
    error NotConsented(address owner, address provider);
    error AlreadyEnlisted(address owner);
    error NotEnlisted(address provider);
    error NotEnoughStaked(uint96 required, uint96 staked);
    error WrongStatus(Status expected, Status actual);
    error AlreadyOpened(DuelId duel);
    error SeatsNotAllowed(uint8 seats);
    error FeeTooSmall(uint256 required, uint256 actual);
    /// @notice The block is not there yet, or its hash is gone.
    error NoSeed(uint48 drawBlock, uint256 current);
    /// @notice The case is not what this duel commits to.
    error WrongCase(DuelId expected, DuelId actual);
    error WrongRuling(bytes32 expected, bytes32 actual);
    error WrongHidden(bytes32 expected, bytes32 actual);
    error ReceiptUsed(bytes32 receiptHash, DuelId duel);
    error NotReceiptKey(address provider, address signer);
    error WrongChannel(bytes32 expected, bytes32 actual);
    error WrongRequest(bytes32 expected, bytes32 actual);
    error OneProvider(address provider);
    error VotesMismatch(uint256 judges, uint256 votes);
    error NotAChoice(Choice actual);
    error NotDrawn(address judge);
    error WrongSubject(bytes32 expected, bytes32 actual);
    /// @notice An appeal is decided with what it appeals: {decideAppeal}.
    error IsAppeal(DuelId root);
    error WrongBallot(bytes32 expected, bytes32 actual);
    error NotAParty(address caller);
    error OnlyAudits(address audits, address caller);

    // ------------------------------------------------------------------------------------------------ judges

    /// @notice The caller agrees that `provider` names it as its owner. Panels have one judge of an owner, and none of
    /// a duellist's or the challenger's: nobody is named who did not agree.
    function consent(address provider) external;

    /// @notice Makes the caller, a provider with the market's minimum stake, a judge, owned by `owner` for good.
    /// @dev Its weight is its stake, and falls as soon as it asks any of that back, or loses all of it to a proof of fraud:
    /// the market calls {refresh}. What verdicts take lowers it once they took a 100th. A judge is on
    /// duty: it watches for {Summoned}, and loses a fee where it is silent.
    function enlist(address owner) external;

    /// @notice The caller judges no more, from the duels of the next block on, until it calls {enlist} again.
    function retire() external;

    /// @notice Sets a judge's weight to its stake now; to zero under the market's minimum. Anyone may call.
    /// The market calls where stake leaves.
    function refresh(address judge) external override;

    // ------------------------------------------------------------------------------------------------ duels

    /// @notice Opens a duel on what `commitment` hides, with `fee` atoms for its judges, an equal part for each of
    /// `seats`, which is 3 or 5. They come out of the caller's balance here and then out of its wallet.
    /// @dev The judges follow from a block hash that nobody knows yet. Whoever opens and never decides, because it does
    /// not like them, loses the fee. `decide` wants the payer of both channels as the challenger.
    function open(bytes32 commitment, uint8 seats, uint96 fee) external returns (DuelId);

    /// @notice Keeps the hash that draws the judges, which the chain forgets after 256 blocks (8,191 with EIP-2935).
    function seal(DuelId duel) external;

    /// @notice Decides a duel, by the votes of all its judges, or by what they revealed on chain. Anyone may call.
    /// @param known What the case hides, with its `salt`. Where there are no votes, {Choice-NONE} stands for not knowing.
    /// @param votes In the order of {panelOf}, until the judges that were summoned reveal; none once that is over.
    function decide(DuelId duel, Case calldata shown, Choice known, bytes32 salt, Vote[] calldata votes) external;

    /// @notice {decide} for the appeal of `before.duel`; ends both.
    /// @param before As {Decided} told it.
    function decideAppeal(Case calldata shown, Vote[] calldata votes, Ruling calldata before) external;

    /// @notice Calls the judges of a duel, or of an appeal, to vote on chain, for not all votes are at hand. Anyone may.
    function summon(DuelId duel, Case calldata shown, Commitment[] calldata commitments) external;

    /// @notice Enters commitments of summoned judges. Anyone may submit them; the first of a judge stands, and what it did
    /// not sign is passed over.
    function commit(DuelId duel, Commitment[] calldata commitments) external;

    /// @notice Enters ballots that were committed to, and are about what the case is about. Anyone may submit them.
    function reveal(DuelId duel, Subject calldata subject, Reveal[] calldata reveals) external;

    /// @notice Puts a split verdict before twice as many judges and one, for at least as much a judge. Only a duellist
    /// or the challenger may, once. The appeal's verdict stands; where nobody decides it, the first one does.
    function appeal(Ruling calldata ruling, uint96 fee) external returns (DuelId);

    /// @notice Moves the money of split verdicts that nobody may appeal any more. Anyone may call; one that is not
    /// ready is passed over.
    function settle(Ruling[] calldata rulings) external;

    /// @notice Burns the fee of a duel, or of its appeal, that nobody decided in time. Anyone may call.
    function expire(DuelId duel) external;

    /// @notice {IMarket-slash}, for {audits}, and for nobody else. Who loses by it as a judge weighs less at once.
    /// @dev The market has one arbiter, this contract, and no bound on what that slashes: read {audits} as well.
    function slash(address provider, uint96 amount, address recipient) external;

    // ------------------------------------------------------------------------------------------------ views

    function market() external view returns (address);
    /// @notice What slashes through this contract, on strikes of auditors: an {IAudits}. Zero: nothing does.
    function audits() external view returns (address);
    /// @notice Atoms for each judge, at least.
    function minimumFee() external view returns (uint96);
    /// @notice Seconds that each party has for each of its steps.
    function period() external view returns (uint40);

    /// @notice Who judges a duel between `first` and `second`: anyone can ask, and get the same answer for good, from the
    /// draw block on for as long as the chain knows its hash, or it was sealed. Zero where a seat could not be filled.
    function panelOf(DuelId duel, address first, address second) external view returns (address[] memory judges);

    function duelIdOf(address challenger, bytes32 commitment) external pure returns (DuelId);
    /// @notice The id of a duel's appeal: its judges sign for it.
    function appealOf(DuelId duel) external pure returns (DuelId);

    function duelOf(DuelId duel)
        external
        view
        returns (Status status, address challenger, uint96 fee, uint8 seats, uint48 drawBlock, uint40 until);
    /// @notice `slot` is zero for who never enlisted.
    function judgeOf(address provider) external view returns (address owner, uint96 weight, uint32 slot);
    /// @notice The judge of a slot: slots are dense, from one.
    function judgeAt(uint32 slot) external view returns (address provider);
    /// @notice Atoms of all judges' weights, and the number of slots, at the end of `blockNumber`.
    function weightsAt(uint48 blockNumber) external view returns (uint256 total, uint32 slots);
    function isUsed(bytes32 receiptHash) external view returns (bool);
    /// @notice Up to `seats` judges by `seed`, as they were at the end of `blockNumber`: one of an owner, and none of
    /// `parties` or of their owners. Zero where a seat could not be filled.
    function draw(bytes32 seed, uint48 blockNumber, uint256 seats, address[] calldata parties)
        external
        view
        returns (address[] memory);
}
