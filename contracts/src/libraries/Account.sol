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

    error AccountTooSmall(uint256 required, uint256 available);
    /// @notice Thrown at 2**96 free atoms, which no asset of any worth has. The payer can exit some to make room.
    error AccountFull(uint256 maximum, uint256 actual);
    error NothingExiting();
    error ExitNotOver(uint40 exitsAt, uint40 time);

    /// @notice Adds `amount` atoms and returns what is free now.
    function credit(State storage self, uint96 amount) internal returns (uint96 free) {
        uint256 sum;
        unchecked {
            sum = uint256(self.free) + amount; // Two numbers of 96 bits.
        }
        if (sum > type(uint96).max) revert AccountFull(type(uint96).max, sum);
        // forge-lint: disable-next-line(unsafe-typecast)
        free = uint96(sum); // Checked above.
        self.free = free;
    }

    function available(State storage self) internal view returns (uint256) {
        return uint256(self.free) + self.exiting;
    }

    /// @notice Takes `amount` atoms for a channel, free ones first, then exiting ones; false where they do not suffice.
    function draw(State storage self, uint256 amount) internal returns (bool) {
        uint256 free = self.free;
        // Neither difference is greater than the field that it is stored in.
        // forge-lint: disable-start(unsafe-typecast)
        unchecked {
            if (amount <= free) {
                self.free = uint96(free - amount);
                return true;
            }
        }
        uint256 exiting = self.exiting;
        if (amount > free + exiting) return false;
        self.free = 0;
        self.exiting = uint96(free + exiting - amount);
        if (self.exiting == 0) self.exitsAt = 0;
        // forge-lint: disable-end(unsafe-typecast)
        return true;
    }

    /// @notice {draw}, or revert.
    function requireDraw(State storage self, uint256 amount) internal {
        if (!self.draw(amount)) revert AccountTooSmall(amount, self.available());
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
