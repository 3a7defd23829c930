// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Book} from "../../src/libraries/Book.sol";
import {Stake} from "../../src/libraries/Stake.sol";
import {Fixture} from "../Fixture.sol";
import {bound, vm} from "../Vm.sol";

contract PostOffer_Test is Fixture {
    function setUp() public override {
        super.setUp();
        stake(provider, MINIMUM_STAKE);
    }

    function expectWrongSigner(address expected, address actual) private {
        vm.expectRevert(abi.encodeWithSelector(IMarket.WrongSigner.selector, expected, actual));
    }

    function testFuzz_RevertWhen_AnotherKeySigned(uint256 key) external {
        key = bound(key, 1, 1e30);
        vm.assume(key != PROVIDER_KEY);
        IMarket.Offer memory offer = offerOf(1);
        bytes memory signature = sign(key, offer);
        expectWrongSigner(provider, vm.addr(key));
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_AnEarlierReceiptKeySigned() external {
        vm.prank(provider);
        market.setReceiptKey(receiptKey);
        IMarket.Offer memory offer = offerOf(1);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        expectWrongSigner(receiptKey, provider);
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_TheSignatureIsMalleated() external {
        IMarket.Offer memory offer = offerOf(1);
        bytes memory signature = malleated(sign(PROVIDER_KEY, offer));
        expectWrongSigner(provider, address(0));
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_TheProviderIsTheZeroAddressAndNobodySigned() external {
        IMarket.Offer memory offer = offerOf(1);
        offer.provider = address(0);
        expectWrongSigner(address(0), address(0));
        market.postOffer(offer, new bytes(65));
    }

    function testFuzz_RevertWhen_TheSignatureIsAnyBytes(bytes calldata signature) external {
        IMarket.Offer memory offer = offerOf(1);
        vm.expectRevert();
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_TheStakeIsTooSmall() external {
        vm.prank(provider);
        market.requestUnstake(1);
        IMarket.Offer memory offer = offerOf(1);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        vm.expectRevert(abi.encodeWithSelector(Stake.StakeTooSmall.selector, MINIMUM_STAKE, MINIMUM_STAKE - 1));
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_TheOfferHasExpired() external {
        IMarket.Offer memory offer = offerOf(1);
        offer.validUntil = START;
        bytes memory signature = sign(PROVIDER_KEY, offer);
        vm.expectRevert(abi.encodeWithSelector(Book.OfferExpired.selector, uint256(START), uint256(START)));
        market.postOffer(offer, signature);
    }

    function refuseTexts(string memory endpoint, string memory model, bytes memory err) private {
        IMarket.Offer memory offer = offerOf(1);
        (offer.endpoint, offer.model) = (endpoint, model);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        vm.expectRevert(err);
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_ATextIsEmptyOrTooLong() external {
        refuseTexts("", "m", abi.encodeWithSelector(Book.EndpointLength.selector, 256, 0));
        refuseTexts(string(new bytes(257)), "m", abi.encodeWithSelector(Book.EndpointLength.selector, 256, 257));
        refuseTexts("e", "", abi.encodeWithSelector(Book.ModelLength.selector, 128, 0));
        refuseTexts("e", string(new bytes(129)), abi.encodeWithSelector(Book.ModelLength.selector, 128, 129));
    }

    function test_TakesTheLongestTexts() external {
        IMarket.Offer memory offer = offerOf(1);
        (offer.endpoint, offer.model) = (string(new bytes(256)), string(new bytes(128)));
        market.postOffer(offer, sign(PROVIDER_KEY, offer));
    }

    function testFuzz_RevertWhen_TheSequenceIsNotGreater(uint64 latest, uint64 sequence) external {
        latest = uint64(bound(latest, 1, type(uint64).max));
        sequence = uint64(bound(sequence, 0, latest));
        IMarket.Offer memory offer = offerOf(latest);
        market.postOffer(offer, sign(PROVIDER_KEY, offer));

        offer.sequence = sequence;
        bytes memory signature = sign(PROVIDER_KEY, offer);
        vm.expectRevert(abi.encodeWithSelector(Book.SequenceNotGreater.selector, latest, sequence));
        market.postOffer(offer, signature);
    }

    function test_RevertWhen_TheSequenceWasWithdrawn() external {
        vm.prank(provider);
        market.withdrawOffers(8);
        IMarket.Offer memory offer = offerOf(7);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        vm.expectRevert(abi.encodeWithSelector(Book.SequenceWithdrawn.selector, 8, 7));
        market.postOffer(offer, signature);
    }

    function test_PostsForAnyoneInEitherForm() external {
        IMarket.Offer memory offer = offerOf(1);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        bytes32 offerHash = lens.hashOffer(offer);
        vm.expectEmit(address(market));
        emit IMarket.OfferPosted(provider, 1, offerHash, offer);
        vm.prank(stranger);
        vm.assertEq(market.postOffer(offer, signature), offerHash);

        offer.sequence = 9;
        market.postOffer(offer, shortened(sign(PROVIDER_KEY, offer)));
        (uint64 latest, uint64 minimum) = market.offersOf(provider);
        vm.assertEq(latest, 9);
        vm.assertEq(minimum, 0);
    }

    function test_TakesTheNamedReceiptKey() external {
        vm.prank(provider);
        market.setReceiptKey(receiptKey);
        IMarket.Offer memory offer = offerOf(1);
        market.postOffer(offer, sign(RECEIPT_KEY, offer));
    }
}
