// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title IArbiter
/// @notice What a market tells its arbiter, where that is a contract.
interface IArbiter {
    /// @notice Less is staked by `provider` than was: it asked for stake back, or lost all of it to a proof of fraud.
    /// @dev Called with a million gas, and whatever comes of it changes nothing at the market.
    function refresh(address provider) external;
}
