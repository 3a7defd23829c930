// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Fraud} from "../../src/libraries/Fraud.sol";
import {Stake} from "../../src/libraries/Stake.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract SlashOvercharge_Test is Fixture {
    uint96 private constant STAKED = 10e6 + 1;

    function setUp() public override {
        super.setUp();
        stake(provider, STAKED);
    }

    /// @dev One atom above the price.
    function dear(uint64 sequence) private view returns (IMarket.Receipt memory receipt) {
        receipt = receiptOf(sequence);
        receipt.cost += 1;
    }

    function report(address reporter, IMarket.Offer memory offer, IMarket.Receipt memory receipt, uint256 key) private {
        bytes memory signature = sign(key, receipt);
        vm.prank(reporter);
        market.slashOvercharge(offer, receipt, signature);
    }

    function refuse(IMarket.Receipt memory receipt, bytes memory signature, bytes memory err) private {
        IMarket.Offer memory offer = offerOf(1);
        vm.expectRevert(err);
        market.slashOvercharge(offer, receipt, signature);
    }

    function notReceiptKey(address provider_, address signer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IMarket.NotReceiptKey.selector, provider_, signer);
    }

    // ------------------------------------------------------------------------------------------------ refused

    function testFuzz_RevertWhen_AnotherKeySigned(uint256 key) external {
        key = bound(key, 1, 1e30);
        vm.assume(key != PROVIDER_KEY);
        refuse(dear(0), sign(key, dear(0)), notReceiptKey(provider, vm.addr(key)));
    }

    function testFuzz_RevertWhen_TheSignatureIsAnyBytes(bytes calldata signature) external {
        IMarket.Offer memory offer = offerOf(1);
        IMarket.Receipt memory receipt = dear(0);
        vm.expectRevert();
        market.slashOvercharge(offer, receipt, signature);
    }

    function test_RevertWhen_TheSignatureIsMalleated() external {
        refuse(dear(0), malleated(sign(PROVIDER_KEY, dear(0))), notReceiptKey(provider, address(0)));
    }

    /// @dev The zero address is its own receipt key, and every bad signature names it.
    function test_RevertWhen_TheProviderIsTheZeroAddressAndNobodySigned() external {
        IMarket.Offer memory offer = offerOf(1);
        offer.provider = address(0);
        IMarket.Receipt memory receipt = dear(0);
        receipt.offerHash = lens.hashOffer(offer);
        vm.expectRevert(notReceiptKey(address(0), address(0)));
        market.slashOvercharge(offer, receipt, new bytes(65));
    }

    /// @dev The stranger names the provider's key as its own, and shows what the provider signed for itself.
    function test_RevertWhen_TheReceiptNamesAnotherOffer() external {
        vm.prank(stranger);
        market.setReceiptKey(provider);
        IMarket.Offer memory offer = offerOf(1);
        (offer.provider, offer.inputPrice) = (stranger, 0);
        IMarket.Receipt memory receipt = receiptOf(0);
        bytes memory signature = sign(PROVIDER_KEY, receipt);
        vm.expectRevert(abi.encodeWithSelector(Fraud.OfferMismatch.selector, receipt.offerHash, lens.hashOffer(offer)));
        market.slashOvercharge(offer, receipt, signature);
    }

    function testFuzz_RevertWhen_TheCostIsThePriceOrLess(uint128 cost) external {
        IMarket.Receipt memory receipt = receiptOf(0);
        receipt.cost = uint128(bound(cost, 0, receipt.cost));
        bytes memory err = abi.encodeWithSelector(Fraud.NotOvercharged.selector, 500, receipt.cost);
        refuse(receipt, sign(PROVIDER_KEY, receipt), err);
    }

    function test_RevertWhen_ItWasProvenBefore() external {
        IMarket.Receipt memory receipt = dear(0);
        report(stranger, offerOf(1), receipt, PROVIDER_KEY);
        bytes32 fraud = keccak256(abi.encode("overcharge", lens.hashReceipt(receipt)));
        bytes memory err = abi.encodeWithSelector(Fraud.AlreadyProven.selector, fraud);
        refuse(receipt, sign(PROVIDER_KEY, receipt), err);

        stake(provider, STAKED);
        refuse(receipt, sign(PROVIDER_KEY, receipt), err);
        refuse(receipt, shortened(sign(PROVIDER_KEY, receipt)), err);
        assertStake(STAKED, 0, 0);
    }

    function test_RevertWhen_NothingIsStakedAndProvesItLater() external {
        report(stranger, offerOf(1), dear(0), PROVIDER_KEY);
        refuse(dear(1), sign(PROVIDER_KEY, dear(1)), abi.encodeWithSelector(Stake.NothingStaked.selector));

        stake(provider, STAKED);
        report(payer, offerOf(1), dear(1), PROVIDER_KEY);
        vm.assertEq(market.balanceOf(payer), STAKED / 3);
    }

    // ------------------------------------------------------------------------------------------------ proven

    function test_SlashesAllThereIsAndTellsIt() external {
        vm.prank(provider);
        market.requestUnstake(4e6);
        IMarket.Receipt memory receipt = dear(0);
        (bytes32 offerHash, bytes32 receiptHash) = (lens.hashOffer(offerOf(1)), lens.hashReceipt(receipt));
        vm.expectEmit(address(market));
        emit IMarket.OverchargeProven(provider, stranger, receiptHash, offerHash, 500, 501);
        vm.expectEmit(address(market));
        emit IMarket.Slashed(provider, stranger, STAKED / 3, STAKED - STAKED / 3, 0, 0);
        vm.expectEmit(address(market));
        emit IMarket.Earned(stranger, STAKED / 3, STAKED / 3);
        report(stranger, offerOf(1), receipt, PROVIDER_KEY);
        assertSlashed(STAKED, stranger, STAKED / 3);

        market.withdraw(stranger);
        vm.assertEq(asset.balanceOf(stranger), STAKED / 3);
        vm.assertEq(asset.balanceOf(address(market)), 0);
    }

    function test_TakesStakeWhoseNoticeIsOver() external {
        vm.prank(provider);
        market.requestUnstake(STAKED);
        vm.warp(START + 2 * UNSTAKE_NOTICE);
        IMarket.Receipt memory receipt = receiptOf(0);
        IMarket.Offer memory offer = offerOf(1);
        (receipt.offerHash, receipt.cost) = (lens.hashOffer(offer), 501);
        report(stranger, offer, receipt, PROVIDER_KEY);
        assertSlashed(STAKED, stranger, STAKED / 3);
    }

    function test_BurnsAllOfItWhenTheProviderReportsItself() external {
        report(provider, offerOf(1), dear(0), PROVIDER_KEY);
        assertSlashed(STAKED, provider, 0);
    }

    function test_TakesAnyKeyThatWasEverNamed() external {
        vm.prank(provider);
        market.setReceiptKey(receiptKey);
        vm.prank(provider);
        market.setReceiptKey(stranger);
        report(payer, offerOf(1), dear(0), RECEIPT_KEY);
        stake(provider, STAKED);
        report(payer, offerOf(1), dear(1), PROVIDER_KEY);
        stake(provider, STAKED);
        report(payer, offerOf(1), dear(2), STRANGER_KEY);
        vm.assertEq(market.balanceOf(payer), 3 * uint256(STAKED / 3));
    }

    function test_CountsCachedTokensBeyondTheInputAsNone() external {
        IMarket.Receipt memory receipt = receiptOf(0);
        receipt.cachedInputTokens = type(uint32).max;
        receipt.cost = 350; // 3,001 cached and 687 output tokens: 349.825
        bytes memory err = abi.encodeWithSelector(Fraud.NotOvercharged.selector, 350, 350);
        refuse(receipt, sign(PROVIDER_KEY, receipt), err);
        receipt.cost = 351;
        report(stranger, offerOf(1), receipt, PROVIDER_KEY);
    }

    /// @dev Against the formula of the specification, over whole ranges: no prices and counts overflow.
    function testFuzz_SlashesExactlyAboveThePrice(
        uint64[3] calldata prices,
        uint32[3] calldata counts,
        uint128 cost,
        uint8 near
    ) external {
        IMarket.Offer memory offer = offerOf(1);
        (offer.inputPrice, offer.cachedInputPrice, offer.outputPrice) = (prices[0], prices[1], prices[2]);
        IMarket.Receipt memory receipt = receiptOf(0);
        (receipt.offerHash, receipt.inputTokens, receipt.outputTokens) = (lens.hashOffer(offer), counts[0], counts[2]);
        uint256 cached = bound(counts[1], 0, counts[0]);
        // forge-lint: disable-next-line(unsafe-typecast)
        receipt.cachedInputTokens = uint32(cached); // Not more than the input.
        uint256 price = (counts[0] - cached) * prices[0] + cached * prices[1] + uint256(counts[2]) * prices[2];
        price = price / 1e6 + (price % 1e6 == 0 ? 0 : 1);
        // Half of the costs within 128 of the price: chance would never come near.
        // forge-lint: disable-next-line(unsafe-typecast)
        receipt.cost = cost % 2 == 0 ? cost : uint128((price + near) > 128 ? price + near - 128 : near);

        bytes memory signature = sign(PROVIDER_KEY, receipt);
        if (receipt.cost <= price) {
            vm.expectRevert(abi.encodeWithSelector(Fraud.NotOvercharged.selector, price, receipt.cost));
        }
        market.slashOvercharge(offer, receipt, signature);
        (uint96 staked,,,) = market.stakeOf(provider);
        vm.assertEq(staked, receipt.cost <= price ? STAKED : 0);
    }

    function testFuzz_TakesAllAndBurnsTwoThirds(uint96 staked, uint96 exiting) external {
        staked = uint96(bound(staked, 0, type(uint96).max - STAKED));
        exiting = uint96(bound(exiting, 0, STAKED));
        if (exiting != 0) {
            vm.prank(provider);
            market.requestUnstake(exiting);
        }
        if (staked != 0) stake(provider, staked);
        report(stranger, offerOf(1), dear(0), PROVIDER_KEY);
        assertSlashed(staked + STAKED, stranger, (staked + STAKED) / 3);
    }
}
