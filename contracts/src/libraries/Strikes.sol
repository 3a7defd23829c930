// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";
import {Opinions} from "./Opinions.sol";

/// @title Strikes
/// @notice What strikes cost a provider that nobody clears, and what one costs whoever filed it where it is cleared.
/// @dev Amounts are atoms, all rounded in favour of who pays. `tests/vectors/strikes.json` holds it and Python's
/// `tallystick.protocol.strikes` to the same numbers.
library Strikes {
    using Opinions for uint16;

    /// @notice Strikes that accuse, and of which so many have to be upheld.
    uint256 internal constant STRIKES = 3;
    /// @notice Strikes that are held against one provider at most, of as many owners: those that accuse it, and those that
    /// are taken meanwhile. Whoever would fill them with its own needs as many stakes.
    uint256 internal constant MOST = 8;
    /// @notice Strikes that outlast their accusation at most: one more accuses again.
    uint256 internal constant KEPT = STRIKES - 1;
    /// @notice Re-auditors of an accusation: with three tenths of all stake, 8 in a hundred panels are won.
    uint8 internal constant SEATS = 11;
    /// @notice Two thirds of a stake are slashed: of 300 request prices a slot 200, where 167 deter. Never all of it.
    uint96 internal constant SLASHED = 2;
    uint96 internal constant SLASHED_OF = 3;
    /// @notice One part in so many of what is slashed is for those whose strikes are upheld; the rest is burnt.
    uint96 internal constant REWARD_PARTS = 8;
    /// @notice No reward is more than one part in so many of what its auditor has at stake itself, then and now.
    uint96 internal constant REWARD_STAKE_PARTS = 8;
    /// @notice What one who struck loses where that is cleared, as a part of its own stake.
    uint96 internal constant PENALTY_PARTS = 50;
    /// @notice What one loses whose strike is unproven: most spoke, and hardly anybody could follow it.
    uint96 internal constant UNPROVEN_PARTS = 200;
    /// @notice So many of eleven uphold it at most: of a true one that all can audit so few do in 0.1 % where three tenths of
    /// all stake are silent for the accused.
    uint256 internal constant FEW = 2;
    /// @notice What a re-auditor loses at most, as a part of its stake: a fee is as large as who answers likes.
    uint256 internal constant STAKE_PARTS = 4_000;

    // ------------------------------------------------------------------------------------------------ what is said

    /// @param outcomes What more than half of all seats say of each strike, the empty and the silent ones among all; OPEN
    /// where that is neither.
    /// @param unproven Those that are open though more than half of all seats spoke, and that no more than {FEW} upheld.
    /// @param standing Those that count on, of those that somebody upheld, no more cleared, and that are not unproven; where
    /// nobody was seated, of all.
    struct Found {
        IAudits.Outcome[] outcomes;
        bool[] unproven;
        bool[] standing;
    }

    /// @param seats By {Opinions}.
    /// @param seated Whether anybody was.
    function found(uint16[] memory seats, bool seated, uint256 strikes) internal pure returns (Found memory its) {
        (its.outcomes, its.unproven) = (new IAudits.Outcome[](strikes), new bool[](strikes));
        bool[] memory may = new bool[](strikes);
        for (uint256 i; i < strikes; ++i) {
            (uint256 upheld, uint256 cleared, uint256 spoken) = counted(seats, i);
            its.outcomes[i] = 2 * upheld > SEATS
                ? IAudits.Outcome.UPHELD
                : 2 * cleared > SEATS ? IAudits.Outcome.CLEARED : IAudits.Outcome.OPEN;
            its.unproven[i] = its.outcomes[i] == IAudits.Outcome.OPEN && upheld <= FEW && 2 * spoken > SEATS;
            may[i] = cleared <= upheld && !its.unproven[i] && (upheld != 0 || !seated);
        }
        its.standing = kept(may, its.outcomes);
    }

    /// @dev `spoken`: seats that said something, or that they say nothing, be it of other strikes.
    function counted(uint16[] memory seats, uint256 strike)
        private
        pure
        returns (uint256 upheld, uint256 cleared, uint256 spoken)
    {
        for (uint256 j; j < seats.length; ++j) {
            IAudits.Opinion opinion = seats[j].on(strike);
            if (opinion == IAudits.Opinion.UPHOLD) ++upheld;
            if (opinion == IAudits.Opinion.CLEAR) ++cleared;
            if (seats[j] != 0) ++spoken;
        }
    }

    /// @notice {KEPT} of those that `may`: the newest of those that are upheld, and then the newest of the others, so that
    /// what nobody can audit does not take the place of what is proven.
    function kept(bool[] memory may, IAudits.Outcome[] memory outcomes) internal pure returns (bool[] memory keep) {
        keep = new bool[](may.length);
        uint256 left = KEPT;
        for (uint256 round; round < 2; ++round) {
            for (uint256 i = may.length; i != 0 && left != 0; --i) {
                bool first = outcomes[i - 1] == IAudits.Outcome.UPHELD;
                if (!may[i - 1] || first != (round == 0)) continue;
                keep[i - 1] = true;
                --left;
            }
        }
    }

    /// @notice What becomes of the accusation: slashed are three that are upheld, however many are not.
    function outcome(IAudits.Outcome[] memory outcomes) internal pure returns (IAudits.Outcome) {
        if (count(outcomes, IAudits.Outcome.UPHELD) >= STRIKES) return IAudits.Outcome.UPHELD;
        return count(outcomes, IAudits.Outcome.CLEARED) != 0 ? IAudits.Outcome.CLEARED : IAudits.Outcome.OPEN;
    }

    function count(IAudits.Outcome[] memory outcomes, IAudits.Outcome which) internal pure returns (uint256 sum) {
        for (uint256 i; i < outcomes.length; ++i) {
            if (outcomes[i] == which) ++sum;
        }
    }

    /// @notice Whether what is left of the fee is burnt. It goes back where nobody is slashed and a strike is cleared,
    /// and where nobody is to blame that none is.
    /// @param silent Whether anybody was, of any strike, who had a seat; or nobody was seated.
    function burnsRest(IAudits.Outcome outcome_, bool[] memory standing, bool silent) internal pure returns (bool) {
        if (outcome_ != IAudits.Outcome.OPEN) return outcome_ == IAudits.Outcome.UPHELD;
        for (uint256 i; i < standing.length; ++i) {
            if (standing[i]) return silent;
        }
        return false;
    }

    // ------------------------------------------------------------------------------------------------ what it costs

    /// @notice The least for all re-auditors of an accusation of so many strikes, where it is `ofThree` for three: as much for
    /// each.
    function feeUp(uint256 ofThree, uint256 strikes) internal pure returns (uint256) {
        return strikes <= STRIKES ? ofThree : (ofThree * strikes + STRIKES - 1) / STRIKES;
    }

    function slashedDown(uint96 providerStake) internal pure returns (uint96) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint96(uint256(providerStake) * SLASHED / SLASHED_OF); // Less than the stake.
    }

    /// @notice What one of `upheld` who struck gets of `slashed`, having staked `struckWith` when it struck, and
    /// `auditorStake` now.
    function rewardDown(uint96 slashed, uint256 upheld, uint96 struckWith, uint96 auditorStake)
        internal
        pure
        returns (uint96)
    {
        uint96 risked = struckWith < auditorStake ? struckWith : auditorStake;
        (uint256 part, uint96 most) = (slashed / (REWARD_PARTS * upheld), risked / REWARD_STAKE_PARTS);
        // forge-lint: disable-next-line(unsafe-typecast)
        return part < most ? uint96(part) : most; // Less than what is slashed.
    }

    /// @notice What one who struck loses by what became of its strike.
    function penaltyDown(uint96 auditorStake, IAudits.Outcome outcome_, bool unproven) internal pure returns (uint96) {
        if (outcome_ == IAudits.Outcome.CLEARED) return auditorStake / PENALTY_PARTS;
        return unproven ? auditorStake / UNPROVEN_PARTS : 0;
    }

    /// @notice The part of one's penalty of which half is for who answered, until it has back what it `spent`: each of the
    /// `cleared` gives as much.
    function sharedDown(uint96 penalty, uint256 spent, uint256 cleared) internal pure returns (uint96) {
        uint256 most = 2 * (spent / cleared);
        // forge-lint: disable-next-line(unsafe-typecast)
        return penalty < most ? penalty : uint96(most); // Not more than the penalty.
    }

    /// @notice What a re-auditor earns, of a fee of `share`: an equal part for each strike of which it says what most do.
    function earnedDown(uint16 opinions, IAudits.Outcome[] memory outcomes, uint256 share)
        internal
        pure
        returns (uint256)
    {
        uint256 right;
        for (uint256 i; i < outcomes.length; ++i) {
            if (agrees(opinions.on(i), outcomes[i])) ++right;
        }
        return share * right / outcomes.length;
    }

    /// @notice What a re-auditor loses: an equal part of a share for each strike on which most contradict it, and all of one
    /// where it is silent. Nothing for a strike of which it says nothing: who cannot audit one must not be better off by
    /// guessing.
    function blamedDown(uint16 opinions, IAudits.Outcome[] memory outcomes, uint256 share, uint256 auditorStake)
        internal
        pure
        returns (uint256)
    {
        uint256 wrong = opinions == 0 ? outcomes.length : 0;
        for (uint256 i; i < outcomes.length; ++i) {
            IAudits.Opinion opinion = opinions.on(i);
            if (opinion == IAudits.Opinion.NONE || outcomes[i] == IAudits.Outcome.OPEN) continue;
            if (!agrees(opinion, outcomes[i])) ++wrong;
        }
        (uint256 blame, uint256 most) = (share * wrong / outcomes.length, auditorStake / STAKE_PARTS);
        return blame < most ? blame : most;
    }

    function agrees(IAudits.Opinion opinion, IAudits.Outcome outcome_) internal pure returns (bool) {
        return opinion == IAudits.Opinion.UPHOLD && outcome_ == IAudits.Outcome.UPHELD
            || opinion == IAudits.Opinion.CLEAR && outcome_ == IAudits.Outcome.CLEARED;
    }
}
