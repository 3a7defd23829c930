// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Book} from "../../src/libraries/Book.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract WithdrawOffers_Test is Fixture {
    function withdrawUnder(uint64 minimum) private {
        vm.prank(provider);
        market.withdrawOffers(minimum);
    }

    function test_RevertWhen_TheMinimumIsNotGreater() external {
        vm.expectRevert(abi.encodeWithSelector(Book.MinimumNotGreater.selector, 0, 0));
        withdrawUnder(0);
        withdrawUnder(5);
        vm.expectRevert(abi.encodeWithSelector(Book.MinimumNotGreater.selector, 5, 5));
        withdrawUnder(5);
    }

    function test_RaisesTheMinimum() external {
        vm.expectEmit(address(market));
        emit IMarket.OffersWithdrawn(provider, 5);
        withdrawUnder(5);
        (uint64 latest, uint64 minimum) = market.offersOf(provider);
        vm.assertEq(latest, 0);
        vm.assertEq(minimum, 5);
    }
}
