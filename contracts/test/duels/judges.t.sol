// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {bound, vm} from "../Vm.sol";

contract Judges_Test is DuelFixture {
    function judge(uint256 i) private pure returns (address) {
        return vm.addr(JUDGE_KEYS + i);
    }

    function weightOf(address whose) private view returns (uint96 weight) {
        (, weight,) = duels.judgeOf(whose);
    }

    function isAmong(address[] memory list, address whom) private pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == whom) return true;
        }
        return false;
    }

    /// @dev Any panel; the case is never shown.
    function drawn(uint256 seed) private returns (address[] memory) {
        vm.prank(payer);
        DuelId id = duels.open(keccak256(abi.encode(seed)), 5, FEE);
        mine(3);
        return panel(id);
    }

    // ------------------------------------------------------------------------------------------------ enlist

    function test_RevertWhen_TheOwnerDidNotConsent() external {
        stake(stranger, STAKED);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotConsented.selector, payer, stranger));
        vm.prank(stranger);
        duels.enlist(payer);

        vm.prank(payer);
        duels.consent(stranger);
        vm.prank(stranger);
        duels.enlist(payer);
        (address owner,, uint32 slot) = duels.judgeOf(stranger);
        vm.assertEq(owner, payer);
        vm.assertEq(slot, JUDGES + 1);
        vm.assertEq(duels.judgeAt(slot), stranger);
    }

    function test_RevertWhen_TooLittleIsStaked() external {
        stake(stranger, MINIMUM_STAKE - 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotEnoughStaked.selector, MINIMUM_STAKE, MINIMUM_STAKE - 1));
        vm.prank(stranger);
        duels.enlist(stranger);
    }

    function test_RevertWhen_ItNamedAnotherOwnerBefore() external {
        vm.prank(payer);
        duels.consent(judge(0));
        vm.expectRevert(abi.encodeWithSelector(IDuels.AlreadyEnlisted.selector, judge(0)));
        vm.prank(judge(0));
        duels.enlist(payer);
    }

    function test_WeighsWhatItHasStaked() external {
        stake(stranger, STAKED);
        vm.expectEmit(address(duels));
        emit IDuels.Enlisted(stranger, stranger, uint32(JUDGES) + 1);
        vm.expectEmit(address(duels));
        emit IDuels.Weighed(stranger, STAKED, (JUDGES + 1) * STAKED);
        vm.prank(stranger);
        duels.enlist(stranger);
    }

    // ------------------------------------------------------------------------------------------------ retire, refresh

    function test_RevertWhen_ItNeverEnlisted() external {
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotEnlisted.selector, stranger));
        duels.refresh(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotEnlisted.selector, stranger));
        vm.prank(stranger);
        duels.retire();
    }

    function test_WhoRetiresWeighsNothingUntilItEnlistsAgain() external {
        vm.prank(judge(3));
        duels.retire();
        duels.refresh(judge(3));
        vm.assertEq(weightOf(judge(3)), 0);
        vm.roll(block.number + 1);
        (uint256 total, uint32 slots) = duels.weightsAt(uint48(block.number));
        vm.assertEq(total, (JUDGES - 1) * STAKED);
        vm.assertEq(slots, JUDGES);
        for (uint256 i; i < 10; ++i) {
            vm.assertFalse(isAmong(drawn(i), judge(3)));
        }
        vm.prank(judge(3));
        duels.enlist(judge(3));
        (, uint96 weight, uint32 slot) = duels.judgeOf(judge(3));
        vm.assertEq(weight, STAKED);
        vm.assertEq(slot, 4);
    }

    function testFuzz_RefreshGoesByTheStakeNow(uint96 leaving, address caller) external {
        leaving = uint96(bound(leaving, 1, STAKED));
        vm.prank(judge(0));
        market.requestUnstake(leaving);
        vm.prank(caller);
        duels.refresh(judge(0));
        uint96 left = STAKED - leaving;
        vm.assertEq(weightOf(judge(0)), left < MINIMUM_STAKE ? 0 : left);
    }

    // ------------------------------------------------------------------------------------------------ weight and stake

    /// @dev Nobody has to watch: who asks stake back weighs less from that block on.
    function testFuzz_WhoAsksStakeBackWeighsLessAtOnce(uint96 leaving) external {
        leaving = uint96(bound(leaving, 1, STAKED));
        uint96 left = STAKED - leaving;
        uint96 weight = left < MINIMUM_STAKE ? 0 : left;
        vm.expectEmit(address(duels));
        emit IDuels.Weighed(judge(0), weight, (JUDGES - 1) * STAKED + weight);
        vm.prank(judge(0));
        market.requestUnstake(leaving);
        vm.assertEq(weightOf(judge(0)), weight);
    }

    function test_WhoIsSlashedForAFraudWeighsNothing() external {
        IMarket.Receipt memory first = receiptOf(0);
        first.channelId = Hash.channelId(payer, judge(0), sessionKey, 0);
        IMarket.Receipt memory second = first;
        bytes memory signature = sign(keyOf[judge(0)], first);
        second = receiptOf(0);
        (second.channelId, second.responseHash) = (first.channelId, keccak256("another"));
        bytes memory other = sign(keyOf[judge(0)], second);
        market.slashReceiptEquivocation(payer, judge(0), sessionKey, 0, first, signature, second, other);
        vm.assertEq(stakeOf(judge(0)), 0);
        vm.assertEq(weightOf(judge(0)), 0);
    }

    /// @dev Whatever takes it: for a 100th nobody pays for a change of the tree.
    function testFuzz_WhoIsFinedWeighsHardlyMoreThanIsLeft(uint96 first, uint96 second) external {
        (first, second) = (uint96(bound(first, 1, STAKED)), uint96(bound(second, 0, STAKED)));
        vm.prank(address(audits));
        duels.slash(judge(0), first, address(0));
        uint96 left = STAKED - first;
        uint96 weight = first <= STAKED / 100 ? STAKED : left < MINIMUM_STAKE ? 0 : left;
        vm.assertEq(weightOf(judge(0)), weight);
        vm.prank(address(audits));
        duels.slash(judge(0), second, address(0));
        vm.assertTrue(weighsHardlyMore(judge(0)));
        vm.prank(address(audits));
        duels.slash(stranger, 1, address(0)); // That is no judge.
    }

    /// @dev The same atoms do not weigh twice: they weigh nothing on their way out.
    function test_TheSameStakeWeighsOnceUnderTwoNames() external {
        vm.prank(judge(0));
        market.requestUnstake(STAKED);
        vm.warp(START + UNSTAKE_NOTICE);
        market.unstake(judge(0));
        enlist(JUDGE_KEYS + JUDGES, STAKED);
        mine(1);
        (uint256 total,) = duels.weightsAt(uint48(this.blockNumber() - 1));
        vm.assertEq(total, JUDGES * STAKED);
    }

    // ------------------------------------------------------------------------------------------------ drawn

    /// @dev Whatever is staked, unstaked, enlisted or retired once the hash is known moves nobody's range.
    function test_GoesByTheWeightsOfTheBlockThatOpenedIt() external {
        vm.prank(payer);
        DuelId id = duels.open(keccak256("case"), 5, FEE);
        mine(3);
        address[] memory before = panel(id);
        for (uint256 i; i < 5; ++i) {
            vm.prank(before[i]);
            duels.retire();
        }
        enlist(STRANGER_KEY, 100 * STAKED);
        stake(judge(0), 50 * STAKED);
        duels.refresh(judge(0));
        vm.assertEq(panel(id), before);
        mine(1);
        vm.assertEq(panel(id), before);
    }

    function test_DrawsInProportionToWeights() external {
        stake(judge(0), 4 * STAKED); // 5 of 16 parts.
        duels.refresh(judge(0));
        vm.roll(block.number + 1);
        uint256 seated;
        uint256 others;
        for (uint256 i; i < 300; ++i) {
            address[] memory judges = drawn(i);
            if (judges[0] == judge(0)) ++seated;
            if (judges[0] == judge(7)) ++others;
        }
        // Of 300 first seats 93.75 and 18.75 are to be expected; the bounds are three deviations.
        vm.assertTrue(seated > 69 && seated < 118, "the richest");
        vm.assertTrue(others > 6 && others < 32, "another");
    }

    function testFuzz_HasNobodyTwiceAndNoParty(uint256 seed) external {
        // The duellists judge, too, and the challenger owns a judge.
        vm.prank(provider);
        duels.enlist(provider);
        vm.prank(payer);
        duels.consent(rival);
        vm.prank(rival);
        duels.enlist(payer);
        mine(1);
        address[] memory judges = drawn(seed);
        for (uint256 i; i < 5; ++i) {
            vm.assertTrue(judges[i] != address(0), "twelve judges fill five seats");
            vm.assertTrue(judges[i] != provider && judges[i] != rival && judges[i] != payer);
            for (uint256 j; j < i; ++j) {
                vm.assertTrue(judges[i] != judges[j]);
            }
        }
    }

    /// @dev Quorums count owners: one with a hundred judges has one seat.
    function test_HasOneJudgeOfAnOwner() external {
        for (uint256 i; i < 20; ++i) {
            address mine_ = vm.addr(0x9000 + i);
            vm.prank(stranger);
            duels.consent(mine_);
            stake(mine_, STAKED);
            vm.prank(mine_);
            duels.enlist(stranger);
        }
        mine(1);
        uint256 most;
        for (uint256 i; i < 50; ++i) {
            address[] memory judges = drawn(i);
            uint256 owned;
            for (uint256 j; j < 5; ++j) {
                (address owner,,) = duels.judgeOf(judges[j]);
                if (owner == stranger) ++owned;
            }
            if (owned > most) most = owned;
        }
        vm.assertEq(most, 1);
    }

    function test_LeavesSeatsEmptyWhereThereAreTooFew() external {
        for (uint256 i; i < JUDGES - 2; ++i) {
            vm.prank(judge(i));
            duels.retire();
        }
        mine(1);
        address[] memory judges = drawn(1);
        vm.assertEq(judges.length, 5);
        vm.assertTrue(judges[0] != address(0) && judges[1] != address(0));
        vm.assertTrue(judges[2] == address(0) && judges[3] == address(0) && judges[4] == address(0));
    }

    function test_HasNobodyWhereNobodyJudges() external {
        for (uint256 i; i < JUDGES; ++i) {
            vm.prank(judge(i));
            duels.retire();
        }
        mine(1);
        vm.assertEq(drawn(1), new address[](5));
    }

    /// @dev A duellist that enlists once the judges are known cannot exclude one by naming its owner.
    function test_TakesNoOwnerThatWasNamedSince() external {
        vm.prank(payer);
        DuelId id = duels.open(keccak256("case"), 5, FEE);
        mine(3);
        address[] memory before = panel(id);
        vm.prank(before[0]);
        duels.consent(provider);
        vm.prank(provider);
        duels.enlist(before[0]);
        vm.assertEq(panel(id), before);
    }
}
