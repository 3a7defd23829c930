// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {vm} from "../Vm.sol";
import {Campaign} from "./Campaign.sol";
import {DuelHandler} from "./DuelHandler.sol";

/// @notice INV-11 to INV-14 of the README beside this.
contract DuelInvariants_Test is Campaign {
    DuelHandler private handler;

    function setUp() external {
        handler = new DuelHandler();
        handler.setUp();
    }

    function handlerOf() internal view override returns (address) {
        return address(handler);
    }

    function invariant_HoldWhateverAnybodyDoes() external view {
        vm.assertEq(handler.held(), handler.fees() + handler.balances(), unicode"INV-11: held != Σ fees + Σ balances");
        vm.assertEq(handler.broken(), 0, "INV-12 or INV-13: a verdict took too much, or money moved twice");
        vm.assertEq(handler.total(), handler.weights(), unicode"INV-14: the tree's sum != Σ weights");
        vm.assertTrue(handler.weighHardlyMore(), "INV-14: a judge weighs more than it has staked");
    }
}
