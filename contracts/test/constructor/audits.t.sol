// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IAudits} from "../../src/interfaces/IAudits.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {vm} from "../Vm.sol";

contract AuditsConstructor_Test is AuditFixture {
    function deployAgain(uint40 window) external {
        (, duels) = newDuels(MINIMUM_FEE, PERIOD);
        deployAudits(address(duels), window);
    }

    function deployFor(address duels_) external {
        deployAudits(duels_, WINDOW);
    }

    function test_RevertWhen_TheDuelsNameAnother() external {
        vm.expectRevert();
        this.deployFor(address(duels));
    }

    function test_RevertWhen_TheWindowIsOutOfItsBounds() external {
        uint40 most = UNSTAKE_NOTICE - 10 * PERIOD;
        vm.expectRevert(abi.encodeWithSelector(IAudits.OutOfBounds.selector, PERIOD, most, PERIOD - 1));
        this.deployAgain(PERIOD - 1);
        vm.expectRevert(abi.encodeWithSelector(IAudits.OutOfBounds.selector, PERIOD, most, most + 1));
        this.deployAgain(most + 1);
        this.deployAgain(most);
    }

    function test_HoldsEveryArgument() external view {
        vm.assertEq(audits.duels(), address(duels));
        vm.assertEq(duels.audits(), address(audits));
        vm.assertEq(audits.window(), WINDOW);
        vm.assertEq(audits.minimumFee(0), 11 * MINIMUM_FEE);
        vm.assertEq(audits.minimumFee(3), 11 * MINIMUM_FEE);
        vm.assertEq(audits.minimumFee(4), 11 * uint256(MINIMUM_FEE) * 4 / 3 + 1); // Up.
        vm.assertEq(audits.minimumFee(6), 22 * MINIMUM_FEE);
    }
}
