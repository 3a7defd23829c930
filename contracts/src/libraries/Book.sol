// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title Book
/// @notice What a provider signs with, offers, and has earned.
/// @dev Amounts are atoms, times unix seconds. It knows nothing of stake.
library Book {
    /// @notice Longest base URL of a gateway: names of 253 characters, with a scheme and no room for essays.
    uint256 internal constant MAX_ENDPOINT_BYTES = 256;
    /// @notice Longest name of a model: twice the longest in use on the public hubs.
    uint256 internal constant MAX_MODEL_BYTES = 128;

    /// @param receiptKey Signs offers, receipts and closes; zero: the provider itself. It shares a slot with the
    /// balance on purpose: closing reads one to write the other, and where a key is named, a settlement after a
    /// withdrawal of everything does not pay for a fresh slot.
    /// @param balance Atoms earned and not yet withdrawn.
    /// @param latestSequence Of the offers posted; zero: none was.
    /// @param minimumSequence Offers under it are withdrawn.
    /// @param named Every receipt key that was ever named.
    struct State {
        // slot 0
        address receiptKey;
        uint96 balance;
        // slot 1
        uint64 latestSequence;
        uint64 minimumSequence;
        // slot 2
        mapping(address key => bool) named;
    }

    error SequenceNotGreater(uint64 latestSequence, uint64 sequence);
    error SequenceWithdrawn(uint64 minimumSequence, uint64 sequence);
    error MinimumNotGreater(uint64 minimumSequence, uint64 requested);
    error OfferExpired(uint64 validUntil, uint64 time);
    error EndpointLength(uint256 maximum, uint256 actual);
    error ModelLength(uint256 maximum, uint256 actual);
    /// @notice Thrown at 2**96 atoms, which no asset of any worth has. Withdrawing makes room.
    error BalanceFull(uint256 maximum, uint256 actual);
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

    function nameReceiptKey(State storage self, address key) internal {
        self.receiptKey = key;
        self.named[key] = true;
    }

    /// @notice The key that signs for `provider`, whose book this is.
    function signer(State storage self, address provider) internal view returns (address key) {
        key = self.receiptKey;
        if (key == address(0)) key = provider;
    }

    /// @notice Whether `key` signs, or ever signed, for `provider`, whose book this is.
    function isReceiptKey(State storage self, address provider, address key) internal view returns (bool) {
        return key == provider || self.named[key];
    }

    /// @notice Adds `amount` atoms and returns the balance now.
    function earn(State storage self, uint256 amount) internal returns (uint96 balance) {
        uint256 sum;
        unchecked {
            sum = self.balance + amount; // Atoms that exist; their sum has no 256 bits.
        }
        if (sum > type(uint96).max) revert BalanceFull(type(uint96).max, sum);
        // forge-lint: disable-next-line(unsafe-typecast)
        balance = uint96(sum); // Checked above.
        self.balance = balance;
    }

    /// @notice Takes out the whole balance.
    function withdraw(State storage self) internal returns (uint96 amount) {
        amount = self.balance;
        if (amount == 0) revert NothingToWithdraw();
        self.balance = 0;
    }
}
