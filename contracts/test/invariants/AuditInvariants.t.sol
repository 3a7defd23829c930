// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {vm} from "../Vm.sol";
import {AuditHandler} from "./AuditHandler.sol";

/// @notice INV-15 to INV-17 of the README beside this.
contract AuditInvariants_Test {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    AuditHandler private handler;

    function setUp() external {
        handler = new AuditHandler();
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
        vm.assertEq(handler.held(), handler.owed(), unicode"INV-15: held != fee + Σ balances");
        vm.assertEq(handler.broken(), 0, "INV-16 or INV-17: an accusation took too much, or something counted twice");
        vm.assertTrue(handler.areOfDistinctOwners(), "INV-17: two strikes of one owner");
    }
}
