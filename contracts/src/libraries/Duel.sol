// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";

import {DuelId, IDuels} from "../interfaces/IDuels.sol";

/// @title Duel
/// @notice One panel's time: what it may do when, and what draws it. An appeal is one more panel.
///
///                            split                    nobody appealed
///      ┌──────────── decided ─────▶ APPEALABLE ─────────────────────▶ SETTLEABLE ──▶ ENDED
///      │                                │ appealed         appeal lapsed ▲             ▲
///     OPEN ─── decided by all ──────────┼──────────────────────────────┼─────────────┤
///      │ ╲                              └──────────▶ APPEALED ─────────┴─────────────┘
///      │  ╲ nobody decides: LAPSED                      appeal decided
///      ▼
///     COMMITTING ──▶ REVEALING ──▶ COUNTING ── decided, as from OPEN; or LAPSED
///          └─── decided by all, as from OPEN
///
/// @dev Amounts are atoms, times unix seconds. It knows neither the case nor the judges.
library Duel {
    using Duel for State;

    /// @param challenger Who posted the fee; for an appeal, its appellant.
    /// @param fee Atoms, an equal part for each seat.
    /// @param openedBlock Draws go by the weights at its end, and by the hash of the block {DRAW_BLOCKS} later.
    /// @param openedAt Zero: it never was.
    /// @param summonedAt Zero: the judges were not summoned.
    /// @param decidedAt Zero: it is not decided, or its money moved at once.
    /// @param appealed Another panel is to decide.
    /// @param ended The money has moved, or the fee is burnt.
    /// @param seed What draws the judges, once sealed.
    /// @param ruling Hash of what the panel said, while its money waits.
    /// @param subject Hash of what ballots have to be about, once judges are summoned.
    /// @param root The duel that this is the appeal of; zero: it is none.
    struct State {
        // slot 0
        address challenger;
        uint96 fee;
        // slot 1
        uint48 openedBlock;
        uint40 openedAt;
        uint40 summonedAt;
        uint40 decidedAt;
        uint8 seats;
        bool appealed;
        bool ended;
        // slot 2
        bytes32 seed;
        // slot 3
        bytes32 ruling;
        // slot 4
        bytes32 subject;
        // slot 5
        DuelId root;
    }

    /// @notice Nobody has begun a block so far on when a duel is opened.
    uint48 internal constant DRAW_BLOCKS = 2;

    function status(State storage self, uint40 period, uint40 time) internal view returns (IDuels.Status) {
        (IDuels.Status its,) = self.statusUntil(period, time);
        return its;
    }

    /// @return until First second at which it is over; zero where no clock ends it.
    function statusUntil(State storage self, uint40 period, uint40 time)
        internal
        view
        returns (IDuels.Status, uint40 until)
    {
        if (self.openedAt == 0) return (IDuels.Status.NONE, 0);
        if (self.ended) return (IDuels.Status.ENDED, 0);
        if (self.decidedAt != 0) {
            if (self.appealed) return (IDuels.Status.APPEALED, 0);
            until = self.decidedAt + period;
            return time < until ? (IDuels.Status.APPEALABLE, until) : (IDuels.Status.SETTLEABLE, 0);
        }
        if (self.summonedAt == 0) {
            until = self.openedAt + period;
            return time < until ? (IDuels.Status.OPEN, until) : (IDuels.Status.LAPSED, 0);
        }
        until = self.summonedAt + period;
        if (time < until) return (IDuels.Status.COMMITTING, until);
        until += period;
        if (time < until) return (IDuels.Status.REVEALING, until);
        until += period;
        return time < until ? (IDuels.Status.COUNTING, until) : (IDuels.Status.LAPSED, 0);
    }

    function requireStatus(State storage self, IDuels.Status expected, uint40 period, uint40 time) internal view {
        IDuels.Status actual = self.status(period, time);
        if (actual != expected) revert IDuels.WrongStatus(expected, actual);
    }

    function drawBlock(State storage self) internal view returns (uint48) {
        return self.openedBlock + DRAW_BLOCKS;
    }

    /// @notice What draws the judges: the hash of the draw block, which nobody knew when the duel was opened.
    /// @dev Whoever makes that one block can choose among the hashes that it finds, by moving its transactions about. What
    /// it can win by that is part of one prize, a 4,000th of a stake at most, and it has to own judges to win it.
    function requireSeed(State storage self, DuelId id) internal view returns (bytes32 seed) {
        seed = self.seed;
        if (seed != 0) return seed;
        if (self.openedAt == 0) revert IDuels.WrongStatus(IDuels.Status.OPEN, IDuels.Status.NONE);
        uint48 at_ = self.drawBlock();
        bytes32 hash = block.number > at_ ? Blockhash.blockHash(at_) : bytes32(0);
        if (hash == 0) revert IDuels.NoSeed(at_, block.number);
        return keccak256(abi.encode(hash, id));
    }
}
