// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {AccusationId, IAudits} from "../interfaces/IAudits.sol";

/// @title Findings
/// @notice The EIP-712 struct hash of what auditors sign, and the names of accusations and ballots.
/// @dev Signed in the market's domain, as every other message is. Each type string stands above the function that
/// hashes it; `tests/vectors` holds Python to the same bytes.
library Findings {
    bytes32 internal constant FINDING_TYPE = keccak256(
        "Finding(address auditor,address provider,bytes32 receiptHash,bytes32 receiptsRoot,uint32 receiptCount,"
        "bytes32 scalesHash,uint8 check,uint8 verdict,uint64 tokens,uint64 evidence,uint64 foundAt)"
    );

    function finding(IAudits.Finding memory f) internal pure returns (bytes32) {
        return keccak256(abi.encode(FINDING_TYPE, f));
    }

    function accusationId(address provider, uint64 number) internal pure returns (AccusationId) {
        return AccusationId.wrap(keccak256(abi.encode("reaudit", provider, number)));
    }

    /// @param opinions One for each strike, in the order that they accuse in.
    function ballot(AccusationId id, address auditor, IAudits.Opinion[] memory opinions, bytes32 salt)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(id, auditor, opinions, salt));
    }
}
