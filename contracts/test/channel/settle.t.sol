// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Fixture} from "../Fixture.sol";
import {Vm, bound, vm} from "../Vm.sol";

contract Settle_Test is Fixture {
    function setUp() public override {
        super.setUp();
        openSettled(100e6, 0);
    }

    function skips(IMarket.Row memory row_, IMarket.Skip reason) private {
        vm.expectEmit(address(market));
        emit IMarket.RowSkipped(channelId(row_.epoch), reason);
        vm.recordLogs();
        vm.assertEq(market.settle(provider, one(row_)), 0);
        vm.assertEq(vm.getRecordedLogs().length, 1); // No {Earned}.
    }

    function testFuzz_SkipsAnotherEpoch(uint24 epoch) external {
        vm.assume(epoch != 0);
        skips(rowOf(payer, SESSION_KEY, epoch, 10e6), IMarket.Skip.STALE_EPOCH);
    }

    /// @dev INV-3: neither in the next epoch, nor once it is open again.
    function test_SkipsAVoucherOfAClosedEpoch() external {
        IMarket.Row memory old = row(10e6);
        market.close(payer, provider, sessionKey, 0, closeSignature(PROVIDER_KEY, 0));
        skips(old, IMarket.Skip.STALE_EPOCH);
        open(50e6);
        skips(old, IMarket.Skip.STALE_EPOCH);
        // The old voucher under the new epoch's number is one that nobody signed.
        old.epoch = 1;
        skips(old, IMarket.Skip.BAD_SIGNATURE);
    }

    function testFuzz_SkipsALowerOrEqualAmount(uint128 amount) external {
        market.settle(provider, one(row(40e6)));
        skips(row(uint128(bound(amount, 0, 40e6))), IMarket.Skip.NOT_GREATER);
    }

    function test_SkipsAChannelThatWasNeverOpened() external {
        IMarket.Row memory row_ = rowOf(stranger, SESSION_KEY, 0, 1);
        vm.assertEq(market.settle(provider, one(row_)), 0);
    }

    function testFuzz_SkipsWhatTheSessionKeyDidNotSign(bytes32 r, bytes32 vs) external {
        IMarket.Row memory row_ = row(10e6);
        (row_.r, row_.vs) = (r, vs);
        skips(row_, IMarket.Skip.BAD_SIGNATURE);
    }

    function test_SkipsARowThatWasChanged() external {
        IMarket.Row memory row_ = row(10e6);
        row_.cumulativeAmount += 1;
        skips(row_, IMarket.Skip.BAD_SIGNATURE);
        row_ = row(10e6);
        row_.acknowledgementHash = ~row_.acknowledgementHash;
        skips(row_, IMarket.Skip.BAD_SIGNATURE);
    }

    /// @dev A channel for the zero session key, whom every bad signature names, pays nothing.
    function test_SkipsTheZeroSessionKey() external {
        deposit(payer, 10e6);
        vm.prank(payer);
        market.openChannels(one(IMarket.Opening(provider, address(0), 10e6)));
        IMarket.Row memory row_ = IMarket.Row(payer, address(0), 0, 10e6, 0, 0, 0);
        vm.assertEq(market.settle(provider, one(row_)), 0);
        vm.assertEq(market.balanceOf(provider), 0);
    }

    /// @dev A voucher for one provider is nothing to another.
    function test_SkipsAVoucherForAnotherProvider() external {
        deposit(payer, 10e6);
        vm.prank(payer);
        market.openChannels(one(IMarket.Opening(stranger, sessionKey, 10e6)));
        vm.assertEq(market.settle(stranger, one(row(10e6))), 0);
    }

    function testFuzz_PaysTheDifferenceUpToTheCap(uint128 first, uint128 second) external {
        second = uint128(bound(second, 1, type(uint128).max));
        first = uint128(bound(first, 0, second - 1));
        uint256 settled = first < 100e6 ? first : 100e6;
        uint256 total = second < 100e6 ? second : 100e6;
        vm.assertEq(market.settle(provider, one(row(first))), settled);
        vm.assertEq(market.settle(provider, one(row(second))), total - settled);
        assertChannel(100e6, uint96(total), 0, 0);
        vm.assertEq(market.balanceOf(provider), total);
    }

    function test_EmitsTheTotals() external {
        market.settle(provider, one(row(10e6)));
        IMarket.Row memory row_ = row(25e6);
        vm.expectEmit(address(market));
        emit IMarket.Settled(channelId(0), 25e6, row_.acknowledgementHash);
        vm.expectEmit(address(market));
        emit IMarket.Earned(provider, 15e6, 25e6);
        vm.prank(stranger);
        market.settle(provider, one(row_));
    }

    function test_PaysTheOthersOfABatch() external {
        IMarket.Row[] memory rows = new IMarket.Row[](4);
        rows[0] = row(10e6);
        rows[1] = rowOf(payer, SESSION_KEY, 7, 90e6);
        rows[2] = row(5e6);
        rows[3] = row(20e6);
        vm.expectEmit(address(market));
        emit IMarket.Earned(provider, 20e6, 20e6);
        vm.assertEq(market.settle(provider, rows), 20e6);
    }

    function testFuzz_OrderAndRepetitionDoNotMatter(uint128[5] calldata amounts) external {
        uint256 greatest;
        for (uint256 i; i < 5; ++i) {
            uint128 amount = uint128(bound(amounts[i], 0, 150e6));
            market.settle(provider, one(row(amount)));
            market.settle(provider, one(row(amount)));
            if (amount > greatest) greatest = amount;
        }
        vm.assertEq(market.balanceOf(provider), greatest < 100e6 ? greatest : 100e6);
    }

    function test_WhatTheCapCutOffIsPaidWhenItIsRaised() external {
        IMarket.Row memory row_ = row(130e6);
        vm.assertEq(market.settle(provider, one(row_)), 100e6);
        deposit(payer, 50e6);
        open(150e6);
        vm.assertEq(market.settle(provider, one(row_)), 30e6);
    }

    /// @dev INV-4: nothing that the payer does before the notice ends takes anything from a voucher.
    function test_PaysAClosingChannelUntilItIsClosed() external {
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        vm.warp(START + CLOSE_NOTICE - 1);
        vm.assertEq(market.settle(provider, one(row(10e6))), 10e6);
        vm.warp(START + 10 * CLOSE_NOTICE);
        vm.assertEq(market.settle(provider, one(row(30e6))), 20e6);
        market.finalizeClose(payer, provider, sessionKey);
        vm.assertEq(market.settle(provider, one(rowOf(payer, SESSION_KEY, 0, 40e6))), 0);
        assertAccount(70e6, 0, 0);
    }

    function test_SettlesNothing() external {
        vm.assertEq(market.settle(provider, new IMarket.Row[](0)), 0);
    }
}
