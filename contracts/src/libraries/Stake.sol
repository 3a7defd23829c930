// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title Stake
/// @notice What a provider locks behind its promises.
/// @dev Amounts are atoms, times unix seconds. It knows nothing of the promises, nor of why stake is slashed.
library Stake {
    using Stake for State;

    /// @notice What one award takes at most, as a part of a stake: two equal providers that win and lose by chance stay
    /// as rich as they were, and no judges can ruin anybody.
    uint96 internal constant AWARD_PARTS = 4_000;
    /// @notice What those get who decided an award, as a part of it, rounded down. It leaves the two for good, so it is
    /// small: of two equal providers, a thousand awards take a 64th of each stake this way.
    uint96 internal constant DECIDERS_PART = 8;
    /// @notice What whoever reports a fraud gets, as a part of the whole stake: no more than strikes leave, or a provider
    /// that is struck would report one of its own, by another address.
    uint96 internal constant REPORTER_PART = 3;

    /// @param staked Atoms behind the provider's promises.
    /// @param exiting Atoms on their way back to the provider, which can be slashed until they are paid.
    /// @param exitsAt First second at which `exiting` can be paid; zero while nothing is exiting.
    struct State {
        // slot 0
        uint96 staked;
        uint96 exiting;
        uint40 exitsAt;
    }

    error StakeTooSmall(uint96 required, uint96 staked);
    error NothingUnstaking();
    error UnstakeNotOver(uint40 exitsAt, uint40 time);
    error NothingStaked();

    /// @notice Adds `amount` atoms and returns the stake now.
    function add(State storage self, uint96 amount) internal returns (uint96 staked) {
        staked = self.staked + amount;
        self.staked = staked;
    }

    function requireAtLeast(State storage self, uint96 required) internal view {
        if (self.staked < required) revert StakeTooSmall(required, self.staked);
    }

    /// @notice Moves `amount` atoms from staked to exiting; the notice of all that is exiting restarts.
    function requestUnstake(State storage self, uint96 amount, uint40 exitsAt) internal {
        self.requireAtLeast(amount);
        self.staked -= amount;
        self.exiting += amount;
        self.exitsAt = exitsAt;
    }

    /// @notice Takes out what is exiting, once its notice is over at `time`.
    function unstake(State storage self, uint40 time) internal returns (uint96 amount) {
        amount = self.exiting;
        if (amount == 0) revert NothingUnstaking();
        if (time < self.exitsAt) revert UnstakeNotOver(self.exitsAt, time);
        self.exiting = 0;
        self.exitsAt = 0;
    }

    /// @notice Takes `amount` atoms, or all there are if fewer: exiting ones first, for they are about to leave.
    function take(State storage self, uint96 amount) internal returns (uint96 taken) {
        (uint96 staked, uint96 exiting) = (self.staked, self.exiting);
        uint96 fromExiting = amount < exiting ? amount : exiting;
        uint96 fromStaked = amount - fromExiting < staked ? amount - fromExiting : staked;
        self.staked = staked - fromStaked;
        self.exiting = exiting - fromExiting;
        if (fromExiting == exiting) self.exitsAt = 0;

        taken = fromExiting + fromStaked;
    }

    /// @notice {take}.
    /// @param rewarded Whether half of it may go to anybody.
    /// @return reward Half of what was taken, rounded down, or none; the rest is to be burnt.
    function slash(State storage self, uint96 amount, bool rewarded) internal returns (uint96 reward, uint96 burnt) {
        uint96 taken = self.take(amount);
        if (rewarded) reward = taken / 2;
        burnt = taken - reward;
    }

    /// @notice {take} for all there is.
    /// @param rewarded Whether a part of it may go to anybody.
    /// @return reward One part in {REPORTER_PART} of it, rounded down, or none; the rest is to be burnt.
    function slashAll(State storage self, bool rewarded) internal returns (uint96 reward, uint96 burnt) {
        uint96 taken = self.take(type(uint96).max);
        if (taken == 0) revert NothingStaked();
        if (rewarded) reward = taken / REPORTER_PART;
        burnt = taken - reward;
    }

    /// @notice {take}, for another, and at most one part in {AWARD_PARTS} of all there is.
    /// @return kept What the other may stake; `rest` is for those who decided it.
    function award(State storage self, uint96 amount) internal returns (uint96 kept, uint96 rest) {
        uint96 most = (self.staked + self.exiting) / AWARD_PARTS;
        uint96 taken = self.take(amount < most ? amount : most);
        rest = taken / DECIDERS_PART;
        kept = taken - rest;
    }
}
