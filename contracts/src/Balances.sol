// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IBalances} from "./interfaces/IBalances.sol";

/// @title Balances
/// @notice Atoms that owners have here: earned, or come back. It knows not for what.
abstract contract Balances is IBalances {
    using SafeERC20 for IERC20;

    /// @notice Where atoms go that nobody earns; as the market's.
    address internal constant BURNT = 0x000000000000000000000000000000000000dEaD;

    mapping(address owner => uint96) private _balances;

    /// @inheritdoc IBalances
    function withdraw(address owner) external returns (uint96 amount) {
        amount = _balances[owner];
        if (amount == 0) revert NothingToWithdraw();
        _balances[owner] = 0;

        emit Withdrawn(owner, amount);

        _asset().safeTransfer(owner, amount);
    }

    /// @inheritdoc IBalances
    function balanceOf(address owner) external view returns (uint96) {
        return _balances[owner];
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _asset() internal view virtual returns (IERC20);

    /// @dev The caller's atoms: those that it has here first.
    function _take(uint96 amount) internal {
        uint96 held = _balances[msg.sender];
        if (held >= amount) {
            _balances[msg.sender] = held - amount;
            return;
        }
        if (held != 0) _balances[msg.sender] = 0;
        uint256 before = _asset().balanceOf(address(this));
        _asset().safeTransferFrom(msg.sender, address(this), amount - held);
        uint256 brought = _asset().balanceOf(address(this)) - before;
        if (brought != amount - held) revert AssetMismatch(amount - held, brought);
    }

    function _credit(address owner, uint256 amount) internal {
        uint256 balance = _balances[owner] + amount; // Atoms that exist; their sum has no 96 bits.
        // forge-lint: disable-next-line(unsafe-typecast)
        _balances[owner] = uint96(balance);

        // forge-lint: disable-next-line(unsafe-typecast)
        emit Credited(owner, uint96(amount), uint96(balance));
    }

    function _burn(uint256 amount) internal {
        if (amount != 0) _asset().safeTransfer(BURNT, amount);
    }
}
