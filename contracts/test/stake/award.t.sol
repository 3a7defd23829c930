// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract Award_Test is Fixture {
    function award(uint96 amount) private {
        vm.prank(arbiter);
        market.award(provider, stranger, amount);
    }

    function test_RevertWhen_TheCallerIsNotTheArbiter() external {
        stake(provider, 10_000e6);
        vm.expectRevert(abi.encodeWithSelector(IMarket.OnlyArbiter.selector, arbiter, stranger));
        vm.prank(stranger);
        market.award(provider, stranger, 1);
    }

    function test_TakesExitingStakeFirst() external {
        stake(provider, 10_000e6);
        vm.prank(provider);
        market.requestUnstake(1e6);
        vm.expectEmit(address(market));
        emit IMarket.Awarded(provider, stranger, 0.7e6, 0.1e6, 9_999e6, 0.2e6, 0.7e6);
        award(0.8e6);
        assertStake(9_999e6, 0.2e6, START + UNSTAKE_NOTICE);
        award(0.8e6);
        assertStake(9_998.4e6, 0, 0);
    }

    /// @dev What no arbiter can do, whatever it decides: take a whole stake by one verdict.
    function testFuzz_TakesAtMostAFourThousandthAndBurnsNothing(
        uint96 staked,
        uint96 exiting,
        uint96 theirs,
        uint96 amount
    ) external {
        staked = uint96(bound(staked, 1, type(uint96).max / 2));
        exiting = uint96(bound(exiting, 0, staked));
        theirs = uint96(bound(theirs, 1, type(uint96).max / 2));
        stake(provider, staked);
        stake(stranger, theirs);
        if (exiting != 0) {
            vm.prank(provider);
            market.requestUnstake(exiting);
        }
        award(amount);

        uint96 taken = amount < staked / 4_000 ? amount : staked / 4_000;
        (uint96 left, uint96 leaving,,) = market.stakeOf(provider);
        (uint96 won,,,) = market.stakeOf(stranger);
        vm.assertEq(uint256(left) + leaving, staked - taken);
        vm.assertEq(won, theirs + taken - taken / 8);
        vm.assertEq(asset.balanceOf(arbiter), taken / 8);
        vm.assertEq(asset.balanceOf(BURNT), 0);
        vm.assertEq(asset.balanceOf(address(market)), uint256(staked) + theirs - taken / 8);
    }
}
