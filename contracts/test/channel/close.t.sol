// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Channel} from "../../src/libraries/Channel.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract Close_Test is Fixture {
    function close(address caller, uint128 amount, bytes memory signature) private {
        vm.prank(caller);
        market.close(payer, provider, sessionKey, amount, signature);
    }

    function test_RevertWhen_TheChannelIsNotOpen() external {
        bytes memory signature = closeSignature(PROVIDER_KEY, 0);
        vm.expectRevert(Channel.ChannelNotOpen.selector);
        close(payer, 0, signature);

        openSettled(100e6, 0);
        close(payer, 0, signature);
        signature = closeSignature(PROVIDER_KEY, 0);
        vm.expectRevert(Channel.ChannelNotOpen.selector);
        close(payer, 0, signature);
    }

    function test_RevertWhen_TheReceiptKeyDidNotSign() external {
        openSettled(100e6, 10e6);
        bytes memory signature = closeSignature(PAYER_KEY, 10e6);
        vm.expectRevert(abi.encodeWithSelector(IMarket.WrongSigner.selector, provider, payer));
        close(payer, 10e6, signature);

        signature = malleated(closeSignature(PROVIDER_KEY, 10e6));
        vm.expectRevert(abi.encodeWithSelector(IMarket.WrongSigner.selector, provider, address(0)));
        close(payer, 10e6, signature);

        vm.prank(provider);
        market.setReceiptKey(receiptKey);
        signature = closeSignature(PROVIDER_KEY, 10e6);
        vm.expectRevert(abi.encodeWithSelector(IMarket.WrongSigner.selector, receiptKey, provider));
        close(payer, 10e6, signature);
        assertChannel(100e6, 10e6, 0, 0);

        close(payer, 10e6, closeSignature(RECEIPT_KEY, 10e6));
        assertChannel(0, 0, 0, 1);
    }

    function test_RevertWhen_TheSignatureIsForAnotherAmount() external {
        openSettled(100e6, 10e6);
        bytes memory signature = closeSignature(PROVIDER_KEY, 50e6);
        vm.expectRevert();
        close(payer, 20e6, signature);
    }

    function test_RevertWhen_TheSignatureIsOfAnotherEpoch() external {
        bytes memory signature = closeSignature(PROVIDER_KEY, 0);
        openSettled(100e6, 0);
        close(payer, 0, signature);
        open(100e6);
        vm.expectRevert();
        close(payer, 0, signature);
    }

    /// @dev Else a provider could sign a close over the cap and take it all.
    function test_RevertWhen_ItPaysAndTheCallerIsNotThePayer() external {
        openSettled(100e6, 10e6);
        bytes memory signature = closeSignature(PROVIDER_KEY, 10e6 + 1);
        vm.expectRevert(abi.encodeWithSelector(IMarket.OnlyPayer.selector, payer, provider));
        close(provider, 10e6 + 1, signature);
    }

    function testFuzz_ThePayerClosesAtAnyAmount(uint96 settled, uint128 amount) external {
        settled = uint96(bound(settled, 0, 100e6));
        openSettled(100e6, settled);
        uint256 final_ = amount < 100e6 ? amount : 100e6;
        if (final_ < settled) final_ = settled;
        bytes memory signature = shortened(closeSignature(PROVIDER_KEY, amount));

        vm.expectEmit(address(market));
        emit IMarket.ChannelClosed(channelId(0), uint96(final_), uint96(100e6 - final_));
        if (final_ > settled) {
            vm.expectEmit(address(market));
            emit IMarket.Earned(provider, uint128(final_ - settled), uint128(final_));
        }
        close(payer, amount, signature);

        vm.assertEq(market.balanceOf(provider), final_);
        assertAccount(uint96(100e6 - final_), 0, 0);
        assertChannel(0, 0, 0, 1);
    }

    function testFuzz_AnyoneClosesWhereNothingIsPaid(uint128 amount) external {
        openSettled(100e6, 30e6);
        amount = uint128(bound(amount, 0, 30e6));
        close(stranger, amount, closeSignature(PROVIDER_KEY, amount));
        assertAccount(70e6, 0, 0);
        vm.assertEq(market.balanceOf(provider), 30e6);
    }

    function test_ClosesAClosingChannelAtOnce() external {
        openSettled(100e6, 30e6);
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        close(payer, 30e6, closeSignature(PROVIDER_KEY, 30e6));
        assertChannel(0, 0, 0, 1);
    }
}
