// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @title IBalances
/// @notice What a contract owes to each owner, until it is asked for it.
/// @dev Amounts are atoms of the market's asset.
interface IBalances {
    event Credited(address indexed owner, uint96 amount, uint96 balance);
    event Withdrawn(address indexed owner, uint96 amount);

    /// @notice The asset moved another number of atoms than it was told to.
    error AssetMismatch(uint256 expected, uint256 actual);
    error NothingToWithdraw();

    /// @notice Pays `owner` its whole balance. Anyone may call.
    function withdraw(address owner) external returns (uint96 amount);

    function balanceOf(address owner) external view returns (uint96);
}
