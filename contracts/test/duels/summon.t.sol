// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {vm} from "../Vm.sol";

contract Summon_Test is DuelFixture {
    IDuels.Commitment[] private none;
    DuelId private id;
    address[] private judges;

    function setUp() public override {
        super.setUp();
        id = openDuel(caseOf(0));
        judges = panel(id);
    }

    function wrong(IDuels.Status expected, IDuels.Status actual) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDuels.WrongStatus.selector, expected, actual);
    }

    function commits(uint256 seat, IDuels.Choice choice) private view returns (IDuels.Commitment[] memory) {
        return one(commitmentOf(id, caseOf(0), judges[seat], choice));
    }

    // ------------------------------------------------------------------------------------------------ summon

    function test_RevertWhen_TheDuelIsNotOpen() external {
        IDuels.Case memory shown = caseOf(0);
        duels.summon(id, shown, none);
        vm.expectRevert(wrong(IDuels.Status.OPEN, IDuels.Status.COMMITTING));
        duels.summon(id, shown, none);
    }

    function test_RevertWhen_TheCaseIsAnother() external {
        IDuels.Case memory shown = caseOf(1);
        DuelId other = duels.duelIdOf(payer, commitmentOf(shown));
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongCase.selector, id, other));
        duels.summon(id, shown, none);
    }

    function test_NamesTheJudgesAndTakesCommitmentsAtOnce() external {
        IDuels.Case memory shown = caseOf(0);
        IDuels.Commitment[] memory list = commits(1, IDuels.Choice.TIE);
        vm.expectEmit(address(duels));
        emit IDuels.Summoned(id, judges, START + PERIOD);
        vm.expectEmit(address(duels));
        emit IDuels.Committed(id, judges[1], list[0].ballotHash);
        duels.summon(id, shown, list);
        assertStatus(id, IDuels.Status.COMMITTING);
        vm.assertTrue(duels.isUsed(lens.hashReceipt(shown.first.receipt)));
        vm.assertTrue(duels.isUsed(lens.hashReceipt(shown.second.receipt)));
    }

    // ------------------------------------------------------------------------------------------------ commit

    function test_RevertWhen_ItIsNotTheTimeToCommit() external {
        IDuels.Commitment[] memory list = commits(0, IDuels.Choice.FIRST);
        vm.expectRevert(wrong(IDuels.Status.COMMITTING, IDuels.Status.OPEN));
        duels.commit(id, list);
        duels.summon(id, caseOf(0), none);
        vm.warp(START + PERIOD);
        vm.expectRevert(wrong(IDuels.Status.COMMITTING, IDuels.Status.REVEALING));
        duels.commit(id, list);
    }

    function test_RevertWhen_TheJudgeWasNotDrawn() external {
        duels.summon(id, caseOf(0), none);
        keyOf[stranger] = STRANGER_KEY;
        IDuels.Commitment[] memory list = one(commitmentOf(id, caseOf(0), stranger, IDuels.Choice.FIRST));
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotDrawn.selector, stranger));
        duels.commit(id, list);
    }

    /// @dev Nor does one that another key signed make the batch fail, and its judge may still speak.
    function test_PassesOverWhatAJudgeDidNotSign() external {
        duels.summon(id, caseOf(0), none);
        IDuels.Commitment[] memory list = new IDuels.Commitment[](3);
        for (uint256 i; i < 3; ++i) {
            list[i] = commitmentOf(id, caseOf(0), judges[i], IDuels.Choice.FIRST);
        }
        bytes memory signature = list[0].signature;
        list[0].signature =
            sign(STRANGER_KEY, Votes.commitment(IDuels.VoteCommitment(id, judges[0], list[0].ballotHash)));
        list[2].signature = "";
        vm.expectEmit(address(duels));
        emit IDuels.Committed(id, judges[1], list[1].ballotHash);
        duels.commit(id, list);
        list[0].signature = signature;
        vm.expectEmit(address(duels));
        emit IDuels.Committed(id, judges[0], list[0].ballotHash);
        duels.commit(id, list);

        vm.warp(START + PERIOD);
        IDuels.Subject memory subject = subjectOf(caseOf(0));
        duels.reveal(id, subject, one(revealOf(judges[0], IDuels.Choice.FIRST)));
        duels.reveal(id, subject, one(revealOf(judges[1], IDuels.Choice.FIRST)));
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongBallot.selector, bytes32(0), list[2].ballotHash));
        duels.reveal(id, subject, one(revealOf(judges[2], IDuels.Choice.FIRST)));
    }

    function test_TakesAnyKeyThatAJudgeEverNamed() external {
        IDuels.Commitment[] memory list = commits(0, IDuels.Choice.FIRST);
        rotate(judges[0]);
        duels.summon(id, caseOf(0), list);
        rotate(judges[1]);
        list = commits(1, IDuels.Choice.FIRST);
        rotate(judges[1]);
        vm.expectEmit(address(duels));
        emit IDuels.Committed(id, judges[1], list[0].ballotHash);
        duels.commit(id, list);
    }

    /// @dev One judge of a batch, answering itself a moment before, does not make the batch fail.
    function test_TheFirstWordOfAJudgeStands() external {
        duels.summon(id, caseOf(0), commits(0, IDuels.Choice.FIRST));
        IDuels.Commitment[] memory list = new IDuels.Commitment[](2);
        list[0] = commitmentOf(id, caseOf(0), judges[0], IDuels.Choice.SECOND);
        list[1] = commitmentOf(id, caseOf(0), judges[1], IDuels.Choice.DECLINED);
        duels.commit(id, list);
        duels.commit(id, commits(1, IDuels.Choice.SECOND));

        vm.warp(START + PERIOD);
        IDuels.Subject memory subject = subjectOf(caseOf(0));
        duels.reveal(id, subject, one(revealOf(judges[0], IDuels.Choice.FIRST)));
        bytes32 late = ballotHash(id, caseOf(0), judges[1], IDuels.Choice.SECOND);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongBallot.selector, bytes32(0), late));
        duels.reveal(id, subject, one(revealOf(judges[1], IDuels.Choice.SECOND)));
    }

    // ------------------------------------------------------------------------------------------------ reveal

    function test_RevertWhen_ItIsNotTheTimeToReveal() external {
        IDuels.Subject memory subject = subjectOf(caseOf(0));
        IDuels.Reveal[] memory list = one(revealOf(judges[0], IDuels.Choice.FIRST));
        duels.summon(id, caseOf(0), commits(0, IDuels.Choice.FIRST));
        vm.warp(START + PERIOD - 1);
        vm.expectRevert(wrong(IDuels.Status.REVEALING, IDuels.Status.COMMITTING));
        duels.reveal(id, subject, list);
        vm.warp(START + 2 * PERIOD);
        vm.expectRevert(wrong(IDuels.Status.REVEALING, IDuels.Status.COUNTING));
        duels.reveal(id, subject, list);
    }

    function test_RevertWhen_TheBallotIsAboutOtherAnswers() external {
        IDuels.Case memory doctored = caseOf(0);
        doctored.first.receipt.responseHash = keccak256("what the challenger made of it");
        duels.summon(id, caseOf(0), one(commitmentOf(id, doctored, judges[0], IDuels.Choice.FIRST)));
        vm.warp(START + PERIOD);
        IDuels.Subject memory wrongSubject = subjectOf(doctored);
        bytes32 right = keccak256(abi.encode(subjectOf(caseOf(0))));
        vm.expectRevert(
            abi.encodeWithSelector(IDuels.WrongSubject.selector, right, keccak256(abi.encode(wrongSubject)))
        );
        duels.reveal(id, wrongSubject, one(revealOf(judges[0], IDuels.Choice.FIRST)));
    }

    function test_RevertWhen_TheBallotIsNotWhatWasCommittedTo() external {
        duels.summon(id, caseOf(0), commits(0, IDuels.Choice.FIRST));
        vm.warp(START + PERIOD);
        IDuels.Subject memory subject = subjectOf(caseOf(0));
        bytes32 committed = ballotHash(id, caseOf(0), judges[0], IDuels.Choice.FIRST);
        bytes32 other = ballotHash(id, caseOf(0), judges[0], IDuels.Choice.SECOND);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongBallot.selector, committed, other));
        duels.reveal(id, subject, one(revealOf(judges[0], IDuels.Choice.SECOND)));
    }

    function test_RevealedTwiceChangesNothing() external {
        duels.summon(id, caseOf(0), commits(0, IDuels.Choice.FIRST));
        vm.warp(START + PERIOD);
        for (uint256 i; i < 2; ++i) {
            vm.expectEmit(address(duels));
            emit IDuels.Revealed(id, judges[0], IDuels.Choice.FIRST);
            duels.reveal(id, subjectOf(caseOf(0)), one(revealOf(judges[0], IDuels.Choice.FIRST)));
        }
    }

    // ------------------------------------------------------------------------------------------------ counted

    function test_RevertWhen_ItIsNotTheTimeToCount() external {
        IDuels.Case memory shown = caseOf(0);
        IDuels.Vote[] memory votes = new IDuels.Vote[](0);
        vm.expectRevert(wrong(IDuels.Status.COUNTING, IDuels.Status.OPEN));
        decide(id, shown, votes);
        duels.summon(id, shown, none);
        vm.warp(START + 2 * PERIOD - 1);
        vm.expectRevert(wrong(IDuels.Status.COUNTING, IDuels.Status.REVEALING));
        decide(id, shown, votes);
        vm.warp(START + 3 * PERIOD);
        vm.expectRevert(wrong(IDuels.Status.COUNTING, IDuels.Status.LAPSED));
        decide(id, shown, votes);
    }

    /// @dev Three of five are enough; the silent one pays, the one that declined does not, and the challenger pays for both.
    function test_CountsWhatWasRevealed() external {
        IDuels.Case memory shown = caseOf(0);
        IDuels.Choice[] memory choices = choicesOf("FFFD.");
        decideBy(id, shown, judges, choices);
        assertStatus(id, IDuels.Status.APPEALABLE);
        vm.warp(START + 3 * PERIOD);
        duels.settle(one(rulingOf(id, judges, choices)));
        vm.assertEq(stakeOf(rival), STAKED - 2 * PRICE);
        vm.assertEq(duels.balanceOf(judges[0]), SHARE + 2 * PRICE / 8 / 3);
        vm.assertEq(stakeOf(judges[3]), STAKED, "declined");
        vm.assertEq(stakeOf(judges[4]), STAKED - SHARE, "silent");
        vm.assertEq(duels.balanceOf(payer), SHARE, "the silent one's fee comes back");
        uint256 dust = 2 * PRICE / 8 % 3;
        vm.assertEq(asset.balanceOf(BURNT), SHARE + SHARE + dust, "and two others' are burnt");
    }

    function test_TwoOfFiveAreATie() external {
        IDuels.Choice[] memory choices = choicesOf("FF...");
        decideBy(id, caseOf(0), judges, choices);
        vm.warp(START + 3 * PERIOD);
        vm.expectEmit(address(duels));
        emit IDuels.Ended(id, provider, rival, IDuels.Choice.TIE, 0, 0, 0);
        duels.settle(one(rulingOf(id, judges, choices)));
    }

    function test_TheKnownVerdictCountsOnlyAsWhatTheCaseHides() external {
        IDuels.Case memory shown = caseOf(0);
        duels.summon(id, shown, none);
        vm.warp(START + 2 * PERIOD);
        bytes32 made = Votes.hidden(IDuels.Choice.FIRST, SALT);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongHidden.selector, shown.hidden, made));
        duels.decide(id, shown, IDuels.Choice.FIRST, SALT, new IDuels.Vote[](0));
        // Who counts in the challenger's stead has no salt.
        duels.decide(id, shown, IDuels.Choice.NONE, 0, new IDuels.Vote[](0));
        assertStatus(id, IDuels.Status.APPEALABLE);
    }
}
