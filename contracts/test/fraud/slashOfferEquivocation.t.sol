// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Fraud} from "../../src/libraries/Fraud.sol";
import {Stake} from "../../src/libraries/Stake.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract SlashOfferEquivocation_Test is Fixture {
    uint96 private constant STAKED = MINIMUM_STAKE;

    function setUp() public override {
        super.setUp();
        stake(provider, STAKED);
    }

    function other(uint64 sequence) private view returns (IMarket.Offer memory offer) {
        offer = offerOf(sequence);
        offer.outputPrice += 1;
    }

    function report(
        IMarket.Offer memory first,
        bytes memory firstSignature,
        IMarket.Offer memory second,
        bytes memory secondSignature
    ) private {
        vm.prank(stranger);
        market.slashOfferEquivocation(first, firstSignature, second, secondSignature);
    }

    function report(IMarket.Offer memory first, IMarket.Offer memory second) private {
        report(first, sign(PROVIDER_KEY, first), second, sign(PROVIDER_KEY, second));
    }

    function refuse(IMarket.Offer memory first, IMarket.Offer memory second, bytes memory err) private {
        (bytes memory firstSignature, bytes memory secondSignature) =
            (sign(PROVIDER_KEY, first), sign(PROVIDER_KEY, second));
        vm.expectRevert(err);
        report(first, firstSignature, second, secondSignature);
    }

    // ------------------------------------------------------------------------------------------------ refused

    function test_RevertWhen_AnotherKeySignedEither() external {
        (IMarket.Offer memory first, IMarket.Offer memory second) = (offerOf(1), other(1));
        (bytes memory ours, bytes memory theirs) = (sign(PROVIDER_KEY, first), sign(STRANGER_KEY, second));
        bytes memory err = abi.encodeWithSelector(IMarket.NotReceiptKey.selector, provider, stranger);
        vm.expectRevert(err);
        report(first, ours, second, theirs);
        vm.expectRevert(err);
        report(second, theirs, first, ours);
    }

    function test_RevertWhen_TheProvidersDifferThoughOneKeySignsForBoth() external {
        vm.prank(stranger);
        market.setReceiptKey(provider);
        stake(stranger, STAKED);
        IMarket.Offer memory theirs = offerOf(1);
        theirs.provider = stranger;
        refuse(offerOf(1), theirs, abi.encodeWithSelector(Fraud.ProviderMismatch.selector, provider, stranger));
        refuse(theirs, offerOf(1), abi.encodeWithSelector(Fraud.ProviderMismatch.selector, stranger, provider));
    }

    function testFuzz_RevertWhen_TheSequencesDiffer(uint64 first, uint64 second) external {
        vm.assume(first != second);
        refuse(offerOf(first), other(second), abi.encodeWithSelector(Fraud.SequenceMismatch.selector, first, second));
    }

    function test_RevertWhen_TheOffersAreOne() external {
        IMarket.Offer memory offer = offerOf(1);
        bytes memory err = abi.encodeWithSelector(Fraud.NotTwo.selector, lens.hashOffer(offer));
        refuse(offer, offer, err);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        vm.expectRevert(err);
        report(offer, shortened(signature), offer, signature);
    }

    function test_RevertWhen_ItWasProvenBefore() external {
        report(offerOf(7), other(7));
        stake(provider, STAKED);
        bytes32 fraud = keccak256(abi.encode("offers", provider, uint64(7)));
        bytes memory err = abi.encodeWithSelector(Fraud.AlreadyProven.selector, fraud);
        refuse(offerOf(7), other(7), err);
        IMarket.Offer memory third = offerOf(7);
        third.model = "another model";
        refuse(third, offerOf(7), err);

        report(offerOf(8), other(8));
        assertSlashed(2 * STAKED, stranger, 2 * (STAKED / 3));
    }

    function test_RevertWhen_NothingIsStaked() external {
        report(offerOf(1), other(1));
        refuse(offerOf(2), other(2), abi.encodeWithSelector(Stake.NothingStaked.selector));
    }

    // ------------------------------------------------------------------------------------------------ proven

    function testFuzz_SlashesTheWholeStakeAndTellsIt(uint64 sequence) external {
        (IMarket.Offer memory first, IMarket.Offer memory second) = (offerOf(sequence), other(sequence));
        bytes memory firstSignature = sign(PROVIDER_KEY, first);
        bytes memory secondSignature = sign(PROVIDER_KEY, second);
        (bytes32 firstHash, bytes32 secondHash) = (lens.hashOffer(first), lens.hashOffer(second));
        vm.expectEmit(address(market));
        emit IMarket.OfferEquivocationProven(provider, stranger, sequence, firstHash, secondHash);
        vm.expectEmit(address(market));
        emit IMarket.Slashed(provider, stranger, STAKED / 3, STAKED - STAKED / 3, 0, 0);
        report(first, firstSignature, second, secondSignature);
        assertSlashed(STAKED, stranger, STAKED / 3);
    }

    function test_TakesOneThatWasPostedAndOneThatWasNot() external {
        market.postOffer(offerOf(1), sign(PROVIDER_KEY, offerOf(1)));
        report(offerOf(1), other(1));
        assertSlashed(STAKED, stranger, STAKED / 3);
    }
}
