// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../src/interfaces/IAudits.sol";
import {DuelId, IDuels} from "../src/interfaces/IDuels.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {Hash} from "../src/libraries/Hash.sol";
import {Votes} from "../src/libraries/Votes.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice A market with its duels: two duellists, a payer that challenges them, and a dozen judges of equal stake.
abstract contract DuelFixture is Fixture {
    uint256 internal constant RIVAL_KEY = 0x41AA;
    uint256 internal constant JUDGE_KEYS = 0x7000;
    uint256 internal constant JUDGES = 12;
    uint40 internal constant PERIOD = 1 days;
    uint40 internal constant WINDOW = 4 days;
    uint96 internal constant MINIMUM_FEE = 1_000;
    /// @notice Atoms of each of the two answers.
    uint96 internal constant PRICE = 500_000;
    /// @notice For each of five judges: three of them are paid more than two prices.
    uint96 internal constant SHARE = 400_000;
    uint96 internal constant FEE = 5 * SHARE;
    uint96 internal constant STAKED = 10_000e6;
    bytes32 internal constant BODY = keccak256("body");
    bytes32 internal constant SALT = keccak256("salt");

    address internal immutable rival = vm.addr(RIVAL_KEY);

    IDuels internal duels;
    IAudits internal audits;
    mapping(address judge => uint256) internal keyOf;

    function setUp() public virtual override {
        super.setUp();
        (market, duels) = newDuels(MINIMUM_FEE, PERIOD);
        audits = deployAudits(address(duels), WINDOW);
        separator = Hash.domainSeparator(block.chainid, address(market));
        stake(provider, STAKED);
        stake(rival, STAKED);
        for (uint256 i; i < JUDGES; ++i) {
            enlist(JUDGE_KEYS + i, STAKED);
        }
        vm.roll(block.number + 1);
        fundDuels(payer);
        vm.label(rival, "rival");
        vm.label(address(duels), "duels");
    }

    /// @dev The market names its arbiter before that exists, and that one the audits, which are to be deployed next:
    /// addresses follow from who deploys, and when.
    function newDuels(uint96 minimumFee, uint40 period) internal returns (IMarket market_, IDuels duels_) {
        uint64 nonce = vm.getNonce(address(this));
        (address next, address last) =
            (vm.computeCreateAddress(address(this), nonce + 1), vm.computeCreateAddress(address(this), nonce + 2));
        market_ = newMarketOf(address(asset), next, MINIMUM_STAKE, EXIT_NOTICE, CLOSE_NOTICE, UNSTAKE_NOTICE);
        duels_ = deployDuels(address(market_), last, minimumFee, period);
    }

    function deployDuels(address market_, address audits_, uint96 minimumFee, uint40 period) internal returns (IDuels) {
        bytes memory arguments = abi.encode(market_, audits_, minimumFee, period);
        return IDuels(deploy(abi.encodePacked(vm.getCode("out/Duels.sol/Duels.json"), arguments)));
    }

    function deployAudits(address duels_, uint40 window) internal returns (IAudits) {
        bytes memory arguments = abi.encode(duels_, window);
        return IAudits(deploy(abi.encodePacked(vm.getCode("out/Audits.sol/Audits.json"), arguments)));
    }

    function enlist(uint256 key, uint96 amount) internal returns (address judge) {
        judge = vm.addr(key);
        keyOf[judge] = key;
        stake(judge, amount);
        vm.prank(judge);
        duels.enlist(judge);
    }

    function fundDuels(address challenger) internal {
        asset.mint(challenger, 1_000e6);
        vm.prank(challenger);
        asset.approve(address(duels), type(uint256).max);
    }

    /// @notice Opened, and its judges known.
    function openDuel(IDuels.Case memory shown) internal returns (DuelId id) {
        return openDuel(shown, 5, FEE);
    }

    function openDuel(IDuels.Case memory shown, uint8 seats, uint96 fee) internal returns (DuelId id) {
        id = openBy(payer, shown, seats, fee);
        mine(3);
    }

    function openBy(address challenger, IDuels.Case memory shown, uint8 seats, uint96 fee) internal returns (DuelId) {
        bytes32 commitment = commitmentOf(shown);
        vm.prank(challenger);
        return duels.open(commitment, seats, fee);
    }

    function mine(uint256 blocks) internal {
        (bool done, bytes memory number) = address(this).call(abi.encodeCall(this.blockNumber, ()));
        require(done);
        vm.roll(abi.decode(number, (uint256)) + blocks);
    }

    /// @dev Asked in a call of its own: the compiler takes it for one number throughout a call.
    function blockNumber() external view returns (uint256) {
        return block.number;
    }

    function decide(DuelId id, IDuels.Case memory shown, IDuels.Vote[] memory votes) internal {
        duels.decide(id, shown, IDuels.Choice.NONE, SALT, votes);
    }

    /// @notice A duel that `choices` decide at once, in the panel's order.
    function decided(IDuels.Case memory shown, IDuels.Choice[] memory choices)
        internal
        returns (DuelId id, address[] memory judges)
    {
        id = openDuel(shown);
        judges = panel(id);
        decideBy(id, shown, judges, choices);
    }

    /// @notice On chain, up to the counting: those that do not stay silent commit, and reveal.
    function summonAll(DuelId id, IDuels.Case memory shown, address[] memory judges, IDuels.Choice[] memory choices)
        internal
    {
        duels.summon(id, shown, commitmentsOf(id, shown, judges, choices));
        vm.warp(now_() + PERIOD);
        duels.reveal(id, subjectOf(shown), revealsOf(judges, choices));
        vm.warp(now_() + PERIOD);
    }

    /// @notice Decided by `choices`: at once where all speak, else on chain.
    function decideBy(DuelId id, IDuels.Case memory shown, address[] memory judges, IDuels.Choice[] memory choices)
        internal
    {
        bool spoken = true;
        for (uint256 i; i < choices.length; ++i) {
            if (judges[i] != address(0) && !isChoice(choices[i])) spoken = false;
        }
        if (spoken) return decide(id, shown, votesOf(id, shown, judges, choices));
        summonAll(id, shown, judges, choices);
        decide(id, shown, new IDuels.Vote[](0));
    }

    /// @dev As {blockNumber}.
    function time() external view returns (uint256) {
        return block.timestamp;
    }

    function now_() internal returns (uint256) {
        (bool done, bytes memory said) = address(this).call(abi.encodeCall(this.time, ()));
        require(done);
        return abi.decode(said, (uint256));
    }

    // ------------------------------------------------------------------------------------------------ messages

    function answerOf(address whose, uint256 key, uint64 sequence) internal view returns (IDuels.Answer memory answer) {
        IMarket.Receipt memory receipt = receiptOf(sequence);
        receipt.channelId = Hash.channelId(payer, whose, sessionKey, 0);
        receipt.offerHash = keccak256(abi.encode("offer", whose));
        receipt.requestHash = keccak256(abi.encode(receipt.offerHash, BODY));
        receipt.responseHash = keccak256(abi.encode("response", whose, sequence));
        receipt.cost = PRICE;
        receipt.cumulativeCost = PRICE;
        return IDuels.Answer(whose, sessionKey, 0, receipt, sign(key, receipt));
    }

    /// @notice The duel of the two receipts with `sequence`, which hides nothing.
    function caseOf(uint64 sequence) internal view returns (IDuels.Case memory) {
        return IDuels.Case(
            answerOf(provider, PROVIDER_KEY, sequence),
            answerOf(rival, RIVAL_KEY, sequence),
            BODY,
            Votes.hidden(IDuels.Choice.NONE, SALT)
        );
    }

    function commitmentOf(IDuels.Case memory shown) internal view returns (bytes32) {
        return Votes.duelCommitment(
            lens.hashReceipt(shown.first.receipt), lens.hashReceipt(shown.second.receipt), shown.hidden
        );
    }

    function panel(DuelId id) internal view returns (address[] memory) {
        return duels.panelOf(id, provider, rival);
    }

    function subjectOf(IDuels.Case memory shown) internal pure returns (IDuels.Subject memory) {
        return IDuels.Subject(shown.bodyHash, shown.first.receipt.responseHash, shown.second.receipt.responseHash);
    }

    function saltOf(address judge) internal pure returns (bytes32) {
        return keccak256(abi.encode("salt", judge));
    }

    function ballotHash(DuelId id, IDuels.Case memory shown, address judge, IDuels.Choice choice)
        internal
        pure
        returns (bytes32)
    {
        IDuels.Subject memory s = subjectOf(shown);
        return Votes.ballot(
            IDuels.Ballot(id, judge, s.bodyHash, s.firstResponseHash, s.secondResponseHash, choice, saltOf(judge))
        );
    }

    function voteOf(DuelId id, IDuels.Case memory shown, address judge, IDuels.Choice choice)
        internal
        view
        returns (IDuels.Vote memory)
    {
        bytes memory signature = commitmentSignature(id, judge, ballotHash(id, shown, judge, choice));
        return IDuels.Vote(choice, saltOf(judge), signature);
    }

    function votesOf(DuelId id, IDuels.Case memory shown, address[] memory judges, IDuels.Choice[] memory choices)
        internal
        view
        returns (IDuels.Vote[] memory votes)
    {
        votes = new IDuels.Vote[](judges.length);
        for (uint256 i; i < judges.length; ++i) {
            if (judges[i] != address(0)) votes[i] = voteOf(id, shown, judges[i], choices[i]);
        }
    }

    function commitmentSignature(DuelId id, address judge, bytes32 hash) internal view returns (bytes memory) {
        return sign(keyOf[judge], Votes.commitment(IDuels.VoteCommitment(id, judge, hash)));
    }

    function commitmentOf(DuelId id, IDuels.Case memory shown, address judge, IDuels.Choice choice)
        internal
        view
        returns (IDuels.Commitment memory)
    {
        bytes32 hash = choice == IDuels.Choice.DECLINED ? bytes32(0) : ballotHash(id, shown, judge, choice);
        return IDuels.Commitment(judge, hash, commitmentSignature(id, judge, hash));
    }

    /// @notice Of the judges that do not stay silent.
    function commitmentsOf(DuelId id, IDuels.Case memory shown, address[] memory judges, IDuels.Choice[] memory choices)
        internal
        view
        returns (IDuels.Commitment[] memory list)
    {
        uint256 count;
        for (uint256 i; i < judges.length; ++i) {
            if (judges[i] != address(0) && choices[i] != IDuels.Choice.NONE) ++count;
        }
        list = new IDuels.Commitment[](count);
        for (uint256 i = judges.length; i != 0; --i) {
            if (judges[i - 1] == address(0) || choices[i - 1] == IDuels.Choice.NONE) continue;
            list[--count] = commitmentOf(id, shown, judges[i - 1], choices[i - 1]);
        }
    }

    function revealOf(address judge, IDuels.Choice choice) internal pure returns (IDuels.Reveal memory) {
        return IDuels.Reveal(judge, choice, saltOf(judge));
    }

    /// @notice Of those that chose, and did not decline.
    function revealsOf(address[] memory judges, IDuels.Choice[] memory choices)
        internal
        pure
        returns (IDuels.Reveal[] memory list)
    {
        uint256 count;
        for (uint256 i; i < judges.length; ++i) {
            if (judges[i] != address(0) && isChoice(choices[i])) ++count;
        }
        list = new IDuels.Reveal[](count);
        for (uint256 i = judges.length; i != 0; --i) {
            if (judges[i - 1] == address(0) || !isChoice(choices[i - 1])) continue;
            list[--count] = revealOf(judges[i - 1], choices[i - 1]);
        }
    }

    function rulingOf(DuelId id, address[] memory judges, IDuels.Choice[] memory choices)
        internal
        view
        returns (IDuels.Ruling memory)
    {
        return IDuels.Ruling(id, provider, rival, PRICE, IDuels.Choice.NONE, judges, choices);
    }

    // ------------------------------------------------------------------------------------------------ choices

    function isChoice(IDuels.Choice choice) internal pure returns (bool) {
        return choice != IDuels.Choice.NONE && choice != IDuels.Choice.DECLINED;
    }

    /// @notice A panel's choices by their letters: `F`irst, `S`econd, `T`ie, `D`eclined, `.` silent.
    function choicesOf(string memory letters) internal pure returns (IDuels.Choice[] memory choices) {
        bytes memory list = bytes(letters);
        choices = new IDuels.Choice[](list.length);
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == "F") choices[i] = IDuels.Choice.FIRST;
            if (list[i] == "S") choices[i] = IDuels.Choice.SECOND;
            if (list[i] == "T") choices[i] = IDuels.Choice.TIE;
            if (list[i] == "D") choices[i] = IDuels.Choice.DECLINED;
        }
    }

    // ------------------------------------------------------------------------------------------------ reading

    function statusOf(DuelId id) internal view returns (IDuels.Status status) {
        (status,,,,,) = duels.duelOf(id);
    }

    function assertStatus(DuelId id, IDuels.Status expected) internal view {
        vm.assertEq(uint256(statusOf(id)), uint256(expected), "status");
    }

    function stakeOf(address whose) internal view returns (uint256) {
        (uint96 staked, uint96 exiting,,) = market.stakeOf(whose);
        return uint256(staked) + exiting;
    }

    /// @notice Of a judge that has just asked stake back: that it weighs no more than what is left.
    function weighsWhatIsLeft(address judge) internal view returns (bool) {
        (, uint96 weight,) = duels.judgeOf(judge);
        (uint96 staked,,,) = market.stakeOf(judge);
        return weight <= staked && (weight == 0 || staked >= MINIMUM_STAKE);
    }

    /// @notice Of any judge at any time.
    function weighsHardlyMore(address judge) internal view returns (bool) {
        (, uint96 weight,) = duels.judgeOf(judge);
        (uint96 staked,,,) = market.stakeOf(judge);
        return weight - weight / 100 <= staked;
    }

    /// @notice The judge names another key, which signs for it from now on.
    function rotate(address judge) internal {
        uint256 key = uint256(keccak256(abi.encode("key", judge, keyOf[judge])));
        keyOf[judge] = key;
        vm.prank(judge);
        market.setReceiptKey(vm.addr(key));
    }

    /// @notice Atoms in every form that they can have.
    function wealthOf(address whose) internal view returns (uint256) {
        return asset.balanceOf(whose) + stakeOf(whose) + duels.balanceOf(whose) + market.balanceOf(whose);
    }

    function one(IDuels.Commitment memory commitment) internal pure returns (IDuels.Commitment[] memory list) {
        list = new IDuels.Commitment[](1);
        list[0] = commitment;
    }

    function one(IDuels.Reveal memory reveal) internal pure returns (IDuels.Reveal[] memory list) {
        list = new IDuels.Reveal[](1);
        list[0] = reveal;
    }

    function one(IDuels.Ruling memory ruling) internal pure returns (IDuels.Ruling[] memory list) {
        list = new IDuels.Ruling[](1);
        list[0] = ruling;
    }
}
