// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ChannelId} from "./interfaces/IMarket.sol";
import {DuelId, IDuels} from "./interfaces/IDuels.sol";
import {AccusationId, IAudits} from "./interfaces/IAudits.sol";
import {Accusation} from "./libraries/Accusation.sol";
import {Findings} from "./libraries/Findings.sol";
import {Hash} from "./libraries/Hash.sol";
import {Lottery} from "./libraries/Lottery.sol";
import {Opinions} from "./libraries/Opinions.sol";
import {Signature} from "./libraries/Signature.sol";
import {Strikes} from "./libraries/Strikes.sol";
import {Votes} from "./libraries/Votes.sol";
import {AuditsState} from "./AuditsState.sol";

/// @title Audits
/// @notice Strikes of auditors, and what becomes of them. It checks who was drawn and what was signed, asks the concept's
/// library, emits, and pays; what is slashed the duels' contract passes on to the market.
/// @dev Of the asset it assumes what the market does. It writes its state before it calls the asset, and calls the
/// duels and the market, which call nobody but the asset, so that there is nothing for a re-entrancy guard to guard.
contract Audits is AuditsState {
    using Accusation for Accusation.State;
    using Opinions for IAudits.Opinion[];
    using Opinions for uint16;
    using SafeCast for uint256;

    /// @notice A {Finding}'s verdict that is a strike.
    uint8 private constant STRIKE = 2;

    constructor(address duels_, uint40 window_) AuditsState(duels_, window_) {}

    // ------------------------------------------------------------------------------------------------ strike

    /// @inheritdoc IAudits
    function seal(uint48 blockNumber) external {
        bytes32 hash = _requireBlockHash(blockNumber);

        _sealed[blockNumber] = hash;

        emit Sealed(blockNumber, hash);
    }

    /// @inheritdoc IAudits
    function strike(Exhibit calldata exhibit) external {
        (address provider, address auditor) = (exhibit.channel.provider, exhibit.finding.auditor);
        Accusation.State storage its = _accusations[provider];
        bytes32 receiptHash = Hash.receipt(exhibit.receipt);
        _proveReceipt(exhibit, receiptHash);
        uint48 drawBlock = _proveDrawn(exhibit, receiptHash);
        uint96 staked = _proveFinding(exhibit, receiptHash, drawBlock);
        if (_counted[receiptHash]) revert ReceiptCounted(receiptHash);
        address owner = _ownerOf(auditor);

        its.age(WINDOW, _now());
        for (uint256 i; i < its.strikes.length; ++i) {
            if (_ownerOf(its.strikes[i].auditor) == owner) revert OwnerCounted(owner);
        }
        _counted[receiptHash] = true;
        uint8 count = its.add(Accusation.Strike(auditor, _now(), staked));

        emit Struck(provider, auditor, receiptHash, owner, drawBlock, exhibit.finding, count);
        if (its.accuse(_now())) _tellAccused(provider, its);
    }

    function _tellAccused(address provider, Accusation.State storage its) private {
        address[] memory auditors = new address[](its.accusing);
        for (uint256 i; i < auditors.length; ++i) {
            auditors[i] = its.strikes[i].auditor;
        }
        emit Accused(Findings.accusationId(provider, its.number), provider, auditors, _now() + PERIOD);
    }

    /// @dev That it is the provider's own word about a channel of its own.
    function _proveReceipt(Exhibit calldata exhibit, bytes32 receiptHash) private view {
        Channel calldata its = exhibit.channel;
        bytes32 channel = ChannelId.unwrap(Hash.channelId(its.payer, its.provider, its.sessionKey, its.epoch));
        bytes32 actual = ChannelId.unwrap(exhibit.receipt.channelId);
        if (actual != channel) revert WrongChannel(channel, actual);
        _requireSigned(its.provider, receiptHash, exhibit.receiptSignature);
    }

    /// @dev That the block which draws it is the one shown, is not too long ago, and does draw it. What is parsed of a
    /// header is believed once the chain has its hash.
    function _proveDrawn(Exhibit calldata exhibit, bytes32 receiptHash) private view returns (uint48 drawBlock) {
        Memory.Slice[] memory header = BlockHeader.parseHeader(exhibit.header);
        drawBlock = BlockHeader.getNumber(header).toUint48();
        bytes32 hash = keccak256(exhibit.header);
        bytes32 known = _requireBlockHash(drawBlock);
        if (hash != known) revert WrongHeader(known, hash);
        bytes32 parentHash = BlockHeader.getParentHash(header);
        if (keccak256(exhibit.parent) != parentHash) revert WrongHeader(parentHash, keccak256(exhibit.parent));

        uint256 moment = Lottery.momentOf(exhibit.receipt.finishedAt);
        (uint256 before, uint256 time) =
            (BlockHeader.getTimestamp(BlockHeader.parseHeader(exhibit.parent)), BlockHeader.getTimestamp(header));
        if (before >= moment || time < moment) revert WrongBlock(moment, before, time);
        if (time + WINDOW <= _now()) revert DrawTooOld(time + WINDOW, _now());
        if (!Lottery.isDrawn(hash, receiptHash, exhibit.receipt.sequence)) revert NotDrawn(receiptHash);
    }

    /// @dev That an auditor who was drawn, and has something to lose, says so of this very receipt.
    function _proveFinding(Exhibit calldata exhibit, bytes32 receiptHash, uint48 drawBlock)
        private
        view
        returns (uint96 staked)
    {
        Finding calldata finding = exhibit.finding;
        address provider = exhibit.channel.provider;
        if (finding.provider != provider) revert WrongProvider(provider, finding.provider);
        if (finding.receiptHash != receiptHash) revert WrongReceipt(receiptHash, finding.receiptHash);
        if (finding.verdict != STRIKE) revert NotAStrike(finding.verdict);
        if (!_isAmong(_auditors(receiptHash, provider, drawBlock), finding.auditor)) {
            revert NotAnAuditor(finding.auditor);
        }
        (staked,,,) = MARKET.stakeOf(finding.auditor);
        uint96 minimum = MARKET.minimumStake();
        if (staked < minimum) revert NotEnoughStaked(minimum, staked);
        _requireSigned(finding.auditor, Findings.finding(finding), exhibit.findingSignature);
    }

    // ------------------------------------------------------------------------------------------------ re-audit

    /// @inheritdoc IAudits
    function answer(address provider, uint96 fee) external returns (AccusationId id) {
        Accusation.State storage its = _accusations[provider];
        its.requireStatus(Status.ACCUSED, PERIOD, _now());
        uint256 least = _minimumFee(its.accusing);
        if (fee < least) revert FeeTooSmall(least, fee);
        id = Findings.accusationId(provider, its.number);

        its.answer(msg.sender, fee, _block(), _now());

        (, uint40 revealFrom) = its.statusUntil(PERIOD, _now());
        emit Answered(id, provider, msg.sender, fee, _block() + DRAW_BLOCKS, revealFrom);
        _take(fee);
    }

    /// @inheritdoc IAudits
    function summon(address provider) external {
        Accusation.State storage its = _accusations[provider];
        its.requireStatus(Status.COMMITTING, PERIOD, _now());
        AccusationId id = Findings.accusationId(provider, its.number);
        if (its.seats.length != 0) revert AlreadySummoned(id);
        address[] memory auditors = _reauditors(provider, its);

        for (uint256 i; i < auditors.length; ++i) {
            its.seats.push(Accusation.Seat(auditors[i], 0, 0));
        }

        emit Summoned(id, provider, auditors);
    }

    /// @inheritdoc IAudits
    /// @dev A second commitment of one is passed over, and one that it did not sign, so that none can make a batch fail.
    function commit(address provider, Commitment[] calldata commitments) external {
        Accusation.State storage its = _accusations[provider];
        its.requireStatus(Status.COMMITTING, PERIOD, _now());
        AccusationId id = Findings.accusationId(provider, its.number);
        for (uint256 i; i < commitments.length; ++i) {
            Accusation.Seat storage seat = _requireSeat(its, commitments[i].seat);
            if (seat.ballotHash != 0) continue;
            (address auditor, bytes32 hash) = (seat.auditor, commitments[i].ballotHash);
            DuelId signedFor = DuelId.wrap(AccusationId.unwrap(id));
            bytes32 structHash = Votes.commitment(IDuels.VoteCommitment(signedFor, auditor, hash));
            if (!_isKey(auditor, _signer(structHash, commitments[i].signature))) continue;

            seat.ballotHash = hash;

            emit Committed(id, auditor, hash);
        }
    }

    /// @inheritdoc IAudits
    function reveal(address provider, Reveal[] calldata reveals) external {
        Accusation.State storage its = _accusations[provider];
        its.requireStatus(Status.REVEALING, PERIOD, _now());
        AccusationId id = Findings.accusationId(provider, its.number);
        for (uint256 i; i < reveals.length; ++i) {
            Accusation.Seat storage seat = _requireSeat(its, reveals[i].seat);
            Opinion[] memory opinions = reveals[i].opinions;
            if (opinions.length != its.accusing) revert OpinionsMismatch(its.accusing, opinions.length);
            bytes32 hash = Findings.ballot(id, seat.auditor, opinions, reveals[i].salt);
            if (hash != seat.ballotHash) revert WrongBallot(seat.ballotHash, hash);

            seat.opinions = opinions.pack();

            emit Revealed(id, seat.auditor, opinions);
        }
    }

    function _requireSeat(Accusation.State storage its, uint8 seat) private view returns (Accusation.Seat storage) {
        if (seat >= its.seats.length || its.seats[seat].auditor == address(0)) revert NotSeated(seat);
        return its.seats[seat];
    }

    // ------------------------------------------------------------------------------------------------ conclude

    /// @dev An accusation in memory, and what it comes to. All sums are of atoms that exist.
    struct Ended {
        AccusationId id;
        address provider;
        address answerer;
        uint96 fee;
        bool answered;
        bool burnsRest;
        Outcome outcome;
        Strikes.Found found;
        Accusation.Strike[] strikes;
        Accusation.Seat[] seats;
        uint96 slashed;
        uint96 rewarded;
        uint256 earned;
        uint256 burnt;
    }

    /// @inheritdoc IAudits
    function conclude(address provider) external {
        Accusation.State storage its = _accusations[provider];
        its.requireStatus(Status.DUE, PERIOD, _now());
        Ended memory ended = _read(provider, its);
        bool slashes = ended.outcome == Outcome.UNANSWERED || ended.outcome == Outcome.UPHELD;

        if (slashes) its.wipe();
        else its.end(ended.found.standing);
        its.age(WINDOW, _now());
        bool accused = its.accuse(_now());

        if (ended.answered) _payReauditors(ended);
        if (slashes) _slashProvider(ended);
        _penaliseStrikers(ended);
        // forge-lint: disable-start(unsafe-typecast)
        emit Concluded(
            ended.id,
            provider,
            ended.outcome,
            ended.found.outcomes,
            its.count(),
            ended.slashed,
            ended.rewarded,
            uint96(ended.earned), // Parts of the fee, as is the next.
            uint96(ended.burnt)
        );
        // forge-lint: disable-end(unsafe-typecast)
        if (accused) _tellAccused(provider, its);
        _burn(ended.burnt);
    }

    function _read(address provider, Accusation.State storage its) private view returns (Ended memory ended) {
        ended.id = Findings.accusationId(provider, its.number);
        ended.provider = provider;
        (ended.answerer, ended.fee, ended.answered) = (its.answerer, its.fee, its.answeredAt != 0);
        (ended.strikes, ended.seats) = (its.strikes, its.seats);
        (ended.found.outcomes, ended.found.unproven) = (new Outcome[](its.accusing), new bool[](its.accusing));
        if (!ended.answered) return ended; // Unanswered, as each of its strikes.
        uint16[] memory said = new uint16[](ended.seats.length);
        (bool seated, bool silent) = (false, said.length == 0);
        for (uint256 i; i < said.length; ++i) {
            said[i] = ended.seats[i].opinions;
            if (ended.seats[i].auditor == address(0)) continue;
            seated = true;
            if (!said[i].isWhole(its.accusing)) silent = true;
        }
        ended.found = Strikes.found(said, seated, its.accusing);
        ended.outcome = Strikes.outcome(ended.found.outcomes);
        ended.burnsRest = Strikes.burnsRest(ended.outcome, ended.found.standing, silent);
    }

    /// @dev Out of the fee; the rest is burnt, or goes back.
    function _payReauditors(Ended memory ended) private {
        uint256 share = ended.fee / Strikes.SEATS;
        for (uint256 i; i < ended.seats.length; ++i) {
            (address auditor, uint16 opinions) = (ended.seats[i].auditor, ended.seats[i].opinions);
            if (auditor == address(0)) continue;
            uint256 amount = Strikes.earnedDown(opinions, ended.found.outcomes, share);
            ended.earned += amount;
            if (amount != 0) _credit(auditor, amount);
            uint256 blame = Strikes.blamedDown(opinions, ended.found.outcomes, share, _stakeOf(auditor));
            _penalise(ended.id, auditor, blame);
        }
        uint256 left = ended.fee - ended.earned;
        if (ended.burnsRest) ended.burnt = left;
        else if (left != 0) _credit(ended.answerer, left);
    }

    /// @dev Half of what the market takes in one slash goes to whom it is told, and the rest is burnt: so it takes twice
    /// the rewards for this contract, and all else for nobody.
    function _slashProvider(Ended memory ended) private {
        ended.slashed = Strikes.slashedDown(_stakeOf(ended.provider));
        if (ended.slashed == 0) return;
        // Where nobody answered, each strike ended as the accusation did.
        uint256 upheld = Strikes.count(ended.found.outcomes, ended.outcome);
        for (uint256 i; i < ended.found.outcomes.length; ++i) {
            if (ended.found.outcomes[i] != ended.outcome) continue;
            address auditor = ended.strikes[i].auditor;
            uint96 reward = Strikes.rewardDown(ended.slashed, upheld, ended.strikes[i].staked, _stakeOf(auditor));
            ended.rewarded += reward;
            if (reward != 0) _credit(auditor, reward);
        }
        DUELS.slash(ended.provider, ended.slashed - 2 * ended.rewarded, address(0));
        if (ended.rewarded != 0) {
            DUELS.slash(ended.provider, 2 * ended.rewarded, address(this));
            MARKET.withdraw(address(this));
        }
    }

    /// @dev Those whose strikes are cleared, or unproven. A part of what the former lose makes good what the provider spent,
    /// unless others' are upheld; the rest is burnt.
    function _penaliseStrikers(Ended memory ended) private {
        Outcome[] memory outcomes = ended.found.outcomes;
        uint256 cleared = Strikes.count(outcomes, Outcome.CLEARED);
        uint256 spent = Strikes.count(outcomes, Outcome.UPHELD) == 0 ? ended.earned : 0;
        for (uint256 i; i < outcomes.length; ++i) {
            address auditor = ended.strikes[i].auditor;
            uint96 penalty = Strikes.penaltyDown(_stakeOf(auditor), outcomes[i], ended.found.unproven[i]);
            if (penalty == 0) continue;
            uint96 shared = outcomes[i] == Outcome.CLEARED ? Strikes.sharedDown(penalty, spent, cleared) : 0;

            emit Penalised(ended.id, auditor, penalty);

            if (shared != 0) DUELS.slash(auditor, shared, ended.answerer);
            if (penalty != shared) DUELS.slash(auditor, penalty - shared, address(0));
        }
    }

    function _penalise(AccusationId id, address auditor, uint256 amount) private {
        if (amount == 0) return;
        // forge-lint: disable-next-line(unsafe-typecast)
        uint96 taken = uint96(amount); // A part of its stake.

        emit Penalised(id, auditor, taken);

        DUELS.slash(auditor, taken, address(0));
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _ownerOf(address auditor) private view returns (address owner) {
        (owner,,) = DUELS.judgeOf(auditor);
    }

    function _isAmong(address[] memory list, address one) private pure returns (bool) {
        if (one == address(0)) return false; // An empty seat.
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == one) return true;
        }
        return false;
    }

    function _requireSigned(address whose, bytes32 structHash, bytes calldata signature) private view {
        address signer = _signer(structHash, signature);
        if (!_isKey(whose, signer)) revert NotReceiptKey(whose, signer);
    }

    /// @dev Any key that it ever named: naming another must not undo what was signed.
    function _isKey(address whose, address signer) private view returns (bool) {
        return signer != address(0) && MARKET.isReceiptKey(whose, signer);
    }

    /// @dev Zero for nobody's.
    function _signer(bytes32 structHash, bytes calldata signature) private view returns (address) {
        return Signature.recover(MessageHashUtils.toTypedDataHash(_separator(), structHash), signature);
    }
}
