// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Account} from "../../src/libraries/Account.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract Exit_Test is Fixture {
    function setUp() public override {
        super.setUp();
        deposit(payer, 100e6);
    }

    function request(uint96 amount) private {
        vm.prank(payer);
        market.requestExit(amount);
    }

    function test_RevertWhen_NothingIsRequested() external {
        vm.expectRevert(IMarket.ZeroAmount.selector);
        request(0);
    }

    function test_RevertWhen_MoreIsRequestedThanIsFree() external {
        vm.expectRevert(abi.encodeWithSelector(Account.AccountTooSmall.selector, 100e6 + 1, 100e6));
        request(100e6 + 1);
    }

    function testFuzz_RequestMovesFreeToExiting(uint96 amount) external {
        amount = uint96(bound(amount, 1, 100e6));
        vm.expectEmit(address(market));
        emit IMarket.ExitRequested(payer, 100e6 - amount, amount, START + EXIT_NOTICE);
        request(amount);
        assertAccount(100e6 - amount, amount, START + EXIT_NOTICE);
    }

    function test_AnotherRequestRestartsTheNoticeForTheSum() external {
        request(10e6);
        vm.warp(START + EXIT_NOTICE - 1);
        request(5e6);
        assertAccount(85e6, 15e6, START + 2 * EXIT_NOTICE - 1);
    }

    function test_RevertWhen_NothingIsExiting() external {
        vm.expectRevert(Account.NothingExiting.selector);
        market.exit(payer);
    }

    function test_RevertWhen_TheNoticeIsNotOver() external {
        request(10e6);
        vm.warp(START + EXIT_NOTICE - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                Account.ExitNotOver.selector, uint256(START + EXIT_NOTICE), uint256(START + EXIT_NOTICE - 1)
            )
        );
        market.exit(payer);
    }

    function test_PaysThePayerWhoeverCalls() external {
        request(10e6);
        vm.warp(START + EXIT_NOTICE);
        vm.expectEmit(address(market));
        emit IMarket.Exited(payer, 10e6);
        vm.prank(stranger);
        market.exit(payer);

        assertAccount(90e6, 0, 0);
        vm.assertEq(asset.balanceOf(payer), 10e6);

        vm.expectRevert(Account.NothingExiting.selector);
        market.exit(payer);
    }
}
