// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Channel} from "../../src/libraries/Channel.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract RequestClose_Test is Fixture {
    function request() private {
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
    }

    function test_RevertWhen_TheChannelIsNotOpen() external {
        vm.expectRevert(Channel.ChannelNotOpen.selector);
        request();
    }

    /// @dev A second request must not push the end away: whoever holds the session key could do so for ever.
    function test_RevertWhen_TheChannelIsClosing() external {
        openSettled(100e6, 0);
        request();
        vm.expectRevert(abi.encodeWithSelector(Channel.ChannelClosing.selector, uint256(START + CLOSE_NOTICE)));
        request();
    }

    function test_StartsTheNotice() external {
        openSettled(100e6, 40e6);
        vm.expectEmit(address(market));
        emit IMarket.CloseRequested(channelId(0), START + CLOSE_NOTICE);
        request();
        assertChannel(100e6, 40e6, START + CLOSE_NOTICE, 0);
    }
}

contract FinalizeClose_Test is Fixture {
    function finalize() private {
        vm.prank(stranger);
        market.finalizeClose(payer, provider, sessionKey);
    }

    function test_RevertWhen_NoCloseWasRequested() external {
        vm.expectRevert(Channel.ChannelNotClosing.selector);
        finalize();
        openSettled(100e6, 0);
        vm.expectRevert(Channel.ChannelNotClosing.selector);
        finalize();
    }

    function test_RevertWhen_TheNoticeIsNotOver() external {
        openSettled(100e6, 0);
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        vm.warp(START + CLOSE_NOTICE - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Channel.CloseNotOver.selector, uint256(START + CLOSE_NOTICE), uint256(START + CLOSE_NOTICE - 1)
            )
        );
        finalize();
    }

    function testFuzz_ReturnsTheRestWhoeverCalls(uint96 settled) external {
        settled = uint96(bound(settled, 0, 100e6));
        openSettled(100e6, settled);
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        vm.warp(START + CLOSE_NOTICE);
        vm.expectEmit(address(market));
        emit IMarket.ChannelClosed(channelId(0), settled, 100e6 - settled);
        finalize();
        assertAccount(100e6 - settled, 0, 0);
        assertChannel(0, 0, 0, 1);
        vm.assertEq(market.balanceOf(provider), settled);
    }
}

contract LastEpoch_Test is Fixture {
    using Channel for Channel.State;

    Channel.State private channel;

    function requireRaisable() external view {
        channel.requireRaisable(1);
    }

    function test_AChannelClosedInItsLastEpochNeverOpensAgain() external {
        channel.epoch = type(uint24).max - 1;
        channel.raise(10);
        channel.close(4);
        vm.assertEq(channel.epoch, type(uint24).max);

        channel.requireRaisable(10);
        channel.raise(10);
        (uint24 epoch, uint96 paid, uint96 settled, uint96 returned) = channel.close(4);
        vm.assertEq(epoch, type(uint24).max);
        vm.assertEq(paid, 4);
        vm.assertEq(settled, 4);
        vm.assertEq(returned, 6);
        vm.assertEq(channel.cap, 0);
        vm.expectRevert(abi.encodeWithSelector(Channel.ChannelClosing.selector, uint256(type(uint40).max)));
        this.requireRaisable();
    }
}
