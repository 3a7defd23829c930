// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Account} from "../../src/libraries/Account.sol";
import {Channel} from "../../src/libraries/Channel.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract OpenChannels_Test is Fixture {
    function setUp() public override {
        super.setUp();
        deposit(payer, 100e6);
    }

    function test_RevertWhen_ACapIsNotGreater() external {
        vm.expectRevert(abi.encodeWithSelector(Channel.CapNotGreater.selector, 0, 0));
        open(0);
        open(10e6);
        vm.expectRevert(abi.encodeWithSelector(Channel.CapNotGreater.selector, 10e6, 10e6));
        open(10e6);
    }

    function test_RevertWhen_AChannelIsClosing() external {
        open(10e6);
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        vm.expectRevert(abi.encodeWithSelector(Channel.ChannelClosing.selector, uint256(START + CLOSE_NOTICE)));
        open(11e6);
    }

    function test_RevertWhen_TheAccountDoesNotHoldTheSum() external {
        IMarket.Opening[] memory openings = new IMarket.Opening[](2);
        openings[0] = IMarket.Opening(provider, sessionKey, 60e6);
        openings[1] = IMarket.Opening(stranger, sessionKey, 60e6);
        vm.expectRevert(abi.encodeWithSelector(Account.AccountTooSmall.selector, 120e6, 100e6));
        vm.prank(payer);
        market.openChannels(openings);
        assertChannel(0, 0, 0, 0);
    }

    function testFuzz_MovesFreeAtomsToTheCaps(uint96 first, uint96 second) external {
        first = uint96(bound(first, 1, 50e6));
        second = uint96(bound(second, 1, 50e6));
        IMarket.Opening[] memory openings = new IMarket.Opening[](2);
        openings[0] = IMarket.Opening(provider, sessionKey, first);
        openings[1] = IMarket.Opening(stranger, sessionKey, second);
        vm.expectEmit(address(market));
        emit IMarket.ChannelOpened(channelId(0), payer, provider, sessionKey, 0, first);
        vm.prank(payer);
        market.openChannels(openings);

        assertAccount(100e6 - first - second, 0, 0);
        assertChannel(first, 0, 0, 0);
    }

    function test_OpeningAnOpenChannelRaisesItsCap() external {
        open(10e6);
        vm.expectEmit(address(market));
        emit IMarket.CapRaised(channelId(0), 15e6);
        open(15e6);
        assertAccount(85e6, 0, 0);
        assertChannel(15e6, 0, 0, 0);
    }

    function testFuzz_DrawsOnExitingAtomsLast(uint96 exiting, uint96 cap) external {
        exiting = uint96(bound(exiting, 1, 100e6));
        cap = uint96(bound(cap, 1, 100e6));
        vm.prank(payer);
        market.requestExit(exiting);
        open(cap);

        uint96 free = 100e6 - exiting;
        if (cap <= free) assertAccount(free - cap, exiting, START + EXIT_NOTICE);
        else if (cap < 100e6) assertAccount(0, 100e6 - cap, START + EXIT_NOTICE);
        else assertAccount(0, 0, 0);
    }

    function test_AfterTheNoticeExitingAtomsCanBeDrawnUntilTheyArePaid() external {
        vm.prank(payer);
        market.requestExit(100e6);
        vm.warp(START + 2 * EXIT_NOTICE);
        open(40e6);
        market.exit(payer);
        vm.assertEq(asset.balanceOf(payer), 60e6);
    }
}

contract RaiseCap_Test is Fixture {
    function raise(uint96 cap) private {
        vm.prank(payer);
        market.raiseCap(provider, sessionKey, cap);
    }

    function test_RevertWhen_TheChannelIsNotOpen() external {
        deposit(payer, 100e6);
        vm.expectRevert(Channel.ChannelNotOpen.selector);
        raise(1);
    }

    function test_RevertWhen_TheAccountDoesNotHoldTheDifference() external {
        openSettled(10e6, 0);
        vm.expectRevert(abi.encodeWithSelector(Account.AccountTooSmall.selector, 1, 0));
        raise(10e6 + 1);
    }

    function test_RaisesTheCapToTheTotal() external {
        openSettled(10e6, 4e6);
        deposit(payer, 10e6);
        raise(15e6);
        assertChannel(15e6, 4e6, 0, 0);
        assertAccount(5e6, 0, 0);
    }
}
