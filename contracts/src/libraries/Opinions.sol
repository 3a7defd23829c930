// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../interfaces/IAudits.sol";

/// @title Opinions
/// @notice What one re-auditor says of each strike of an accusation, in two bits a strike; zero: it is silent.
/// @dev It knows no strikes, but that there are eight at most.
library Opinions {
    uint256 private constant BITS = 2;

    /// @notice Who speaks says of each strike what it thinks: silence on one is no opinion.
    function pack(IAudits.Opinion[] memory list) internal pure returns (uint16 packed) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == IAudits.Opinion.NONE) revert IAudits.NotAnOpinion(list[i]);
            // forge-lint: disable-next-line(unsafe-typecast)
            packed |= uint16(uint256(list[i]) << BITS * i); // Of eight at most.
        }
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
