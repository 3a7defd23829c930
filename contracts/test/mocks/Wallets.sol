// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A payer that is a contract, with one owner.
contract Wallet {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecover(digest, signature);
        return signer == OWNER ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @notice Payers that answer as none should.
contract RevertingWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        revert("no");
    }
}

contract SilentWallet {
    fallback() external {}
}

/// @dev The right four bytes, and more where there should be zeros.
contract DirtyWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes32) {
        return bytes32(bytes4(0x1626ba7e)) | bytes32(uint256(1));
    }
}

/// @dev Burns what it gets.
contract BurningWallet {
    uint256 private sum;

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 i = sum;
        while (true) ++i;
        return bytes4(0);
    }
}

/// @dev An answer that is costly to copy.
contract VerboseWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes memory) {
        return new bytes(300_000);
    }
}
