// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

/// @title TestAsset
/// @notice A settlement asset for local chains only: anyone may mint as much as it likes, so it is worth nothing.
/// @dev It has what the great stablecoins have: 6 decimals, EIP-2612 permits and EIP-3009 authorisations.
contract TestAsset is ERC20Permit, ERC3009 {
    constructor() ERC20("Test Dollar", "TEST") ERC20Permit("Test Dollar") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
