// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IDuels} from "../../src/interfaces/IDuels.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {vm} from "../Vm.sol";

contract DuelsConstructor_Test is DuelFixture {
    function deployAgain(uint96 minimumFee, uint40 period) external {
        newDuels(minimumFee, period);
    }

    function deployFor(address market_) external {
        deployDuels(market_, address(0), 1, PERIOD);
    }

    function refuse(uint96 minimumFee, uint40 period, uint256 low, uint256 high, uint256 got) private {
        vm.expectRevert(abi.encodeWithSelector(IDuels.OutOfBounds.selector, low, high, got));
        this.deployAgain(minimumFee, period);
    }

    function test_RevertWhen_ItIsNotTheMarketsArbiter() external {
        IMarket other = newMarket(address(asset));
        vm.expectRevert();
        this.deployFor(address(other));
    }

    function test_RevertWhen_AnArgumentIsOutOfItsBounds() external {
        refuse(0, PERIOD, 1, type(uint96).max, 0);
        refuse(1, 10 minutes - 1, 10 minutes, UNSTAKE_NOTICE / 10, 10 minutes - 1);
        refuse(1, UNSTAKE_NOTICE / 10 + 1, 10 minutes, UNSTAKE_NOTICE / 10, UNSTAKE_NOTICE / 10 + 1);
    }

    function test_HoldsEveryArgument() external view {
        vm.assertEq(duels.market(), address(market));
        vm.assertEq(duels.minimumFee(), MINIMUM_FEE);
        vm.assertEq(duels.period(), PERIOD);
        vm.assertEq(duels.audits(), address(audits));
        vm.assertEq(market.arbiter(), address(duels));
    }
}
