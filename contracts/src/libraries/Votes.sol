// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../interfaces/IDuels.sol";

/// @title Votes
/// @notice The EIP-712 struct hashes of what judges sign, and the names of duels.
/// @dev Signed in the market's domain, as every other message is. Each type string stands above the function that
/// hashes it; `tests/vectors` holds Python to the same bytes.
library Votes {
    bytes32 internal constant COMMITMENT_TYPE =
        keccak256("VoteCommitment(bytes32 duel,address judge,bytes32 ballotHash)");

    function commitment(IDuels.VoteCommitment memory c) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMMITMENT_TYPE, c));
    }

    bytes32 internal constant BALLOT_TYPE = keccak256(
        "Ballot(bytes32 duel,address judge,bytes32 bodyHash,bytes32 firstResponseHash,bytes32 secondResponseHash,"
        "uint8 choice,bytes32 salt)"
    );

    function ballot(IDuels.Ballot memory b) internal pure returns (bytes32) {
        return keccak256(abi.encode(BALLOT_TYPE, b));
    }

    /// @notice What a challenger commits to. Judges are shown `hidden_`, so that they can check the receipts and cannot
    /// tell whether it hides a known verdict.
    function duelCommitment(bytes32 firstReceiptHash, bytes32 secondReceiptHash, bytes32 hidden_)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(firstReceiptHash, secondReceiptHash, hidden_));
    }

    function hidden(IDuels.Choice known, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(abi.encode(known, salt));
    }

    function duelId(address challenger, bytes32 commitment_) internal pure returns (DuelId) {
        return DuelId.wrap(keccak256(abi.encode(challenger, commitment_)));
    }

    function appealId(DuelId duel) internal pure returns (DuelId) {
        return DuelId.wrap(keccak256(abi.encode("appeal", duel)));
    }
}
