// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {vm} from "../Vm.sol";

contract Open_Test is DuelFixture {
    bytes32 private constant COMMITMENT = keccak256("commitment");

    function open(uint8 seats, uint96 fee) private returns (DuelId) {
        vm.prank(payer);
        return duels.open(COMMITMENT, seats, fee);
    }

    function testFuzz_RevertWhen_TheSeatsAreNeitherThreeNorFive(uint8 seats) external {
        vm.assume(seats != 3 && seats != 5);
        vm.expectRevert(abi.encodeWithSelector(IDuels.SeatsNotAllowed.selector, seats));
        open(seats, FEE);
    }

    function test_RevertWhen_TheFeeIsTooSmall() external {
        vm.expectRevert(abi.encodeWithSelector(IDuels.FeeTooSmall.selector, 5 * MINIMUM_FEE, 5 * MINIMUM_FEE - 1));
        open(5, 5 * MINIMUM_FEE - 1);
        open(5, 5 * MINIMUM_FEE);
    }

    function test_RevertWhen_TheCallerOpenedItBefore() external {
        DuelId id = open(5, FEE);
        vm.expectRevert(abi.encodeWithSelector(IDuels.AlreadyOpened.selector, id));
        open(5, FEE);
    }

    function test_AnothersIsAnotherDuel() external {
        DuelId id = open(5, FEE);
        fundDuels(stranger);
        vm.prank(stranger);
        DuelId other = duels.open(COMMITMENT, 5, FEE);
        vm.assertFalse(DuelId.unwrap(id) == DuelId.unwrap(other));
    }

    function test_RevertWhen_TheAssetBringsLess() external {
        vm.mockCall(
            address(asset),
            abi.encodeWithSignature("transferFrom(address,address,uint256)", payer, address(duels), FEE),
            abi.encode(true)
        );
        vm.expectRevert(abi.encodeWithSelector(IBalances.AssetMismatch.selector, FEE, 0));
        open(5, FEE);
    }

    function test_TellsWhatDrawsTheJudges() external {
        DuelId id = duels.duelIdOf(payer, COMMITMENT);
        uint48 drawBlock = uint48(block.number) + 2;
        vm.expectEmit(address(duels));
        emit IDuels.Opened(id, payer, FEE, 5, drawBlock, START + PERIOD);
        open(5, FEE);
        (IDuels.Status status, address challenger, uint96 fee, uint8 seats, uint48 at, uint40 until) = duels.duelOf(id);
        vm.assertEq(uint256(status), uint256(IDuels.Status.OPEN));
        vm.assertEq(challenger, payer);
        vm.assertEq(fee, FEE);
        vm.assertEq(seats, 5);
        vm.assertEq(at, drawBlock);
        vm.assertEq(until, START + PERIOD);
    }

    function test_TakesTheCallersBalanceFirst() external {
        (, address[] memory judges) = decided(caseOf(0), choicesOf("TTTTT"));
        address judge = judges[0];
        fundDuels(judge);
        uint256 before = asset.balanceOf(judge);
        vm.startPrank(judge);
        duels.open(keccak256("a part of it"), 3, SHARE / 4);
        vm.assertEq(duels.balanceOf(judge), SHARE - SHARE / 4);
        vm.assertEq(asset.balanceOf(judge), before);
        duels.open(keccak256("all of it, and more"), 3, SHARE);
        vm.stopPrank();
        vm.assertEq(duels.balanceOf(judge), 0);
        vm.assertEq(asset.balanceOf(judge), before - SHARE / 4);
    }

    // ------------------------------------------------------------------------------------------------ seal

    /// @dev Sealed before it is opened, its judges would be known to who opens it.
    function test_RevertWhen_WhatIsSealedWasNeverOpened() external {
        DuelId id = duels.duelIdOf(payer, COMMITMENT);
        mine(10);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.OPEN, IDuels.Status.NONE));
        duels.seal(id);
    }

    function test_RevertWhen_TheHashIsNotThereOrGone() external {
        DuelId id = open(5, FEE);
        (,,,, uint48 drawBlock,) = duels.duelOf(id);
        vm.roll(drawBlock);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NoSeed.selector, drawBlock, drawBlock));
        duels.seal(id);
        vm.roll(drawBlock + 257);
        vm.expectRevert(abi.encodeWithSelector(IDuels.NoSeed.selector, drawBlock, drawBlock + 257));
        duels.seal(id);
    }

    function test_SealedJudgesStay() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        duels.seal(id);
        mine(10_000);
        vm.assertEq(panel(id), judges);
        decide(id, shown, votesOf(id, shown, judges, choicesOf("TTTTT")));
        assertStatus(id, IDuels.Status.ENDED);
    }

    // ------------------------------------------------------------------------------------------------ expire

    function test_RevertWhen_ItCanStillBeDecided() external {
        DuelId id = open(5, FEE);
        vm.warp(START + PERIOD - 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.LAPSED, IDuels.Status.OPEN));
        duels.expire(id);
    }

    function test_AnUndecidedDuelLosesItsFeeOnce() external {
        DuelId id = open(5, FEE);
        vm.warp(START + PERIOD);
        vm.expectEmit(address(duels));
        emit IDuels.Lapsed(id, FEE);
        duels.expire(id);
        vm.assertEq(asset.balanceOf(BURNT), FEE);
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.LAPSED, IDuels.Status.ENDED));
        duels.expire(id);
    }

    function test_ReceiptsOfAnUndecidedDuelCanDuelAgain() external {
        IDuels.Case memory shown = caseOf(0);
        openDuel(shown);
        vm.warp(START + PERIOD);
        shown.hidden = keccak256(abi.encode(IDuels.Choice.NONE, keccak256("another salt")));
        DuelId id = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf("TTTTT"));
        duels.decide(id, shown, IDuels.Choice.NONE, keccak256("another salt"), votes);
        assertStatus(id, IDuels.Status.ENDED);
    }

    // ------------------------------------------------------------------------------------------------ withdraw

    function test_RevertWhen_ThereIsNothingToWithdraw() external {
        vm.expectRevert(IBalances.NothingToWithdraw.selector);
        duels.withdraw(payer);
    }

    function test_PaysTheOwnerWhoeverCalls() external {
        (, address[] memory judges) = decided(caseOf(0), choicesOf("TTTTT"));
        uint256 before = asset.balanceOf(judges[0]);
        vm.prank(stranger);
        duels.withdraw(judges[0]);
        vm.assertEq(asset.balanceOf(judges[0]) - before, SHARE);
        vm.assertEq(duels.balanceOf(judges[0]), 0);
    }
}
