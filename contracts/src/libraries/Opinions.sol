// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";

/// @title Opinions
/// @notice What one re-auditor says of each strike of an accusation, in two bits a strike; zero: it is silent.
/// @dev It knows no strikes, but that there are eight at most.
library Opinions {
    uint256 private constant BITS = 2;

    /// @notice Who speaks says something of one strike at least.
    function pack(IAudits.Opinion[] memory list) internal pure returns (uint16 packed) {
        for (uint256 i; i < list.length; ++i) {
            // forge-lint: disable-next-line(unsafe-typecast)
            packed |= uint16(uint256(list[i]) << BITS * i); // Of eight at most.
        }
        if (packed == 0) revert IAudits.NotAnOpinion(IAudits.Opinion.NONE);
    }

    /// @notice Whether it says something of each of the first `count` strikes.
    function isWhole(uint16 packed, uint256 count) internal pure returns (bool) {
        for (uint256 i; i < count; ++i) {
            if (on(packed, i) == IAudits.Opinion.NONE) return false;
        }
        return true;
    }

    /// @notice What it says of the strike in place `i`.
    function on(uint16 packed, uint256 i) internal pure returns (IAudits.Opinion) {
        return IAudits.Opinion(packed >> BITS * i & 3);
    }

    /// @notice Of the first `count` strikes; none, where it is silent.
    function unpack(uint16 packed, uint256 count) internal pure returns (IAudits.Opinion[] memory list) {
        list = new IAudits.Opinion[](packed == 0 ? 0 : count);
        for (uint256 i; i < list.length; ++i) {
            list[i] = on(packed, i);
        }
    }
}
