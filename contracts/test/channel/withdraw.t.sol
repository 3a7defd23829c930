// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Book} from "../../src/libraries/Book.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract Withdraw_Test is Fixture {
    function test_RevertWhen_TheBalanceIsZero() external {
        vm.expectRevert(Book.NothingToWithdraw.selector);
        market.withdraw(provider);
    }

    function test_PaysTheProviderWhoeverCalls() external {
        openSettled(100e6, 40e6);
        vm.expectEmit(address(market));
        emit IMarket.Withdrawn(provider, 40e6);
        vm.prank(stranger);
        vm.assertEq(market.withdraw(provider), 40e6);
        vm.assertEq(asset.balanceOf(provider), 40e6);
        vm.assertEq(market.balanceOf(provider), 0);
    }
}
