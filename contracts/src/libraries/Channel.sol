// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title Channel
/// @notice The part of one account reserved for one provider, paid out by ever larger vouchers, epoch after epoch.
///
///             raised, settled           settled
///                 ┌────┐                ┌────┐
///                 ▼    │ close request  ▼    │  notice over
///      NONE ────▶ OPEN ───────────────▶ CLOSING ─────────────▶ CLOSABLE
///        ▲         │                     │                        │
///        └─────────┴─────── closed: epoch + 1 ────────────────────┘
///
/// @dev Amounts are atoms, times unix seconds. It knows neither whose channel it is nor who signed.
library Channel {
    using Channel for State;

    /// @notice What a channel is doing. Derived from {State} and the clock, never stored.
    /// @custom:value0 NONE Not open in this epoch.
    /// @custom:value1 OPEN Vouchers may be relied on.
    /// @custom:value2 CLOSING The payer asked for the rest back; the provider should settle, and accept no more.
    /// @custom:value3 CLOSABLE The notice is over; anyone may close. Until somebody does, vouchers still pay.
    enum Status {
        NONE,
        OPEN,
        CLOSING,
        CLOSABLE
    }

    /// @notice `settled <= cap`, always; `cap == 0` where the channel is not open.
    /// @param cap Atoms that the channel may pay in this epoch, in total. Only grows while the channel is open.
    /// @param settled Atoms that it has paid in this epoch. Only grows while the channel is open.
    /// @param closesAt First second at which anyone may close; zero while no close was requested.
    /// @param epoch How often the channel was closed: no voucher or grant of an earlier life holds in a later one.
    struct State {
        // slot 0
        uint96 cap;
        uint96 settled;
        uint40 closesAt;
        uint24 epoch;
    }

    /// @notice A channel that was closed in its last epoch, the 16,777,216th, stays closing for good: it takes no cap.
    uint24 internal constant LAST_EPOCH = type(uint24).max;
    uint40 internal constant NEVER = type(uint40).max;

    error CapNotGreater(uint96 cap, uint96 requested);
    error ChannelNotOpen();
    error ChannelClosing(uint40 closesAt);
    error ChannelNotClosing();
    error CloseNotOver(uint40 closesAt, uint40 time);

    function status(State memory self, uint40 time) internal pure returns (Status) {
        if (self.cap == 0) return Status.NONE;
        if (self.closesAt == 0) return Status.OPEN;
        return time < self.closesAt ? Status.CLOSING : Status.CLOSABLE;
    }

    /// @notice Checks that the channel can be opened with `cap`, or its cap raised to it.
    function requireRaisable(State storage self, uint96 cap) internal view {
        if (self.closesAt != 0) revert ChannelClosing(self.closesAt);
        if (cap <= self.cap) revert CapNotGreater(self.cap, cap);
    }

    /// @notice The atoms that it takes to open the channel with `cap`, or to raise its cap to it.
    /// @dev The caller has checked that `cap` is greater.
    function missing(State storage self, uint96 cap) internal view returns (uint96) {
        unchecked {
            return cap - self.cap; // The caller has checked it.
        }
    }

    /// @notice Opens the channel with `cap`, or raises its cap to it, and returns the atoms that this takes.
    /// @dev The caller has checked {requireRaisable}, or skipped on what it refuses.
    function raise(State storage self, uint96 cap) internal returns (uint96 added) {
        added = self.missing(cap);
        self.cap = cap;
    }

    /// @notice The total that a voucher over `amount` entitles to: no voucher is worth more than the cap.
    function entitled(uint96 cap, uint128 amount) internal pure returns (uint96) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return amount < cap ? uint96(amount) : cap; // Under the cap, it fits the cap's type.
    }

    /// @notice Books that `total` is paid, and returns the part of it that was not.
    /// @dev The caller has checked `settled < total <= cap`.
    function settle(State storage self, uint96 total) internal returns (uint96 amount) {
        unchecked {
            amount = total - self.settled; // The caller has checked it.
        }
        self.settled = total;
    }

    function requestClose(State storage self, uint40 closesAt) internal {
        if (self.cap == 0) revert ChannelNotOpen();
        if (self.closesAt != 0) revert ChannelClosing(self.closesAt);
        self.closesAt = closesAt;
    }

    /// @notice Checks that the notice is over at `time`.
    /// @dev A channel without a close request must not pass for one whose notice ended in 1970.
    function requireClosable(State storage self, uint40 time) internal view {
        uint40 closesAt = self.closesAt;
        if (closesAt == 0) revert ChannelNotClosing();
        if (time < closesAt) revert CloseNotOver(closesAt, time);
    }

    /// @notice Ends the epoch at a total of `amount`, but neither under what is settled nor over the cap.
    /// @return epoch The one that ends.
    /// @return paid Atoms due to the provider beyond what was settled.
    /// @return settled The epoch's final total.
    /// @return returned The rest, due to the payer.
    function close(State storage self, uint128 amount)
        internal
        returns (uint24 epoch, uint96 paid, uint96 settled, uint96 returned)
    {
        uint96 cap = self.cap;
        uint96 before = self.settled;
        epoch = self.epoch;
        if (cap == 0) revert ChannelNotOpen();

        settled = entitled(cap, amount);
        if (settled < before) settled = before;
        self.cap = 0;
        self.settled = 0;
        self.closesAt = 0;
        unchecked {
            self.epoch = epoch + 1; // The last one is seen to below.
            if (epoch == LAST_EPOCH) (self.closesAt, self.epoch) = (NEVER, LAST_EPOCH);
            paid = settled - before; // `settled >= before` was seen to above.
            returned = cap - settled; // `settled <= cap`, always.
        }
    }
}
