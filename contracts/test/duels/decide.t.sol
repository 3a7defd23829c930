// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {ChannelId} from "../../src/interfaces/IMarket.sol";
import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {bound, vm} from "../Vm.sol";

contract Decide_Test is DuelFixture {
    /// @dev What is left of two prices for the winner, and for the judges.
    uint96 private constant PRIZE = 2 * PRICE;
    uint96 private constant BONUS = PRIZE / 8;

    function refuse(IDuels.Case memory shown, DuelId id, bytes memory err) private {
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFFF"));
        vm.expectRevert(err);
        decide(id, shown, votes);
    }

    // ------------------------------------------------------------------------------------------------ the case

    function test_RevertWhen_NobodyOpenedIt() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = duels.duelIdOf(payer, commitmentOf(shown));
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.OPEN, IDuels.Status.NONE));
        decide(id, shown, new IDuels.Vote[](5));
    }

    function test_RevertWhen_TheCaseIsNotWhatTheDuelCommitsTo() external {
        DuelId id = openDuel(caseOf(0));
        DuelId other = duels.duelIdOf(payer, commitmentOf(caseOf(1)));
        refuse(caseOf(1), id, abi.encodeWithSelector(IDuels.WrongCase.selector, id, other));
    }

    /// @dev Copying the commitment of another's duel gains nothing: the receipts are of that one's channels.
    function test_RevertWhen_TheChallengerIsNotThePayer() external {
        IDuels.Case memory shown = caseOf(0);
        fundDuels(stranger);
        DuelId id = openBy(stranger, shown, 5, FEE);
        mine(3);
        bytes32 channel = ChannelId.unwrap(Hash.channelId(stranger, provider, sessionKey, 0));
        bytes32 actual = ChannelId.unwrap(shown.first.receipt.channelId);
        refuse(shown, id, abi.encodeWithSelector(IDuels.WrongChannel.selector, channel, actual));
    }

    function test_RevertWhen_AReceiptIsNotTheProvidersOwn() external {
        IDuels.Case memory shown = caseOf(0);
        shown.second.signature = sign(STRANGER_KEY, shown.second.receipt);
        DuelId id = openDuel(shown);
        refuse(shown, id, abi.encodeWithSelector(IDuels.NotReceiptKey.selector, rival, stranger));
    }

    function test_RevertWhen_TheRequestsDiffer() external {
        IDuels.Case memory shown = caseOf(0);
        bytes32 right = shown.second.receipt.requestHash;
        shown.second.receipt.requestHash = keccak256("another request");
        shown.second.signature = sign(RIVAL_KEY, shown.second.receipt);
        DuelId id = openDuel(shown);
        bytes32 wrong = shown.second.receipt.requestHash;
        refuse(shown, id, abi.encodeWithSelector(IDuels.WrongRequest.selector, right, wrong));
    }

    function test_RevertWhen_BothAreOneProviders() external {
        IDuels.Case memory shown = caseOf(0);
        shown.second = answerOf(provider, PROVIDER_KEY, 1);
        DuelId id = openDuel(shown);
        refuse(shown, id, abi.encodeWithSelector(IDuels.OneProvider.selector, provider));
    }

    function test_RevertWhen_TheVerdictThatItHidesIsAnother() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFFF"));
        bytes32 wrong = Votes.hidden(IDuels.Choice.FIRST, SALT);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongHidden.selector, shown.hidden, wrong));
        duels.decide(id, shown, IDuels.Choice.FIRST, SALT, votes);
    }

    // ------------------------------------------------------------------------------------------------ votes

    function test_RevertWhen_AVoteIsMissing() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        vm.expectRevert(abi.encodeWithSelector(IDuels.VotesMismatch.selector, 5, 4));
        decide(id, shown, new IDuels.Vote[](4));
    }

    function test_RevertWhen_AVoteIsNotItsJudges() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("FFFFF"));
        bytes32 hash = Votes.commitment(
            IDuels.VoteCommitment(id, judges[2], ballotHash(id, shown, judges[2], IDuels.Choice.FIRST))
        );
        votes[2].signature = sign(STRANGER_KEY, hash);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotReceiptKey.selector, judges[2], stranger));
        decide(id, shown, votes);
    }

    /// @dev The signature is right and over another ballot than the one that is shown: it recovers to nobody known.
    function test_RevertWhen_AVoteIsNotWhatItsJudgeCommittedTo() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFFF"));
        votes[4].choice = IDuels.Choice.SECOND;
        vm.expectPartialRevert(IDuels.NotReceiptKey.selector);
        decide(id, shown, votes);
    }

    function test_RevertWhen_AVoteIsNone() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFF."));
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotAChoice.selector, IDuels.Choice.NONE));
        decide(id, shown, votes);
    }

    /// @dev Naming another key once all have signed holds nothing up; and the new one signs as well.
    function test_TakesAnyKeyThatAJudgeEverNamed() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        rotate(judges[1]);
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("FFFFF"));
        rotate(judges[0]);
        rotate(judges[1]);
        decide(id, shown, votes);
        assertStatus(id, IDuels.Status.ENDED);
    }

    // ------------------------------------------------------------------------------------------------ time

    function test_RevertWhen_TheJudgesAreNotKnownYet() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openBy(payer, shown, 5, FEE);
        (,,,, uint48 drawBlock,) = duels.duelOf(id);
        vm.assertEq(drawBlock, block.number + 2);
        mine(2);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NoSeed.selector, drawBlock, drawBlock));
        decide(id, shown, new IDuels.Vote[](5));
    }

    function test_RevertWhen_ThePeriodIsOver() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFFF"));
        vm.warp(START + PERIOD);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.OPEN, IDuels.Status.LAPSED));
        decide(id, shown, votes);
    }

    function test_RevertWhen_ItIsDecidedAlready() external {
        IDuels.Case memory shown = caseOf(0);
        (DuelId id, address[] memory judges) = decided(shown, choicesOf("FFFFF"));
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("FFFFF"));
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.OPEN, IDuels.Status.ENDED));
        decide(id, shown, votes);
    }

    // ------------------------------------------------------------------------------------------------ decided

    function test_AVerdictOfAllMovesItsMoneyAtOnce() external {
        IDuels.Case memory shown = caseOf(0);
        uint256 before = asset.balanceOf(payer);
        (DuelId id, address[] memory judges) = decided(shown, choicesOf("FFFFF"));
        assertStatus(id, IDuels.Status.ENDED);
        vm.assertEq(stakeOf(rival), STAKED - PRIZE, "the loser's stake");
        vm.assertEq(stakeOf(provider), STAKED + PRIZE - BONUS, "the winner's stake");
        for (uint256 i; i < 5; ++i) {
            vm.assertEq(duels.balanceOf(judges[i]), SHARE + BONUS / 5, "a judge");
        }
        vm.assertEq(asset.balanceOf(payer), before - FEE, "the challenger");
        vm.assertEq(duels.balanceOf(payer), 0, "nothing was left of the fee");
        vm.assertEq(asset.balanceOf(BURNT), 0, "nothing is burnt between them");
        vm.assertEq(asset.balanceOf(address(duels)), FEE + BONUS);
    }

    function test_ATieOfAllPaysTheJudgesAndMovesNothingElse() external {
        (, address[] memory judges) = decided(caseOf(0), choicesOf("TTTTT"));
        vm.assertEq(stakeOf(rival), STAKED);
        vm.assertEq(stakeOf(provider), STAKED);
        vm.assertEq(duels.balanceOf(judges[0]), SHARE);
    }

    function test_TellsWhatTheExplorerNeeds() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = choicesOf("SSSSS");
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choices);
        (bytes32 first, bytes32 second) =
            (lens.hashReceipt(shown.first.receipt), lens.hashReceipt(shown.second.receipt));
        vm.expectEmit(address(duels));
        emit IDuels.Decided(id, IDuels.Choice.SECOND, 0, first, second, rulingOf(id, judges, choices));
        vm.expectEmit(address(duels));
        emit IBalances.Credited(judges[0], SHARE + BONUS / 5, SHARE + BONUS / 5);
        vm.expectEmit(address(duels));
        emit IDuels.Ended(id, provider, rival, IDuels.Choice.SECOND, PRIZE, PRIZE - BONUS, 0);
        decide(id, shown, votes);
    }

    /// @dev A verdict that is split waits for an appeal, and no money moves.
    function test_ASplitVerdictWaits() external {
        IDuels.Case memory shown = caseOf(0);
        (DuelId id, address[] memory judges) = decided(shown, choicesOf("FFFSF"));
        assertStatus(id, IDuels.Status.APPEALABLE);
        vm.assertEq(stakeOf(rival), STAKED);
        vm.assertEq(duels.balanceOf(judges[0]), 0);
        vm.warp(START + PERIOD);
        assertStatus(id, IDuels.Status.SETTLEABLE);
    }

    function testFuzz_AnyoneMayDecide(address caller) external {
        vm.assume(caller != address(0));
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("TTTTT"));
        vm.prank(caller);
        decide(id, shown, votes);
        assertStatus(id, IDuels.Status.ENDED);
    }

    function test_ThreeJudgesDo() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown, 3, 3 * SHARE);
        decide(id, shown, votesOf(id, shown, panel(id), choicesOf("FFF")));
        vm.assertEq(stakeOf(rival), STAKED - PRIZE);
    }

    /// @dev Whoever summons the judges, to make them commit on chain, does not stop what all have voted on.
    function testFuzz_AllVotesDecideWhoeverSummonedTheJudges(uint40 time_) external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFFF"));
        vm.prank(stranger);
        duels.summon(id, shown, new IDuels.Commitment[](0));
        vm.warp(START + bound(time_, 0, PERIOD - 1));
        decide(id, shown, votes);
        assertStatus(id, IDuels.Status.ENDED);
    }

    /// @dev Once judges reveal, who has not committed would know what most say.
    function test_RevertWhen_JudgesReveal() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("FFFFF"));
        duels.summon(id, shown, new IDuels.Commitment[](0));
        for (uint256 i = 1; i < 3; ++i) {
            vm.warp(START + i * PERIOD);
            IDuels.Status status = i == 1 ? IDuels.Status.REVEALING : IDuels.Status.COUNTING;
            vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.OPEN, status));
            decide(id, shown, votes);
        }
    }

    function test_AVoteThatWasCommittedToCounts() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        duels.summon(id, shown, commitmentsOf(id, shown, judges, choicesOf("FF..D")));
        // Who declined on chain before it was shown the case may still vote with all.
        decide(id, shown, votesOf(id, shown, judges, choicesOf("FFFFF")));
        assertStatus(id, IDuels.Status.ENDED);
        vm.assertTrue(duels.balanceOf(judges[4]) != 0);
    }
}
