// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {vm} from "../Vm.sol";
import {DuelHandler} from "./DuelHandler.sol";

/// @notice INV-11 to INV-14 of the README beside this.
contract DuelInvariants_Test {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    DuelHandler private handler;

    function setUp() external {
        handler = new DuelHandler();
        handler.setUp();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory list) {
        list = new FuzzSelector[](1);
        list[0] = FuzzSelector(address(handler), handler.calls());
    }

    function invariant_HoldWhateverAnybodyDoes() external view {
        vm.assertEq(handler.held(), handler.fees() + handler.balances(), unicode"INV-11: held != Σ fees + Σ balances");
        vm.assertEq(handler.broken(), 0, "INV-12 or INV-13: a verdict took too much, or money moved twice");
        vm.assertEq(handler.total(), handler.weights(), unicode"INV-14: the tree's sum != Σ weights");
    }
}
