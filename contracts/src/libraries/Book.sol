// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title Book
/// @notice What a provider offers and what it has earned.
/// @dev Both share a slot on purpose: a provider with an offer has a slot that is never zero, so a settlement after a
/// withdrawal of everything does not pay for a fresh one (17,100 gas).
library Book {
    /// @notice Longest base URL of a gateway: names of 253 characters, with a scheme and no room for essays.
    uint256 internal constant MAX_ENDPOINT_BYTES = 256;
    /// @notice Longest name of a model: twice the longest in use on the public hubs.
    uint256 internal constant MAX_MODEL_BYTES = 128;

    /// @param latestSequence Of the offers posted; zero: none was.
    /// @param minimumSequence Offers under it are withdrawn.
    /// @param balance Atoms earned and not yet withdrawn.
    struct State {
        // slot 0
        uint64 latestSequence;
        uint64 minimumSequence;
        uint128 balance;
    }

    error SequenceNotGreater(uint64 latestSequence, uint64 sequence);
    error SequenceWithdrawn(uint64 minimumSequence, uint64 sequence);
    error MinimumNotGreater(uint64 minimumSequence, uint64 requested);
    error OfferExpired(uint64 validUntil, uint64 time);
    error EndpointLength(uint256 maximum, uint256 actual);
    error ModelLength(uint256 maximum, uint256 actual);
    error NothingToWithdraw();

    /// @notice Checks what an offer says of itself: texts neither empty nor too long, and a future at `time`.
    function requirePostable(string calldata endpoint, string calldata model, uint64 validUntil, uint64 time)
        internal
        pure
    {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT_BYTES) revert EndpointLength(MAX_ENDPOINT_BYTES, length);
        length = bytes(model).length;
        if (length == 0 || length > MAX_MODEL_BYTES) revert ModelLength(MAX_MODEL_BYTES, length);
        if (validUntil <= time) revert OfferExpired(validUntil, time);
    }

    /// @notice Enters an offer's sequence.
    function post(State storage self, uint64 sequence) internal {
        if (sequence <= self.latestSequence) revert SequenceNotGreater(self.latestSequence, sequence);
        if (sequence < self.minimumSequence) revert SequenceWithdrawn(self.minimumSequence, sequence);
        self.latestSequence = sequence;
    }

    /// @notice Withdraws every offer under `minimumSequence`, posted or not.
    function withdrawOffers(State storage self, uint64 minimumSequence) internal {
        if (minimumSequence <= self.minimumSequence) {
            revert MinimumNotGreater(self.minimumSequence, minimumSequence);
        }
        self.minimumSequence = minimumSequence;
    }

    /// @notice Adds `amount` atoms and returns the balance now.
    function earn(State storage self, uint128 amount) internal returns (uint128 balance) {
        balance = self.balance + amount;
        self.balance = balance;
    }

    /// @notice Takes out the whole balance.
    function withdraw(State storage self) internal returns (uint128 amount) {
        amount = self.balance;
        if (amount == 0) revert NothingToWithdraw();
        self.balance = 0;
    }
}
