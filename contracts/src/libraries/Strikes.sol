// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";

/// @title Strikes
/// @notice What three strikes cost a provider that nobody clears, and what they cost those who struck where it is.
/// @dev Amounts are atoms, all rounded in favour of who pays. `tests/vectors/strikes.json` holds it and Python's
/// `tallystick.protocol.strikes` to the same numbers.
library Strikes {
    /// @notice Strikes that accuse.
    uint256 internal constant STRIKES = 3;
    /// @notice Re-auditors of an accusation: with three tenths of all stake, 8 in a hundred panels are won.
    uint8 internal constant SEATS = 11;
    /// @notice Two thirds of a stake are slashed: of 300 request prices a slot 200, where 167 deter. Never all of it.
    uint96 internal constant SLASHED = 2;
    uint96 internal constant SLASHED_OF = 3;
    /// @notice Each who struck gets one part in so many of what is slashed, an eighth all together; the rest is burnt.
    uint96 internal constant REWARD_PARTS = 24;
    /// @notice No reward is more than one part in so many of what its auditor has at stake itself, then and now.
    uint96 internal constant REWARD_STAKE_PARTS = 8;
    /// @notice What one who struck loses where the provider is cleared, as a part of its own stake.
    uint96 internal constant PENALTY_PARTS = 50;
    /// @notice What a re-auditor loses at most, as a part of its stake: a fee is as large as who answers likes.
    uint256 internal constant STAKE_PARTS = 4_000;

    /// @notice What more than half of all seats say, the empty and the silent ones among all.
    function outcome(IAudits.Opinion[] memory opinions) internal pure returns (IAudits.Outcome) {
        (uint256 upheld, uint256 cleared) = (0, 0);
        for (uint256 i; i < opinions.length; ++i) {
            if (opinions[i] == IAudits.Opinion.UPHOLD) ++upheld;
            if (opinions[i] == IAudits.Opinion.CLEAR) ++cleared;
        }
        if (2 * upheld > SEATS) return IAudits.Outcome.UPHELD;
        return 2 * cleared > SEATS ? IAudits.Outcome.CLEARED : IAudits.Outcome.OPEN;
    }

    function slashedDown(uint96 providerStake) internal pure returns (uint96) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(uint256(providerStake) * SLASHED / SLASHED_OF); // Less than the stake.
    }

    /// @notice What one who struck gets of `slashed`, having staked `struckWith` when it struck, and `auditorStake` now.
    function rewardDown(uint96 slashed, uint96 struckWith, uint96 auditorStake) internal pure returns (uint96) {
        uint96 risked = struckWith < auditorStake ? struckWith : auditorStake;
        (uint96 part, uint96 most) = (slashed / REWARD_PARTS, risked / REWARD_STAKE_PARTS);
        return part < most ? part : most;
    }

    /// @notice What one who struck loses.
    function penaltyDown(uint96 auditorStake) internal pure returns (uint96) {
        return auditorStake / PENALTY_PARTS;
    }

    /// @notice The part of {penaltyDown} of which half is for who answered, until it has back what it `spent`: each of
    /// the three gives as much.
    function sharedDown(uint96 penalty, uint256 spent) internal pure returns (uint96) {
        uint256 most = 2 * (spent / STRIKES);
        // forge-lint: disable-next-line(unsafe-typecast)
        return penalty < most ? penalty : uint96(most); // Not more than the penalty.
    }

    /// @notice What a re-auditor earns, of a fee of `share`: half of it where there is no majority.
    function earnedDown(IAudits.Opinion opinion, IAudits.Outcome outcome_, uint256 share)
        internal
        pure
        returns (uint256)
    {
        if (opinion == IAudits.Opinion.NONE) return 0;
        if (outcome_ == IAudits.Outcome.OPEN) return share / 2;
        return isMajority(opinion, outcome_) ? share : 0;
    }

    /// @notice What a re-auditor loses: a share where it is silent, or contradicted.
    function blamedDown(IAudits.Opinion opinion, IAudits.Outcome outcome_, uint256 share, uint256 auditorStake)
        internal
        pure
        returns (uint256)
    {
        bool spoke = opinion != IAudits.Opinion.NONE;
        if (spoke && (outcome_ == IAudits.Outcome.OPEN || isMajority(opinion, outcome_))) return 0;
        uint256 most = auditorStake / STAKE_PARTS;
        return share < most ? share : most;
    }

    function isMajority(IAudits.Opinion opinion, IAudits.Outcome outcome_) internal pure returns (bool) {
        return opinion == IAudits.Opinion.UPHOLD && outcome_ == IAudits.Outcome.UPHELD
            || opinion == IAudits.Opinion.CLEAR && outcome_ == IAudits.Outcome.CLEARED;
    }
}
