// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../interfaces/IMarket.sol";

/// @title Words
/// @notice `keccak256(abi.encode(...))` of a few words.
/// @dev The only assembly of ours, and its reason: `abi.encode` leaves what it encoded in memory for good, so that a
/// batch pays for each row's memory and for the square of all of it: 300 gas of each row in a batch of a hundred. What
/// these write lies above the free memory pointer, which they do not move. Tests compare each with `abi.encode`.
library Words {
    function keccak(uint256 a, uint256 b, uint256 c) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, a)
            mstore(add(free, 0x20), b)
            mstore(add(free, 0x40), c)
            hash := keccak256(free, 0x60)
        }
    }

    function keccak(uint256 a, uint256 b, uint256 c, uint256 d) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, a)
            mstore(add(free, 0x20), b)
            mstore(add(free, 0x40), c)
            mstore(add(free, 0x60), d)
            hash := keccak256(free, 0x80)
        }
    }

    /// @dev The words of a grant as they came. The caller reads each field, which refuses one that is not clean.
    function keccak(bytes32 typeHash, IMarket.Grant calldata grant) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 0x20), grant, 0xc0)
            hash := keccak256(free, 0xe0)
        }
    }
}
