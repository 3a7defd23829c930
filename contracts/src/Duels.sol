// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ChannelId} from "./interfaces/IMarket.sol";
import {DuelId, IDuels} from "./interfaces/IDuels.sol";
import {Duel} from "./libraries/Duel.sol";
import {Hash} from "./libraries/Hash.sol";
import {Signature} from "./libraries/Signature.sol";
import {Verdict} from "./libraries/Verdict.sol";
import {Votes} from "./libraries/Votes.sol";
import {DuelsState} from "./DuelsState.sol";

/// @title Duels
/// @notice The arbiter of one market. It checks who asks and what was signed, asks the concept's library, emits, and pays.
/// @dev Of the asset it assumes what the market does. It writes its state before it calls the asset, and calls the
/// market, which for that calls nobody but the asset, so that there is nothing for a re-entrancy guard to guard.
contract Duels is DuelsState {
    using Duel for Duel.State;

    uint8 private constant FEWEST_SEATS = 3;
    uint8 private constant MOST_SEATS = 5;

    constructor(address market_, address audits_, uint96 minimumFee_, uint40 period_)
        DuelsState(market_, audits_, minimumFee_, period_)
    {}

    // ------------------------------------------------------------------------------------------------ open

    /// @inheritdoc IDuels
    function open(bytes32 commitment, uint8 seats, uint96 fee) external returns (DuelId id) {
        if (seats != FEWEST_SEATS && seats != MOST_SEATS) revert SeatsNotAllowed(seats);
        _requireFee(uint256(seats) * MINIMUM_FEE, fee);
        id = Votes.duelId(msg.sender, commitment);

        _open(id, seats, fee);
        _take(fee);
    }

    /// @inheritdoc IDuels
    function appeal(Ruling calldata ruling, uint96 fee) external returns (DuelId id) {
        Duel.State storage its = _duels[ruling.duel];
        its.requireStatus(Status.APPEALABLE, PERIOD, _now());
        _requireRuling(its, ruling);
        if (msg.sender != its.challenger && msg.sender != ruling.first && msg.sender != ruling.second) {
            revert NotAParty(msg.sender);
        }
        uint8 seats = 2 * its.seats + 1;
        _requireFee(uint256(seats) * (its.fee / its.seats), fee);
        id = Votes.appealId(ruling.duel);

        its.appealed = true;
        _duels[id].root = ruling.duel;
        _open(id, seats, fee);
        emit Appealed(ruling.duel, id, msg.sender);
        _take(fee);
    }

    /// @inheritdoc IDuels
    function seal(DuelId id) external {
        Duel.State storage its = _duels[id];

        its.seed = its.requireSeed(id);

        emit Sealed(id, its.seed);
    }

    function _open(DuelId id, uint8 seats, uint96 fee) private {
        Duel.State storage its = _duels[id];
        if (its.openedAt != 0) revert AlreadyOpened(id);
        (its.challenger, its.fee, its.seats) = (msg.sender, fee, seats);
        (its.openedBlock, its.openedAt) = (_block(), _now());

        emit Opened(id, msg.sender, fee, seats, its.drawBlock(), its.openedAt + PERIOD);
    }

    function _requireFee(uint256 required, uint96 fee) private pure {
        if (fee < required) revert FeeTooSmall(required, fee);
    }

    function _requireRuling(Duel.State storage its, Ruling memory ruling) private view {
        bytes32 hash = keccak256(abi.encode(ruling));
        if (hash != its.ruling) revert WrongRuling(its.ruling, hash);
    }

    // ------------------------------------------------------------------------------------------------ decide

    /// @inheritdoc IDuels
    function decide(DuelId id, Case calldata shown, Choice known, bytes32 salt, Vote[] calldata votes) external {
        Duel.State storage its = _duels[id];
        if (DuelId.unwrap(its.root) != 0) revert IsAppeal(its.root);
        // Whoever counts in the challenger's stead cannot know it; then it does not count.
        if (known != Choice.NONE || votes.length != 0) {
            bytes32 hidden = Votes.hidden(known, salt);
            if (hidden != shown.hidden) revert WrongHidden(shown.hidden, hidden);
        }

        Ruling memory ruling = _rule(id, id, shown, votes);
        ruling.known = known;
        if (Verdict.isShared(ruling.choices, ruling.judges)) {
            _tell(ruling, shown, 0);
            _end(ruling, _none());
        } else {
            its.decidedAt = _now();
            its.ruling = keccak256(abi.encode(ruling));
            _tell(ruling, shown, its.decidedAt + PERIOD);
        }
    }

    /// @inheritdoc IDuels
    function decideAppeal(Case calldata shown, Vote[] calldata votes, Ruling calldata before) external {
        _requireRuling(_duels[before.duel], before);

        Ruling memory ruling = _rule(Votes.appealId(before.duel), before.duel, shown, votes);
        _tell(ruling, shown, 0);
        _end(before, ruling);
    }

    /// @inheritdoc IDuels
    function settle(Ruling[] calldata rulings) external {
        for (uint256 i; i < rulings.length; ++i) {
            Duel.State storage its = _duels[rulings[i].duel];
            if (its.status(PERIOD, _now()) != Status.SETTLEABLE) continue;
            _requireRuling(its, rulings[i]);
            _end(rulings[i], _none());
        }
    }

    /// @inheritdoc IDuels
    function expire(DuelId id) external {
        id = _rootOf(id);
        Duel.State storage root = _duels[id];
        if (root.appealed) {
            root.appealed = false;
            id = Votes.appealId(id);
        }
        Duel.State storage its = _duels[id];
        its.requireStatus(Status.LAPSED, PERIOD, _now());
        its.ended = true;

        emit Lapsed(id, its.fee);

        _burn(its.fee);
    }

    /// @dev What the panel of `id`, which is `root` or its appeal, says on the case: by the votes of all while none of them
    /// is revealed on chain, whoever summoned them, or else by what was.
    function _rule(DuelId id, DuelId root, Case calldata shown, Vote[] calldata votes)
        private
        returns (Ruling memory ruling)
    {
        Status status = _duels[id].status(PERIOD, _now());
        bool byVotes = votes.length != 0;
        // Once judges reveal, whoever has not committed could say what most say.
        if (byVotes ? status != Status.OPEN && status != Status.COMMITTING : status != Status.COUNTING) {
            revert WrongStatus(byVotes ? Status.OPEN : Status.COUNTING, status);
        }
        _prove(root, shown);
        ruling.duel = id;
        (ruling.first, ruling.second) = (shown.first.provider, shown.second.provider);
        ruling.price = _dearer(shown.first.receipt.cost, shown.second.receipt.cost);
        ruling.judges = _panel(id, ruling.first, ruling.second);
        ruling.choices = byVotes ? _cast(id, shown, ruling.judges, votes) : _revealed(id, ruling.judges);
    }

    function _tell(Ruling memory ruling, Case calldata shown, uint40 appealBy) private {
        emit Decided(
            ruling.duel,
            Verdict.said(ruling.choices),
            appealBy,
            Hash.receipt(shown.first.receipt),
            Hash.receipt(shown.second.receipt),
            ruling
        );
    }

    function _dearer(uint128 one, uint128 other) private pure returns (uint96) {
        uint128 cost = one < other ? other : one;
        // forge-lint: disable-next-line(unsafe-typecast)
        return cost > type(uint96).max ? type(uint96).max : uint96(cost); // No prize is as large as either.
    }

    /// @dev Who committed to another ballot on chain than the one that is shown has signed two, and said nothing: were it
    /// free to, it could read the others' votes on their way here, and take its own out of them.
    function _cast(DuelId id, Case calldata shown, address[] memory judges, Vote[] calldata votes)
        private
        view
        returns (Choice[] memory choices)
    {
        if (votes.length != judges.length) revert VotesMismatch(judges.length, votes.length);
        Subject memory subject = _subjectOf(shown);
        choices = new Choice[](judges.length);
        for (uint256 i; i < judges.length; ++i) {
            if (judges[i] == address(0)) continue;
            bytes32 ballotHash = _ballotHash(id, judges[i], subject, votes[i].choice, votes[i].salt);
            address signer = _signer(Votes.commitment(VoteCommitment(id, judges[i], ballotHash)), votes[i].signature);
            _requireKey(judges[i], signer);
            bytes32 held = _seats[id][judges[i]].ballotHash;
            if (held == 0 || held == ballotHash) choices[i] = votes[i].choice;
        }
    }

    function _revealed(DuelId id, address[] memory judges) private view returns (Choice[] memory choices) {
        choices = new Choice[](judges.length);
        for (uint256 i; i < judges.length; ++i) {
            choices[i] = _seats[id][judges[i]].choice;
        }
    }

    // ------------------------------------------------------------------------------------------------ summon

    /// @inheritdoc IDuels
    function summon(DuelId id, Case calldata shown, Commitment[] calldata commitments) external {
        Duel.State storage its = _duels[id];
        its.requireStatus(Status.OPEN, PERIOD, _now());
        _prove(_rootOf(id), shown);
        address[] memory judges = _panel(id, shown.first.provider, shown.second.provider);

        its.summonedAt = _now();
        its.seed = its.requireSeed(id);
        its.subject = keccak256(abi.encode(_subjectOf(shown)));
        for (uint256 i; i < judges.length; ++i) {
            if (judges[i] != address(0)) _seats[id][judges[i]].drawn = true;
        }
        emit Summoned(id, judges, its.summonedAt + PERIOD);
        _commit(id, commitments);
    }

    /// @inheritdoc IDuels
    function commit(DuelId id, Commitment[] calldata commitments) external {
        _duels[id].requireStatus(Status.COMMITTING, PERIOD, _now());
        _commit(id, commitments);
    }

    /// @inheritdoc IDuels
    function reveal(DuelId id, Subject calldata subject, Reveal[] calldata reveals) external {
        Duel.State storage its = _duels[id];
        its.requireStatus(Status.REVEALING, PERIOD, _now());
        bytes32 hash = keccak256(abi.encode(subject));
        if (hash != its.subject) revert WrongSubject(its.subject, hash);
        for (uint256 i; i < reveals.length; ++i) {
            (address judge, Choice choice) = (reveals[i].judge, reveals[i].choice);
            Seat storage seat = _seats[id][judge];
            bytes32 ballotHash = _ballotHash(id, judge, subject, choice, reveals[i].salt);
            if (ballotHash != seat.ballotHash) revert WrongBallot(seat.ballotHash, ballotHash);

            seat.choice = choice;

            emit Revealed(id, judge, choice);
        }
    }

    /// @dev The first word of a judge stands; a later one is passed over, and one that it did not sign, so that none can
    /// make a batch fail.
    function _commit(DuelId id, Commitment[] calldata commitments) private {
        for (uint256 i; i < commitments.length; ++i) {
            (address judge, bytes32 ballotHash) = (commitments[i].judge, commitments[i].ballotHash);
            Seat storage seat = _seats[id][judge];
            if (!seat.drawn) revert NotDrawn(judge);
            if (seat.choice != Choice.NONE || seat.ballotHash != 0) continue;
            bytes32 structHash = Votes.commitment(VoteCommitment(id, judge, ballotHash));
            if (!_isKey(judge, _signer(structHash, commitments[i].signature))) continue;

            if (ballotHash == 0) seat.choice = Choice.DECLINED;
            else seat.ballotHash = ballotHash;

            emit Committed(id, judge, ballotHash);
        }
    }

    function _ballotHash(DuelId id, address judge, Subject memory subject, Choice choice, bytes32 salt)
        private
        pure
        returns (bytes32)
    {
        if (choice == Choice.NONE || choice == Choice.DECLINED) revert NotAChoice(choice);
        return Votes.ballot(
            Ballot(id, judge, subject.bodyHash, subject.firstResponseHash, subject.secondResponseHash, choice, salt)
        );
    }

    function _requireKey(address provider, address signer) private view {
        if (!_isKey(provider, signer)) revert NotReceiptKey(provider, signer);
    }

    /// @dev Any key that it ever named: naming another must not undo what was signed.
    function _isKey(address provider, address signer) private view returns (bool) {
        return signer != address(0) && MARKET.isReceiptKey(provider, signer);
    }

    /// @dev Zero for nobody's.
    function _signer(bytes32 structHash, bytes calldata signature) private view returns (address) {
        return Signature.recover(MessageHashUtils.toTypedDataHash(_separator(), structHash), signature);
    }

    // ------------------------------------------------------------------------------------------------ the case

    function _subjectOf(Case calldata shown) private pure returns (Subject memory) {
        return Subject(shown.bodyHash, shown.first.receipt.responseHash, shown.second.receipt.responseHash);
    }

    /// @dev That the case is what `root` commits to: receipts of one request by two providers, both signed, both on
    /// channels of the challenger, and neither ever shown in another duel.
    function _prove(DuelId root, Case calldata shown) private {
        (bytes32 first, bytes32 second) = (Hash.receipt(shown.first.receipt), Hash.receipt(shown.second.receipt));
        address challenger = _duels[root].challenger;
        DuelId id = Votes.duelId(challenger, Votes.duelCommitment(first, second, shown.hidden));
        if (DuelId.unwrap(id) != DuelId.unwrap(root)) revert WrongCase(root, id);
        if (shown.first.provider == shown.second.provider) revert OneProvider(shown.first.provider);

        _proveAnswer(challenger, shown.bodyHash, shown.first, first);
        _proveAnswer(challenger, shown.bodyHash, shown.second, second);
        _use(first, root);
        _use(second, root);
    }

    function _proveAnswer(address challenger, bytes32 bodyHash, Answer calldata answer, bytes32 receiptHash)
        private
        view
    {
        bytes32 channel = ChannelId.unwrap(Hash.channelId(challenger, answer.provider, answer.sessionKey, answer.epoch));
        bytes32 actual = ChannelId.unwrap(answer.receipt.channelId);
        if (actual != channel) revert WrongChannel(channel, actual);
        bytes32 request = keccak256(abi.encode(answer.receipt.offerHash, bodyHash));
        if (answer.receipt.requestHash != request) revert WrongRequest(request, answer.receipt.requestHash);
        _requireKey(answer.provider, _signer(receiptHash, answer.signature));
    }

    function _use(bytes32 receiptHash, DuelId root) private {
        DuelId before = _used[receiptHash];
        if (DuelId.unwrap(before) == 0) _used[receiptHash] = root;
        else if (DuelId.unwrap(before) != DuelId.unwrap(root)) revert ReceiptUsed(receiptHash, before);
    }

    // ------------------------------------------------------------------------------------------------ money

    /// @inheritdoc IDuels
    function slash(address provider, uint96 amount, address recipient) external {
        if (msg.sender != AUDITS) revert OnlyAudits(AUDITS, msg.sender);
        _slash(provider, amount, recipient);
    }

    function _slash(address provider, uint96 amount, address recipient) private {
        MARKET.slash(provider, amount, recipient);
        _lighten(provider);
    }

    /// @dev What both panels of a duel come to. All sums are of atoms that exist.
    struct Sum {
        Choice verdict;
        bool agreed;
        uint256 earning;
        uint256 bonus;
        uint256 burnt;
        bool overturned;
    }

    function _none() private pure returns (Ruling memory) {}

    /// @dev Moves the money of the duel of `first`, and of its appeal's ruling `last` where there was one. Each panel is
    /// paid by who wanted it, for what it said of the one verdict in the end.
    function _end(Ruling memory first, Ruling memory last) private {
        bool appealed = last.judges.length != 0;
        Sum memory sum;
        Choice[] memory choices = appealed ? last.choices : first.choices;
        (sum.verdict, sum.agreed) = (Verdict.said(choices), Verdict.isMajority(choices));
        sum.overturned = appealed && Verdict.said(first.choices) != sum.verdict;
        sum.earning = _earning(first, sum.verdict) + _earning(last, sum.verdict);
        _duels[first.duel].ended = true;
        Ruling memory upheld = sum.overturned ? last : first;
        (uint96 prize, uint96 toWinner) = _award(sum, upheld);

        _payPanel(sum, first, _duels[upheld.duel].challenger);
        if (appealed) {
            _duels[last.duel].ended = true;
            _payPanel(sum, last, _duels[last.duel].challenger);
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        emit Ended(first.duel, first.first, first.second, sum.verdict, prize, toWinner, uint96(sum.burnt));

        _burn(sum.burnt);
    }

    /// @dev How many of a panel said what the verdict says, where that moves money.
    function _earning(Ruling memory ruling, Choice verdict) private pure returns (uint256 count) {
        for (uint256 i; i < ruling.choices.length; ++i) {
            if (ruling.choices[i] == verdict) ++count;
        }
    }

    /// @dev The loser's part of it. `ruling`: of the panel that said first what is the verdict in the end; who wanted it
    /// paid its judges at least the prize.
    function _award(Sum memory sum, Ruling memory ruling) private returns (uint96 prize, uint96 toWinner) {
        if (sum.verdict == Choice.TIE) return (0, 0);
        Duel.State storage its = _duels[ruling.duel];
        uint256 paid = its.fee / its.seats * _earning(ruling, sum.verdict);
        (address loser, address winner) =
            sum.verdict == Choice.FIRST ? (ruling.second, ruling.first) : (ruling.first, ruling.second);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint96 most = uint96(Verdict.prize(ruling.price, paid)); // Not more than the fee.
        uint96 toJudges;
        (toWinner, toJudges) = MARKET.award(loser, winner, most);
        _lighten(loser);
        sum.bonus = toJudges / sum.earning;
        sum.burnt = toJudges - sum.bonus * sum.earning;
        prize = toWinner + toJudges;
    }

    /// @dev Pays one panel out of its fee, and the rest of that to `rest`; but what declining judges would have got is
    /// burnt: nobody gains by a case that is not delivered.
    function _payPanel(Sum memory sum, Ruling memory ruling, address rest) private {
        Duel.State storage its = _duels[ruling.duel];
        uint256 share = its.fee / its.seats;
        uint256 left = its.fee;
        for (uint256 i; i < ruling.judges.length; ++i) {
            (address judge, Choice choice) = (ruling.judges[i], ruling.choices[i]);
            if (choice == Choice.DECLINED) {
                left -= share;
                sum.burnt += share;
                continue;
            }
            uint256 earned = Verdict.earnedDown(choice, sum.verdict, sum.agreed, ruling.known, share);
            if (earned != 0) {
                left -= earned;
                _credit(judge, earned + sum.bonus);
            } else if (judge != address(0)) {
                _penalise(sum, ruling, judge, choice, share);
            }
        }
        if (left != 0) _credit(rest, left);
    }

    function _penalise(Sum memory sum, Ruling memory ruling, address judge, Choice choice, uint256 share) private {
        (uint96 staked, uint96 exiting,,) = MARKET.stakeOf(judge);
        uint256 atStake = uint256(staked) + exiting;
        // forge-lint: disable-next-line(unsafe-typecast)
        uint96 amount = uint96(Verdict.penaltyDown(choice, sum.verdict, sum.agreed, ruling.known, share, atStake));
        if (amount == 0) return;

        emit Penalised(ruling.duel, judge, amount);

        _slash(judge, amount, address(0));
    }
}
