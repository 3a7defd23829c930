// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ChannelId, IMarket} from "../interfaces/IMarket.sol";
import {Hash} from "./Hash.sol";

/// @title Fraud
/// @notice What a provider's own messages prove against it: arithmetic, and no judge.
/// @dev Amounts are atoms. It knows neither who signed nor what is at stake. A fraud is named by what it is about, never
/// by the bytes of a signature, of which one message has at least two: so no form of the same proof counts again.
library Fraud {
    using Fraud for State;

    /// @notice Tokens for which an offer names its prices.
    uint256 internal constant MTOK = 1_000_000;

    /// @param proven By name.
    struct State {
        // slot 0
        mapping(bytes32 fraud => bool) proven;
    }

    error AlreadyProven(bytes32 fraud);
    /// @notice The receipt was issued under another offer.
    error OfferMismatch(bytes32 expected, bytes32 actual);
    error NotOvercharged(uint256 price, uint128 cost);
    error ChannelMismatch(ChannelId expected, ChannelId actual);
    error ProviderMismatch(address first, address second);
    error SequenceMismatch(uint64 first, uint64 second);
    /// @notice One message, twice.
    error NotTwo(bytes32 structHash);

    /// @notice Books that `fraud` is proven, once.
    function prove(State storage self, bytes32 fraud) internal {
        if (self.proven[fraud]) revert AlreadyProven(fraud);
        self.proven[fraud] = true;
    }

    /// @notice What the counts of `receipt` cost under `offer`, rounded up once.
    /// @dev Cached tokens beyond the input count as none. No true receipt has any, and a provider that bills so gets no
    /// more than one whose input was cached throughout: what it may claim is bounded either way.
    function price(IMarket.Offer calldata offer, IMarket.Receipt calldata receipt) internal pure returns (uint256) {
        uint256 input = receipt.inputTokens;
        uint256 cached = receipt.cachedInputTokens < input ? receipt.cachedInputTokens : input;
        // Three products of 32 and 64 bits: their sum has no 100.
        uint256 parts = (input - cached) * offer.inputPrice + cached * offer.cachedInputPrice
            + uint256(receipt.outputTokens) * offer.outputPrice;
        return (parts + MTOK - 1) / MTOK;
    }

    /// @notice Checks that `receipt` costs more than the offer under which it was issued says.
    /// @dev Its signature is the offer's too: it names the offer by hash. Costing less harms nobody but its signer.
    /// @return fraud Its name: one false receipt is one fraud.
    /// @return due The price.
    function requireOvercharge(
        IMarket.Offer calldata offer,
        IMarket.Receipt calldata receipt,
        bytes32 offerHash,
        bytes32 receiptHash
    ) internal pure returns (bytes32 fraud, uint256 due) {
        if (receipt.offerHash != offerHash) revert OfferMismatch(receipt.offerHash, offerHash);
        due = price(offer, receipt);
        if (receipt.cost <= due) revert NotOvercharged(due, receipt.cost);
        fraud = keccak256(abi.encode("overcharge", receiptHash));
    }

    /// @notice Checks that two receipts claim one place in `channel`, which the caller knows to be the provider's.
    /// @return fraud Its name: a place has one receipt, and however many more are one fraud.
    function requireReceiptEquivocation(
        ChannelId channel,
        IMarket.Receipt calldata first,
        IMarket.Receipt calldata second,
        bytes32 firstHash,
        bytes32 secondHash
    ) internal pure returns (bytes32 fraud) {
        _requireOf(channel, first);
        _requireOf(channel, second);
        _requireTwo(first.sequence, second.sequence, firstHash, secondHash);
        fraud = keccak256(abi.encode("receipts", channel, first.sequence));
    }

    /// @notice Checks that two offers of one provider claim one sequence.
    /// @return fraud Its name: a sequence has one offer, and however many more are one fraud.
    function requireOfferEquivocation(
        IMarket.Offer calldata first,
        IMarket.Offer calldata second,
        bytes32 firstHash,
        bytes32 secondHash
    ) internal pure returns (bytes32 fraud) {
        if (first.provider != second.provider) {
            revert ProviderMismatch(first.provider, second.provider);
        }
        _requireTwo(first.sequence, second.sequence, firstHash, secondHash);
        fraud = keccak256(abi.encode("offers", first.provider, first.sequence));
    }

    function _requireOf(ChannelId channel, IMarket.Receipt calldata receipt) private pure {
        if (ChannelId.unwrap(receipt.channelId) != ChannelId.unwrap(channel)) {
            revert ChannelMismatch(channel, receipt.channelId);
        }
    }

    function _requireTwo(uint64 first, uint64 second, bytes32 firstHash, bytes32 secondHash) private pure {
        if (first != second) revert SequenceMismatch(first, second);
        if (firstHash == secondHash) revert NotTwo(firstHash);
    }
}
