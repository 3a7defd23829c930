// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract SetReceiptKey_Test is Fixture {
    function receiptKeyOf(address provider_) private view returns (address key) {
        (,,, key) = market.stakeOf(provider_);
    }

    function test_RevertWhen_TheKeyIsTheZeroAddress() external {
        vm.prank(provider);
        vm.expectRevert(IMarket.ZeroAddress.selector);
        market.setReceiptKey(address(0));
    }

    function test_IsTheProviderUntilAnotherIsNamed() external view {
        vm.assertEq(receiptKeyOf(provider), provider);
        vm.assertTrue(market.isReceiptKey(provider, provider));
        vm.assertFalse(market.isReceiptKey(provider, receiptKey));
        vm.assertFalse(market.isReceiptKey(provider, address(0)));
    }

    function testFuzz_KeepsEveryKeyEverNamed(address first, address second) external {
        vm.assume(first != address(0) && second != address(0));
        vm.prank(provider);
        market.setReceiptKey(first);
        vm.expectEmit(address(market));
        emit IMarket.ReceiptKeySet(provider, second);
        vm.prank(provider);
        market.setReceiptKey(second);

        vm.assertEq(receiptKeyOf(provider), second);
        vm.assertTrue(market.isReceiptKey(provider, first));
        vm.assertTrue(market.isReceiptKey(provider, second));
        vm.assertTrue(market.isReceiptKey(provider, provider));
        vm.assertFalse(market.isReceiptKey(payer, first) && first != payer);
    }
}
