// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../src/interfaces/IMarket.sol";
import {TestAsset} from "../src/TestAsset.sol";
import {Fixture} from "./Fixture.sol";
import {BonusAsset, FalseAsset, FeeAsset, HookedAsset, MuteAsset, RebasingAsset, Thief} from "./mocks/WeirdAssets.sol";
import {vm} from "./Vm.sol";

contract WeirdAssets_Test is Fixture {
    function use(TestAsset asset_) private {
        asset = asset_;
        market = newMarket(address(asset_));
        fund(payer, 100e6);
        fund(provider, 100e6);
    }

    function refusesToTakeIn(uint256 brought) private {
        vm.expectRevert(abi.encodeWithSelector(IMarket.AssetMismatch.selector, 10e6, brought));
        vm.prank(payer);
        market.deposit(payer, 10e6);
        vm.expectRevert(abi.encodeWithSelector(IMarket.AssetMismatch.selector, 10e6, brought));
        vm.prank(provider);
        market.stake(10e6);
    }

    function test_AFeeIsRefused() external {
        use(new FeeAsset());
        refusesToTakeIn(9.9e6);
    }

    function test_ABonusIsRefused() external {
        use(new BonusAsset());
        refusesToTakeIn(10e6 + 1);
    }

    /// @dev INV-1 is broken then, as the contract says. Still nobody is paid more than is its own.
    function test_ALossIsBorneByTheLastOneOut() external {
        RebasingAsset rebasing = new RebasingAsset();
        use(rebasing);
        vm.prank(payer);
        market.deposit(payer, 10e6);
        vm.prank(provider);
        market.stake(10e6);
        rebasing.lose(address(market), 4e6);

        vm.prank(payer);
        market.requestExit(10e6);
        vm.warp(START + EXIT_NOTICE);
        market.exit(payer);
        vm.assertEq(asset.balanceOf(payer), 100e6);

        vm.prank(provider);
        market.requestUnstake(10e6);
        vm.warp(START + EXIT_NOTICE + UNSTAKE_NOTICE);
        vm.expectRevert();
        market.unstake(provider);
        assertStake(0, 10e6, START + EXIT_NOTICE + UNSTAKE_NOTICE);
    }

    function test_FalseRevertsAndNothingMoves() external {
        FalseAsset asset_ = new FalseAsset();
        use(asset_);
        vm.prank(payer);
        market.deposit(payer, 10e6);
        vm.prank(payer);
        market.requestExit(10e6);
        vm.warp(START + EXIT_NOTICE);
        asset_.breakDown();

        bytes memory failed = abi.encodeWithSignature("SafeERC20FailedOperation(address)", address(asset_));
        vm.expectRevert(failed);
        market.exit(payer);
        assertAccount(0, 10e6, START + EXIT_NOTICE);
        vm.prank(payer);
        vm.expectRevert(failed);
        market.deposit(payer, 10e6);
    }

    function test_NothingReturnedIsFine() external {
        use(new MuteAsset());
        vm.prank(payer);
        market.deposit(payer, 10e6);
        vm.prank(payer);
        market.requestExit(10e6);
        vm.warp(START + EXIT_NOTICE);
        market.exit(payer);
        vm.assertEq(asset.balanceOf(payer), 100e6);
    }

    // ------------------------------------------------------------------------------------------------ re-entering

    function thief() private returns (Thief thief_) {
        use(new HookedAsset());
        thief_ = new Thief(market, asset);
        asset.mint(address(thief_), 100e6);
        thief_.act(abi.encodeCall(IMarket.deposit, (address(thief_), 50e6)), "");
        thief_.act(abi.encodeCall(IMarket.requestExit, (20e6)), "");
        vm.prank(payer);
        market.deposit(payer, 50e6); // What there would be to steal.
        vm.warp(START + EXIT_NOTICE);
    }

    function test_ADepositInADepositIsRefused() external {
        Thief thief_ = thief();
        bytes memory call = abi.encodeCall(IMarket.deposit, (address(thief_), 10e6));
        vm.expectRevert(abi.encodeWithSelector(IMarket.AssetMismatch.selector, 10e6, 20e6));
        thief_.act(call, call);
    }

    function test_AnExitInADepositIsRefused() external {
        Thief thief_ = thief();
        vm.expectRevert(); // The balance falls, and the difference underflows.
        thief_.act(
            abi.encodeCall(IMarket.deposit, (address(thief_), 10e6)), abi.encodeCall(IMarket.exit, (address(thief_)))
        );
    }

    function test_AnExitIsPaidOnce() external {
        Thief thief_ = thief();
        bytes memory call = abi.encodeCall(IMarket.exit, (address(thief_)));
        thief_.act(call, call);
        vm.assertFalse(thief_.succeeded());
        vm.assertEq(asset.balanceOf(address(thief_)), 50e6 + 20e6);
        vm.assertEq(asset.balanceOf(address(market)), 50e6 + 30e6);
    }

    function test_AWithdrawalIsPaidOnce() external {
        Thief thief_ = thief();
        vm.prank(payer);
        market.openChannels(one(IMarket.Opening(address(thief_), sessionKey, 10e6)));
        separator = lens.domainSeparator(block.chainid, address(market));
        market.settle(address(thief_), one(rowFor(payer, address(thief_), SESSION_KEY, 0, 10e6)));
        bytes memory call = abi.encodeCall(IMarket.withdraw, (address(thief_)));
        thief_.act(call, call);
        vm.assertFalse(thief_.succeeded());
        vm.assertEq(asset.balanceOf(address(thief_)), 50e6 + 10e6);
    }
}
