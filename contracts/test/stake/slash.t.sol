// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Stake} from "../../src/libraries/Stake.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract Slash_Test is Fixture {
    function slash(uint96 amount) private {
        vm.prank(arbiter);
        market.slash(provider, amount, stranger);
    }

    function test_RevertWhen_TheCallerIsNotTheArbiter() external {
        stake(provider, 10e6);
        vm.expectRevert(abi.encodeWithSelector(IMarket.OnlyArbiter.selector, arbiter, stranger));
        vm.prank(stranger);
        market.slash(provider, 1, stranger);
    }

    function test_BurnsAllWhereNobodyIsToBePaid() external {
        stake(provider, 10e6);
        vm.expectEmit(address(market));
        emit IMarket.Slashed(provider, address(0), 0, 5, 10e6 - 5, 0);
        vm.prank(arbiter);
        market.slash(provider, 5, address(0));
        vm.assertEq(asset.balanceOf(BURNT), 5);
        vm.assertEq(market.balanceOf(address(0)), 0);
    }

    function test_TakesExitingStakeFirst() external {
        stake(provider, 10e6);
        vm.prank(provider);
        market.requestUnstake(4e6);

        vm.expectEmit(address(market));
        emit IMarket.Slashed(provider, stranger, 1.5e6, 1.5e6, 6e6, 1e6);
        slash(3e6);
        assertStake(6e6, 1e6, START + UNSTAKE_NOTICE);

        slash(3e6);
        assertStake(4e6, 0, 0);
        vm.expectRevert(Stake.NothingUnstaking.selector);
        market.unstake(provider);
    }

    /// @dev Even when its notice is over, stake that was not paid yet can be slashed.
    function test_TakesWhatCouldAlreadyBeUnstaked() external {
        stake(provider, 10e6);
        vm.prank(provider);
        market.requestUnstake(10e6);
        vm.warp(START + 2 * UNSTAKE_NOTICE);
        slash(10e6);
        vm.expectRevert(Stake.NothingUnstaking.selector);
        market.unstake(provider);
    }

    function testFuzz_TakesNoMoreThanThereIsAndBurnsAtLeastHalf(uint96 staked, uint96 exiting, uint96 amount) external {
        staked = uint96(bound(staked, 1, type(uint96).max));
        exiting = uint96(bound(exiting, 0, staked));
        stake(provider, staked);
        if (exiting != 0) {
            vm.prank(provider);
            market.requestUnstake(exiting);
        }
        slash(amount);

        uint96 taken = amount < staked ? amount : staked;
        (uint96 left, uint96 leaving,,) = market.stakeOf(provider);
        vm.assertEq(uint256(left) + leaving, staked - taken);
        vm.assertEq(market.balanceOf(stranger), taken / 2);
        vm.assertEq(asset.balanceOf(BURNT), taken - taken / 2);
        vm.assertEq(asset.balanceOf(address(market)), uint256(staked) - taken + taken / 2);
    }

    function test_TheRewardCanBeWithdrawn() external {
        stake(provider, 10e6);
        vm.expectEmit(address(market));
        emit IMarket.Earned(stranger, 2, 2);
        slash(5);
        market.withdraw(stranger);
        vm.assertEq(asset.balanceOf(stranger), 2);
        vm.assertEq(asset.balanceOf(BURNT), 3);
    }
}
