// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

/// @notice One handler, and which of its functions a run may call.
interface Calls {
    function calls() external view returns (bytes4[] memory);
}

/// @notice A campaign over the calls of one handler, in any order.
abstract contract Campaign {
    /// @dev As forge asks for it.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function handlerOf() internal view virtual returns (address);

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = handlerOf();
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0] = FuzzSelector(handlerOf(), Calls(handlerOf()).calls());
    }
}
