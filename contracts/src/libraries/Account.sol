// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title Account
/// @notice A payer's pooled deposit: atoms that no channel holds yet.
/// @dev Amounts are atoms, times unix seconds. It knows nothing of channels.
library Account {
    using Account for State;

    /// @param free Atoms that channels may be opened with.
    /// @param exiting Atoms on their way back to the payer. Channels may still draw on them until they are paid, so
    /// that a notice cannot void a grant which a provider already serves on.
    /// @param exitsAt First second at which `exiting` can be paid; zero while nothing is exiting.
    struct State {
        // slot 0
        uint96 free;
        uint96 exiting;
        uint40 exitsAt;
    }

    error AccountTooSmall(uint96 required, uint256 available);
    error NothingExiting();
    error ExitNotOver(uint40 exitsAt, uint40 time);

    /// @notice Adds `amount` atoms and returns what is free now.
    /// @dev Overflows, and reverts, only with 2**96 atoms in one account, whose payer can exit to make room.
    function credit(State storage self, uint96 amount) internal returns (uint96 free) {
        free = self.free + amount;
        self.free = free;
    }

    function available(State storage self) internal view returns (uint256) {
        return uint256(self.free) + self.exiting;
    }

    /// @notice Takes `amount` atoms for a channel: free ones first, then exiting ones.
    function draw(State storage self, uint96 amount) internal {
        uint96 free = self.free;
        if (amount <= free) {
            unchecked {
                self.free = free - amount; // `amount <= free` was checked above.
            }
            return;
        }
        uint96 exiting = self.exiting;
        uint96 rest;
        unchecked {
            rest = amount - free; // `amount > free` was checked above.
        }
        if (rest > exiting) revert AccountTooSmall(amount, self.available());
        self.free = 0;
        self.exiting = exiting - rest;
        if (rest == exiting) self.exitsAt = 0;
    }

    /// @notice Moves `amount` atoms from free to exiting; the notice of all that is exiting restarts.
    function requestExit(State storage self, uint96 amount, uint40 exitsAt) internal {
        if (amount > self.free) revert AccountTooSmall(amount, self.free);
        self.free -= amount;
        self.exiting += amount;
        self.exitsAt = exitsAt;
    }

    /// @notice Takes out what is exiting, once its notice is over at `time`.
    function exit(State storage self, uint40 time) internal returns (uint96 amount) {
        amount = self.exiting;
        if (amount == 0) revert NothingExiting();
        if (time < self.exitsAt) revert ExitNotOver(self.exitsAt, time);
        self.exiting = 0;
        self.exitsAt = 0;
    }
}
