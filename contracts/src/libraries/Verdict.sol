// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IDuels} from "../interfaces/IDuels.sol";

/// @title Verdict
/// @notice What judges said together, and what that is worth to each.
/// @dev Amounts are atoms. It knows neither who the judges are nor who pays. `tests/vectors/duel.json` holds it and Python's
/// `tallystick.protocol.duel` to the same numbers.
library Verdict {
    /// @notice Prices of the request that the loser pays at most.
    uint256 internal constant PRIZE_PRICES = 2;
    /// @notice A judge whom the others contradict loses one part in so many of a judge's fee; the whole fee where the
    /// verdict was known.
    uint256 internal constant MINORITY_PART = 2;
    /// @notice In a tie a judge gets one part in so many of its fee, unless most said that it is a tie.
    uint256 internal constant TIE_PART = 2;
    /// @notice What a judge loses at most, as a part of its stake: a fee is as large as the challenger likes.
    uint256 internal constant STAKE_PARTS = 4_000;

    /// @notice What more than half of all seats say, the silent ones among all; else it is a tie.
    function said(IDuels.Choice[] memory choices) internal pure returns (IDuels.Choice) {
        uint256 firsts;
        uint256 seconds_;
        for (uint256 i; i < choices.length; ++i) {
            if (choices[i] == IDuels.Choice.FIRST) ++firsts;
            if (choices[i] == IDuels.Choice.SECOND) ++seconds_;
        }
        if (2 * firsts > choices.length) return IDuels.Choice.FIRST;
        if (2 * seconds_ > choices.length) return IDuels.Choice.SECOND;
        return IDuels.Choice.TIE;
    }

    /// @notice Whether every seat that has a judge said the same, and all of them spoke.
    function isShared(IDuels.Choice[] memory choices, address[] memory judges) internal pure returns (bool) {
        IDuels.Choice shared;
        for (uint256 i; i < choices.length; ++i) {
            if (judges[i] == address(0)) continue;
            if (choices[i] == IDuels.Choice.NONE || choices[i] == IDuels.Choice.DECLINED) return false;
            if (shared == IDuels.Choice.NONE) shared = choices[i];
            if (choices[i] != shared) return false;
        }
        return shared != IDuels.Choice.NONE;
    }

    /// @notice Whether more than half of all seats say what {said} says: without a majority that is a tie as well.
    function isMajority(IDuels.Choice[] memory choices) internal pure returns (bool) {
        IDuels.Choice verdict = said(choices);
        if (verdict != IDuels.Choice.TIE) return true;
        uint256 ties;
        for (uint256 i; i < choices.length; ++i) {
            if (choices[i] == IDuels.Choice.TIE) ++ties;
        }
        return 2 * ties > choices.length;
    }

    /// @notice What a judge that chose `choice` earns of a fee of `share`. In a tie that is half of it, unless it is
    /// with most: whoever says anything without looking lives on cases that nobody can tell.
    /// @param agreed {isMajority}, of the panel whose verdict it is.
    /// @param known What the challenger knew; it counts only where most judges say so too.
    function earnedDown(IDuels.Choice choice, IDuels.Choice verdict, bool agreed, IDuels.Choice known, uint256 share)
        internal
        pure
        returns (uint256)
    {
        if (choice == IDuels.Choice.NONE || choice == IDuels.Choice.DECLINED) return 0;
        if (choice == verdict && agreed) return share;
        return verdict == IDuels.Choice.TIE && !(agreed && known == verdict) ? share / TIE_PART : 0;
    }

    /// @notice What a judge loses that earns nothing, of a fee of `share`, rounded in its favour.
    function penaltyDown(
        IDuels.Choice choice,
        IDuels.Choice verdict,
        bool agreed,
        IDuels.Choice known,
        uint256 share,
        uint256 judgeStake
    ) internal pure returns (uint256 penalty) {
        if (choice == IDuels.Choice.DECLINED) return 0;
        if (choice == IDuels.Choice.NONE || (agreed && known == verdict)) penalty = share;
        else if (choice != IDuels.Choice.TIE && verdict != IDuels.Choice.TIE) penalty = share / MINORITY_PART;
        uint256 most = judgeStake / STAKE_PARTS;
        if (penalty > most) penalty = most;
    }

    /// @notice What the loser pays, before its stake's own bound.
    /// @param price Of the dearer of the two answers.
    /// @param paid What the judges of the majority were paid for it: so who challenges and wins gains nothing by it.
    function prize(uint256 price, uint256 paid) internal pure returns (uint256) {
        uint256 most = PRIZE_PRICES * price;
        return paid < most ? paid : most;
    }
}
