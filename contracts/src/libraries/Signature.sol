// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Signature
/// @notice Who signed: 65 bytes or EIP-2098's 64, low s only.
/// @dev Nothing is ever keyed on the bytes of a signature, of which one message has at least two.
library Signature {
    /// @notice Who signed `digest`; zero for a signature that is malformed, malleable or nobody's.
    function recover(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        (uint8 v, bytes32 r, bytes32 s) = ECDSA.parseCalldata(signature);
        (signer,,) = ECDSA.tryRecover(digest, v, r, s);
    }

    /// @notice Whether the key `signer` signed `digest`. Never so for zero, whom every bad signature names.
    function isBy(address signer, bytes32 digest, bytes calldata signature) internal pure returns (bool) {
        return signer != address(0) && recover(digest, signature) == signer;
    }

    /// @notice {isBy} for an EIP-2098 signature in two words.
    function isBy(address signer, bytes32 digest, bytes32 r, bytes32 vs) internal pure returns (bool) {
        (address recovered,,) = ECDSA.tryRecover(digest, r, vs);
        return signer != address(0) && recovered == signer;
    }
}
