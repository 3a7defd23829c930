// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {Strikes} from "./Strikes.sol";

/// @title Accusation
/// @notice Strikes against one provider, and what becomes of them when.
///
///     NONE ──third strike──▶ ACCUSED ──answered──▶ COMMITTING ──▶ REVEALING ──▶ DUE ──concluded──▶ NONE
///                               └────────────── nobody answered ────────────────▲
///
/// @dev Amounts are atoms, times unix seconds. It knows neither receipts nor who is drawn.
library Accusation {
    using Accusation for State;

    /// @param filedAt Unix seconds.
    /// @param payer Whose receipt it was: it does not re-audit.
    /// @param staked What its auditor had staked then: what it stakes later earns it nothing.
    struct Strike {
        // slot 0
        address auditor;
        uint40 filedAt;
        // slot 1
        address payer;
        uint96 staked;
    }

    /// @param ballotHash What it committed to.
    struct Seat {
        // slot 0
        address auditor;
        IAudits.Opinion opinion;
        // slot 1
        bytes32 ballotHash;
    }

    /// @param answerer Who posted the fee.
    /// @param accusedAt Zero: fewer than three strikes count.
    /// @param answeredAt Zero: nobody has.
    /// @param answeredBlock Re-auditors are drawn by the weights at its end, and by the hash of the block two later.
    /// @param number Accusations that were concluded before.
    /// @param seats None until re-auditors are summoned.
    struct State {
        // slot 0
        address answerer;
        uint96 fee;
        // slot 1
        uint40 accusedAt;
        uint40 answeredAt;
        uint48 answeredBlock;
        uint64 number;
        // slot 2
        Strike[] strikes;
        // slot 3
        Seat[] seats;
    }

    /// @notice Periods that re-auditors have to be drawn, to get the samples, to audit and to commit.
    uint40 private constant COMMITTING_PERIODS = 2;

    /// @return until First second at which it is over; zero where no clock ends it.
    function statusUntil(State storage self, uint40 period, uint40 time)
        internal
        view
        returns (IAudits.Status, uint40 until)
    {
        if (self.accusedAt == 0) return (IAudits.Status.NONE, 0);
        if (self.answeredAt == 0) {
            until = self.accusedAt + period;
            return time < until ? (IAudits.Status.ACCUSED, until) : (IAudits.Status.DUE, 0);
        }
        until = self.answeredAt + COMMITTING_PERIODS * period;
        if (time < until) return (IAudits.Status.COMMITTING, until);
        until += period;
        return time < until ? (IAudits.Status.REVEALING, until) : (IAudits.Status.DUE, 0);
    }

    function requireStatus(State storage self, IAudits.Status expected, uint40 period, uint40 time) internal view {
        (IAudits.Status actual,) = self.statusUntil(period, time);
        if (actual != expected) revert IAudits.WrongStatus(expected, actual);
    }

    /// @notice Drops the strikes that are `window` seconds old at `time`.
    function age(State storage self, uint40 window, uint40 time) internal {
        uint256 kept;
        for (uint256 i; i < self.strikes.length; ++i) {
            if (self.strikes[i].filedAt + window <= time) continue;
            if (kept != i) self.strikes[kept] = self.strikes[i];
            ++kept;
        }
        while (self.strikes.length > kept) self.strikes.pop();
    }

    /// @notice Counts a strike; the last that it takes accuses.
    function add(State storage self, Strike memory strike) internal returns (uint8 count) {
        self.strikes.push(strike);
        // forge-lint: disable-next-line(unsafe-typecast)
        count = uint8(self.strikes.length); // Three at most.
        if (count == Strikes.STRIKES) self.accusedAt = strike.filedAt;
    }

    function answer(State storage self, address answerer, uint96 fee, uint48 blockNumber, uint40 time) internal {
        (self.answerer, self.fee, self.answeredBlock, self.answeredAt) = (answerer, fee, blockNumber, time);
    }

    /// @notice Forgets all but that there was one.
    function end(State storage self) internal {
        (self.answerer, self.fee, self.accusedAt, self.answeredAt, self.answeredBlock) = (address(0), 0, 0, 0, 0);
        ++self.number;
        delete self.strikes;
        delete self.seats;
    }
}
