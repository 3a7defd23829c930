// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ChannelId, IMarket} from "../../src/interfaces/IMarket.sol";
import {Fraud} from "../../src/libraries/Fraud.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {Stake} from "../../src/libraries/Stake.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract SlashReceiptEquivocation_Test is Fixture {
    uint96 private constant STAKED = 10e6;

    function setUp() public override {
        super.setUp();
        stake(provider, STAKED);
    }

    function other(uint64 sequence) private view returns (IMarket.Receipt memory receipt) {
        receipt = receiptOf(sequence);
        receipt.responseHash = keccak256("another response");
    }

    function report(IMarket.Receipt memory first, IMarket.Receipt memory second) private {
        report(first, sign(PROVIDER_KEY, first), second, sign(PROVIDER_KEY, second));
    }

    function report(
        IMarket.Receipt memory first,
        bytes memory firstSignature,
        IMarket.Receipt memory second,
        bytes memory secondSignature
    ) private {
        vm.prank(stranger);
        market.slashReceiptEquivocation(payer, provider, sessionKey, 0, first, firstSignature, second, secondSignature);
    }

    function refuse(IMarket.Receipt memory first, IMarket.Receipt memory second, bytes memory err) private {
        (bytes memory firstSignature, bytes memory secondSignature) =
            (sign(PROVIDER_KEY, first), sign(PROVIDER_KEY, second));
        vm.expectRevert(err);
        report(first, firstSignature, second, secondSignature);
    }

    // ------------------------------------------------------------------------------------------------ refused

    function test_RevertWhen_AnotherKeySignedEither() external {
        (IMarket.Receipt memory first, IMarket.Receipt memory second) = (receiptOf(0), other(0));
        (bytes memory ours, bytes memory theirs) = (sign(PROVIDER_KEY, first), sign(STRANGER_KEY, second));
        bytes memory err = abi.encodeWithSelector(IMarket.NotReceiptKey.selector, provider, stranger);
        vm.expectRevert(err);
        report(first, ours, second, theirs);
        vm.expectRevert(err);
        report(second, theirs, first, ours);
    }

    function test_RevertWhen_EitherReceiptIsOfAnotherChannel() external {
        IMarket.Receipt memory elsewhere = other(0);
        elsewhere.channelId = channelId(1);
        bytes memory err = abi.encodeWithSelector(Fraud.ChannelMismatch.selector, channelId(0), channelId(1));
        refuse(receiptOf(0), elsewhere, err);
        refuse(elsewhere, receiptOf(0), err);
    }

    /// @dev One operator, two providers, one key: what it signs for one is no word of the other's.
    function test_RevertWhen_TheChannelIsAnotherProvidersOfTheSameKey() external {
        vm.prank(stranger);
        market.setReceiptKey(provider);
        stake(stranger, STAKED);
        (IMarket.Receipt memory first, IMarket.Receipt memory second) = (receiptOf(0), other(0));
        (bytes memory firstSignature, bytes memory secondSignature) =
            (sign(PROVIDER_KEY, first), sign(PROVIDER_KEY, second));
        ChannelId theirs = Hash.channelId(payer, stranger, sessionKey, 0);
        vm.expectRevert(abi.encodeWithSelector(Fraud.ChannelMismatch.selector, theirs, channelId(0)));
        market.slashReceiptEquivocation(payer, stranger, sessionKey, 0, first, firstSignature, second, secondSignature);
    }

    function testFuzz_RevertWhen_TheSequencesDiffer(uint64 first, uint64 second) external {
        vm.assume(first != second);
        refuse(receiptOf(first), other(second), abi.encodeWithSelector(Fraud.SequenceMismatch.selector, first, second));
    }

    function test_RevertWhen_TheReceiptsAreOne() external {
        IMarket.Receipt memory receipt = receiptOf(3);
        bytes memory err = abi.encodeWithSelector(Fraud.NotTwo.selector, lens.hashReceipt(receipt));
        refuse(receipt, receipt, err);
        bytes memory signature = sign(PROVIDER_KEY, receipt);
        vm.expectRevert(err);
        report(receipt, signature, receipt, shortened(signature));
    }

    function test_RevertWhen_ItWasProvenBefore() external {
        report(receiptOf(5), other(5));
        stake(provider, STAKED);
        bytes32 fraud = keccak256(abi.encode("receipts", channelId(0), uint64(5)));
        bytes memory err = abi.encodeWithSelector(Fraud.AlreadyProven.selector, fraud);
        refuse(receiptOf(5), other(5), err);
        refuse(other(5), receiptOf(5), err);
        IMarket.Receipt memory third = receiptOf(5);
        third.tokensHash = keccak256("yet another");
        refuse(third, other(5), err);

        report(receiptOf(6), other(6));
        assertSlashed(2 * STAKED, stranger, 2 * (STAKED / 3));
    }

    function test_RevertWhen_NothingIsStaked() external {
        report(receiptOf(0), other(0));
        refuse(receiptOf(1), other(1), abi.encodeWithSelector(Stake.NothingStaked.selector));
    }

    // ------------------------------------------------------------------------------------------------ proven

    function testFuzz_SlashesTheWholeStakeAndTellsIt(uint64 sequence) external {
        (IMarket.Receipt memory first, IMarket.Receipt memory second) = (receiptOf(sequence), other(sequence));
        bytes memory firstSignature = sign(PROVIDER_KEY, first);
        bytes memory secondSignature = sign(PROVIDER_KEY, second);
        (bytes32 firstHash, bytes32 secondHash) = (lens.hashReceipt(first), lens.hashReceipt(second));
        vm.expectEmit(address(market));
        emit IMarket.ReceiptEquivocationProven(provider, stranger, channelId(0), sequence, firstHash, secondHash);
        vm.expectEmit(address(market));
        emit IMarket.Slashed(provider, stranger, STAKED / 3, STAKED - STAKED / 3, 0, 0);
        report(first, firstSignature, second, secondSignature);
        assertSlashed(STAKED, stranger, STAKED / 3);
    }

    function test_TakesReceiptsOfAnEarlierEpoch() external {
        (IMarket.Receipt memory first, IMarket.Receipt memory second) = (receiptOf(0), other(0));
        deposit(payer, 10e6);
        open(10e6);
        vm.prank(payer);
        market.close(payer, provider, sessionKey, 0, closeSignature(PROVIDER_KEY, 0));
        report(first, second);
        assertSlashed(STAKED, stranger, STAKED / 3);
    }

    function test_TakesTwoKeysOfTheProvider() external {
        vm.prank(provider);
        market.setReceiptKey(receiptKey);
        report(receiptOf(0), sign(PROVIDER_KEY, receiptOf(0)), other(0), sign(RECEIPT_KEY, other(0)));
        assertSlashed(STAKED, stranger, STAKED / 3);
    }
}
