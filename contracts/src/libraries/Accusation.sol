// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {Strikes} from "./Strikes.sol";

/// @title Accusation
/// @notice Strikes against one provider, and what becomes of them when.
///
///     NONE ──third strike──▶ ACCUSED ──answered──▶ COMMITTING ──▶ REVEALING ──▶ DUE ──concluded──▶ NONE, or
///                               └────────────── nobody answered ────────────────▲                  ACCUSED anew
///
/// Strikes are kept in the order that they were filed in: the first ones accuse, and those that are taken meanwhile wait
/// for the next accusation.
/// @dev Amounts are atoms, times unix seconds. It knows neither receipts nor who is drawn.
library Accusation {
    using Accusation for State;

    /// @param filedAt Unix seconds.
    /// @param staked What its auditor had staked then: what it stakes later earns it nothing.
    struct Strike {
        // slot 0
        address auditor;
        uint40 filedAt;
        // slot 1
        uint96 staked;
    }

    /// @param ballotHash What it committed to.
    /// @param opinions What it revealed, by {Opinions}; zero: nothing.
    struct Seat {
        // slot 0
        address auditor;
        uint16 opinions;
        // slot 1
        bytes32 ballotHash;
    }

    /// @param answerer Who posted the fee.
    /// @param accusedAt Zero: fewer than three strikes count.
    /// @param answeredAt Zero: nobody has.
    /// @param answeredBlock Re-auditors are drawn by the weights at its end, and by the hash of the block two later.
    /// @param number Accusations that were concluded before.
    /// @param accusing So many of `strikes`, the first ones, accuse.
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
        uint8 accusing;
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

    /// @notice Whether the strike in that place counts no more, `window` seconds after it was filed. Those that accuse do
    /// not age.
    function isOver(State storage self, uint256 place, uint40 window, uint40 time) internal view returns (bool) {
        return place >= self.accusing && self.strikes[place].filedAt + window <= time;
    }

    /// @notice Drops the strikes that count no more at `time`.
    function age(State storage self, uint40 window, uint40 time) internal {
        uint256 kept;
        for (uint256 i; i < self.strikes.length; ++i) {
            if (self.isOver(i, window, time)) continue;
            self.move(i, kept++);
        }
        self.cut(kept);
    }

    /// @notice Counts a strike.
    function add(State storage self, Strike memory strike) internal returns (uint8) {
        if (self.strikes.length == Strikes.MOST) revert IAudits.TooManyStrikes(Strikes.MOST);
        self.strikes.push(strike);
        return self.count();
    }

    function count(State storage self) internal view returns (uint8) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(self.strikes.length); // Eight at most.
    }

    /// @notice Accuses by all strikes that there are, where they are enough and nobody is accused by others.
    function accuse(State storage self, uint40 time) internal returns (bool) {
        if (self.accusedAt != 0 || self.strikes.length < Strikes.STRIKES) return false;
        (self.accusedAt, self.accusing) = (time, self.count());
        return true;
    }

    function answer(State storage self, address answerer, uint96 fee, uint48 blockNumber, uint40 time) internal {
        (self.answerer, self.fee, self.answeredBlock, self.answeredAt) = (answerer, fee, blockNumber, time);
    }

    /// @notice Ends the accusation. Of what accused, `standing` outlasts it, and all that was taken meanwhile.
    function end(State storage self, bool[] memory standing) internal {
        uint256 kept;
        for (uint256 i; i < self.strikes.length; ++i) {
            if (i < standing.length && !standing[i]) continue;
            self.move(i, kept++);
        }
        self.cut(kept);
        self.close();
    }

    /// @notice Ends it, with every strike that there is.
    function wipe(State storage self) internal {
        self.cut(0);
        self.close();
    }

    function close(State storage self) internal {
        (self.answerer, self.fee, self.accusedAt, self.answeredAt, self.answeredBlock) = (address(0), 0, 0, 0, 0);
        self.accusing = 0;
        ++self.number;
        delete self.seats;
    }

    function move(State storage self, uint256 from, uint256 to) internal {
        if (from != to) self.strikes[to] = self.strikes[from];
    }

    function cut(State storage self, uint256 length) internal {
        while (self.strikes.length > length) self.strikes.pop();
    }
}
