// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";

/// @title Opinions
/// @notice What one re-auditor says of each strike of an accusation, in two bits a strike; zero: it is silent, which is
/// not to say that it says nothing of any.
/// @dev It knows no strikes, but that there are eight at most.
library Opinions {
    uint256 private constant BITS = 2;
    /// @notice Of a strike of which one who speaks says nothing.
    uint256 private constant UNSAID = 3;

    function pack(IAudits.Opinion[] memory list) internal pure returns (uint16 packed) {
        for (uint256 i; i < list.length; ++i) {
            uint256 one = list[i] == IAudits.Opinion.NONE ? UNSAID : uint256(list[i]);
            // forge-lint: disable-next-line(unsafe-typecast)
            packed |= uint16(one << BITS * i); // Of eight at most.
        }
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
        uint256 one = packed >> BITS * i & UNSAID;
        return one == UNSAID ? IAudits.Opinion.NONE : IAudits.Opinion(one);
    }

    /// @notice Of the first `count` strikes; none, where it is silent.
    function unpack(uint16 packed, uint256 count) internal pure returns (IAudits.Opinion[] memory list) {
        list = new IAudits.Opinion[](packed == 0 ? 0 : count);
        for (uint256 i; i < list.length; ++i) {
            list[i] = on(packed, i);
        }
    }
}
