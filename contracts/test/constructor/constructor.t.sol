// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract Constructor_Test is Fixture {
    function deployMarket(address asset_, uint96 minimum, uint40 exit, uint40 close, uint40 unstake) external {
        newMarket(asset_, minimum, exit, close, unstake);
    }

    function refuse(uint96 minimum, uint40 exit, uint40 close, uint40 unstake, uint256 low, uint256 high, uint256 got)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IMarket.OutOfBounds.selector, low, high, got));
        this.deployMarket(address(asset), minimum, exit, close, unstake);
    }

    function test_RevertWhen_AnArgumentIsOutOfItsBounds() external {
        (uint40 day, uint40 most) = (1 days, 90 days);
        refuse(1, 10 minutes - 1, day, day, 10 minutes, most, 10 minutes - 1);
        refuse(1, most + 1, day, day, 10 minutes, most, most + 1);
        refuse(1, day, 1 hours - 1, day, 1 hours, most, 1 hours - 1);
        refuse(1, day, most + 1, day, 1 hours, most, most + 1);
        refuse(1, day, day, day - 1, day, most, day - 1);
        refuse(1, day, day, most + 1, day, most, most + 1);
        refuse(0, day, day, day, 1, type(uint96).max, 0);
    }

    function test_RevertWhen_TheAssetHasNoCode() external {
        vm.expectRevert(abi.encodeWithSignature("SafeERC20FailedOperation(address)", stranger));
        this.deployMarket(stranger, 1, 1 days, 1 days, 1 days);
    }

    function test_HoldsEveryArgument() external view {
        vm.assertEq(market.asset(), address(asset));
        vm.assertEq(market.arbiter(), arbiter);
        vm.assertEq(market.minimumStake(), MINIMUM_STAKE);
        vm.assertEq(market.exitNotice(), EXIT_NOTICE);
        vm.assertEq(market.closeNotice(), CLOSE_NOTICE);
        vm.assertEq(market.unstakeNotice(), UNSTAKE_NOTICE);
    }
}
