// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {vm} from "../Vm.sol";
import {AuditHandler} from "./AuditHandler.sol";
import {Campaign} from "./Campaign.sol";

/// @notice INV-14 to INV-17 of the README beside this.
contract AuditInvariants_Test is Campaign {
    AuditHandler private handler;

    function setUp() external {
        handler = new AuditHandler();
        handler.setUp();
    }

    function handlerOf() internal view override returns (address) {
        return address(handler);
    }

    function invariant_HoldWhateverAnybodyDoes() external view {
        vm.assertTrue(handler.weighHardlyMore(), "INV-14: an auditor weighs more than it has staked");
        vm.assertEq(handler.held(), handler.owed(), unicode"INV-15: held != fee + Σ balances");
        vm.assertEq(handler.broken(), 0, "INV-16 or INV-17: an accusation took too much, or something counted twice");
        vm.assertTrue(handler.areOfDistinctOwners(), "INV-17: two strikes of one owner, or more than eight");
    }
}
