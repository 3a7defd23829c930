// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Account} from "../../src/libraries/Account.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract Deposit_Test is Fixture {
    function test_RevertWhen_ThePayerIsTheZeroAddress() external {
        fund(payer, 1);
        vm.prank(payer);
        vm.expectRevert(IMarket.ZeroAddress.selector);
        market.deposit(address(0), 1);
    }

    function test_RevertWhen_TheAmountIsZero() external {
        vm.prank(payer);
        vm.expectRevert(IMarket.ZeroAmount.selector);
        market.deposit(payer, 0);
    }

    function test_RevertWhen_TheCallerHasNotAllowedTheAmount() external {
        asset.mint(payer, 5);
        vm.prank(payer);
        vm.expectRevert();
        market.deposit(payer, 5);
    }

    function test_RevertWhen_TheAccountWouldOverflow() external {
        deposit(payer, type(uint96).max);
        fund(payer, 1);
        vm.prank(payer);
        vm.expectRevert(
            abi.encodeWithSelector(Account.AccountFull.selector, type(uint96).max, uint256(type(uint96).max) + 1)
        );
        market.deposit(payer, 1);
    }

    function testFuzz_AddsToThePayerWhoeverPays(uint96 first, uint96 second) external {
        first = uint96(bound(first, 1, type(uint96).max / 2));
        second = uint96(bound(second, 1, type(uint96).max / 2));
        deposit(payer, first);
        fund(stranger, second);

        vm.expectEmit(address(market));
        emit IMarket.Deposited(payer, second, first + second);
        vm.prank(stranger);
        market.deposit(payer, second);

        assertAccount(first + second, 0, 0);
        vm.assertEq(freeOf(stranger), 0);
        vm.assertEq(asset.balanceOf(stranger), 0);
        vm.assertEq(asset.balanceOf(address(market)), uint256(first) + second);
    }

    // ------------------------------------------------------------------------------------------------ with a permit

    function permit(uint256 amount, uint256 deadline) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                payer,
                address(market),
                amount,
                asset.nonces(payer),
                deadline
            )
        );
        return vm.sign(PAYER_KEY, keccak256(abi.encodePacked("\x19\x01", asset.DOMAIN_SEPARATOR(), structHash)));
    }

    function test_DepositsWithAGoodPermit() external {
        asset.mint(payer, 7e6);
        (uint8 v, bytes32 r, bytes32 s) = permit(7e6, START + 1);
        vm.prank(payer);
        market.depositWithPermit(7e6, START + 1, v, r, s);
        assertAccount(7e6, 0, 0);
    }

    function test_DepositsWhenSomebodySubmittedThePermitFirst() external {
        asset.mint(payer, 7e6);
        (uint8 v, bytes32 r, bytes32 s) = permit(7e6, START + 1);
        vm.prank(stranger);
        asset.permit(payer, address(market), 7e6, START + 1, v, r, s);

        vm.prank(payer);
        market.depositWithPermit(7e6, START + 1, v, r, s);
        assertAccount(7e6, 0, 0);
    }

    function test_RevertWhen_ThePermitIsBad() external {
        asset.mint(payer, 7e6);
        (uint8 v, bytes32 r, bytes32 s) = permit(6e6, START + 1);
        vm.prank(payer);
        vm.expectRevert();
        market.depositWithPermit(7e6, START + 1, v, r, s);
    }
}
