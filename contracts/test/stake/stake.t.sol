// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IArbiter} from "../../src/interfaces/IArbiter.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Stake} from "../../src/libraries/Stake.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract Stake_Test is Fixture {
    function request(uint96 amount) private {
        vm.prank(provider);
        market.requestUnstake(amount);
    }

    function test_RevertWhen_NothingIsStaked() external {
        vm.prank(provider);
        vm.expectRevert(IMarket.ZeroAmount.selector);
        market.stake(0);
    }

    function testFuzz_AddsToTheStake(uint96 first, uint96 second) external {
        first = uint96(bound(first, 1, type(uint96).max / 2));
        second = uint96(bound(second, 1, type(uint96).max / 2));
        stake(provider, first);
        fund(provider, second);
        vm.expectEmit(address(market));
        emit IMarket.Staked(provider, second, first + second);
        vm.prank(provider);
        market.stake(second);
        assertStake(first + second, 0, 0);
    }

    function test_RevertWhen_NothingIsRequested() external {
        vm.expectRevert(IMarket.ZeroAmount.selector);
        request(0);
    }

    function test_RevertWhen_MoreIsRequestedThanIsStaked() external {
        stake(provider, 5e6);
        vm.expectRevert(abi.encodeWithSelector(Stake.StakeTooSmall.selector, 6e6, 5e6));
        request(6e6);
    }

    function test_RequestMovesStakedToExiting() external {
        stake(provider, 5e6);
        vm.expectEmit(address(market));
        emit IMarket.UnstakeRequested(provider, 3e6, 2e6, START + UNSTAKE_NOTICE);
        request(2e6);
        assertStake(3e6, 2e6, START + UNSTAKE_NOTICE);
    }

    function test_AnotherRequestRestartsTheNoticeForTheSum() external {
        stake(provider, 5e6);
        request(2e6);
        vm.warp(START + 100);
        request(1e6);
        assertStake(2e6, 3e6, START + 100 + UNSTAKE_NOTICE);
    }

    // ------------------------------------------------------------------------------------------------ the arbiter

    /// @dev Code that reverts, that burns all its gas, and that is no arbiter's.
    function testFuzz_WhateverTheArbiterDoesHoldsNoStakeUp(uint8 which) external {
        bytes[4] memory codes = [bytes(hex"60006000fd"), hex"fe", hex"00", hex"5b600056"];
        vm.etch(arbiter, codes[which % 4]);
        stake(provider, 5e6);
        request(2e6);
        assertStake(3e6, 2e6, START + UNSTAKE_NOTICE);
        vm.warp(START + UNSTAKE_NOTICE);
        market.unstake(provider);
        vm.assertEq(asset.balanceOf(provider), 2e6);
    }

    function test_TellsTheArbiter() external {
        vm.etch(arbiter, hex"00");
        stake(provider, 5e6);
        vm.expectCall(arbiter, abi.encodeCall(IArbiter.refresh, (provider)));
        request(2e6);
    }

    /// @dev Nobody keeps its weight by leaving the arbiter too little gas to take it.
    function test_RevertWhen_TooLittleGasIsLeftForTheArbiter() external {
        vm.etch(arbiter, hex"00");
        stake(provider, 5e6);
        vm.prank(provider);
        (bool done, bytes memory why) =
            address(market).call{gas: 1_000_000}(abi.encodeCall(market.requestUnstake, (2e6)));
        vm.assertFalse(done);
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.assertEq(bytes32(bytes4(why)), bytes32(IMarket.GasTooLow.selector));
        assertStake(5e6, 0, 0);
        vm.etch(arbiter, "");
        vm.prank(provider);
        (done,) = address(market).call{gas: 1_000_000}(abi.encodeCall(market.requestUnstake, (2e6)));
        vm.assertTrue(done);
    }

    // ------------------------------------------------------------------------------------------------ unstaking

    function test_RevertWhen_NothingIsExiting() external {
        stake(provider, 5e6);
        vm.expectRevert(Stake.NothingUnstaking.selector);
        market.unstake(provider);
    }

    function test_RevertWhen_TheNoticeIsNotOver() external {
        stake(provider, 5e6);
        request(2e6);
        vm.warp(START + UNSTAKE_NOTICE - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Stake.UnstakeNotOver.selector, uint256(START + UNSTAKE_NOTICE), uint256(START + UNSTAKE_NOTICE - 1)
            )
        );
        market.unstake(provider);
    }

    function test_PaysTheProviderWhoeverCalls() external {
        stake(provider, 5e6);
        request(2e6);
        vm.warp(START + UNSTAKE_NOTICE);
        vm.expectEmit(address(market));
        emit IMarket.Unstaked(provider, 2e6);
        vm.prank(stranger);
        market.unstake(provider);
        assertStake(3e6, 0, 0);
        vm.assertEq(asset.balanceOf(provider), 2e6);
    }
}
