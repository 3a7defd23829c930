// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";
import {FraudHandler} from "./FraudHandler.sol";
import {Handler} from "./Handler.sol";

/// @notice INV-1 to INV-10 of the README beside this.
contract Invariants_Test is Fixture {
    Handler private handler;
    FraudHandler private frauds;

    function setUp() public override {
        super.setUp();
        handler = new Handler(market, asset, arbiter);
        frauds = new FraudHandler(market, handler, lens);
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (address(handler), address(frauds));
    }

    /// @dev One campaign for all of them: what is costly is the calls in between.
    function invariant_HoldWhateverAnybodyDoes() external view {
        inv1_Solvent();
        inv2_SettledWithinCap();
        vm.assertEq(handler.paidForClosedEpochs(), 0, "INV-3: a voucher of a closed epoch was paid");
        vm.assertEq(
            handler.broken(), 0, "INV-2, INV-4 or INV-10: a total fell, a promise was broken, a stranger got through"
        );
        inv6_SlashedWithinStake();
        inv7_HalfIsBurnt();
        vm.assertEq(frauds.broken(), 0, "INV-7 to INV-9: a report paid too much, twice, or for nothing");
    }

    function inv1_Solvent() private view {
        uint256 sum = handler.donated();
        address[] memory payers = handler.payers();
        for (uint256 i; i < payers.length; ++i) {
            (uint96 free, uint96 exiting,) = market.accountOf(payers[i]);
            sum += uint256(free) + exiting + market.balanceOf(payers[i]); // Who reports earns, payers too.
        }
        Handler.Key[] memory keys = handler.keys();
        for (uint256 i; i < keys.length; ++i) {
            (uint96 cap, uint96 settled,,) = market.channelOf(keys[i].payer, keys[i].provider, keys[i].sessionKey);
            sum += cap - settled;
        }
        address[] memory providers = handler.providers();
        for (uint256 i; i < providers.length; ++i) {
            sum += handler.stakeOf(providers[i]) + market.balanceOf(providers[i]);
        }
        vm.assertEq(
            asset.balanceOf(address(market)),
            sum,
            unicode"INV-1: balance != Σ free + Σ exiting + Σ (cap - settled) + Σ balances + Σ stake"
        );
    }

    function inv2_SettledWithinCap() private view {
        Handler.Key[] memory keys = handler.keys();
        for (uint256 i; i < keys.length; ++i) {
            (uint96 cap, uint96 settled, uint40 closesAt,) =
                market.channelOf(keys[i].payer, keys[i].provider, keys[i].sessionKey);
            vm.assertLe(settled, cap, "INV-2: settled > cap");
            vm.assertTrue(cap != 0 || closesAt == 0, "closing, but not open");
        }
    }

    function inv6_SlashedWithinStake() private view {
        address[] memory providers = handler.providers();
        for (uint256 i; i < providers.length; ++i) {
            address p = providers[i];
            vm.assertEq(
                handler.stakeOf(p) + handler.everUnstaked(p) + handler.everSlashed(p) + frauds.everSlashed(p)
                    + handler.everLost(p),
                handler.everStaked(p) + handler.everWon(p),
                "INV-6: stake + unstaked + slashed + lost != staked + won"
            );
        }
    }

    function inv7_HalfIsBurnt() private view {
        uint256 forFraud;
        uint256 onVerdict;
        address[] memory providers = handler.providers();
        for (uint256 i; i < providers.length; ++i) {
            forFraud += frauds.everSlashed(providers[i]);
            onVerdict += handler.everSlashed(providers[i]);
        }
        uint256 burnt = asset.balanceOf(BURNT);
        vm.assertLe(forFraud + onVerdict, 2 * burnt, "INV-7: less than half was burnt");
        vm.assertLe(frauds.rewarded(), forFraud / 3, "INV-7: reporters got more than a third");
    }

    /// @notice INV-5, by doing it: every payer alone gets out all that no voucher has taken.
    function afterInvariant() external {
        Handler.Key[] memory keys = handler.keys();
        address[] memory payers = handler.payers();
        uint256[] memory due = new uint256[](payers.length);
        for (uint256 i; i < keys.length; ++i) {
            (uint96 cap,, uint40 closesAt,) = market.channelOf(keys[i].payer, keys[i].provider, keys[i].sessionKey);
            if (cap == 0 || closesAt != 0) continue;
            vm.prank(keys[i].payer);
            market.requestClose(keys[i].provider, keys[i].sessionKey);
        }
        vm.warp(block.timestamp + CLOSE_NOTICE);
        for (uint256 i; i < keys.length; ++i) {
            (uint96 cap, uint96 settled,,) = market.channelOf(keys[i].payer, keys[i].provider, keys[i].sessionKey);
            if (cap == 0) continue;
            for (uint256 j; j < payers.length; ++j) {
                if (payers[j] == keys[i].payer) due[j] += cap - settled;
            }
            vm.prank(keys[i].payer);
            market.finalizeClose(keys[i].payer, keys[i].provider, keys[i].sessionKey);
        }
        for (uint256 j; j < payers.length; ++j) {
            (uint96 free, uint96 exiting,) = market.accountOf(payers[j]);
            vm.assertLe(due[j], free, "INV-5: less was returned than was unspent");
            if (free == 0) continue;
            vm.prank(payers[j]);
            market.requestExit(free);
            due[j] = uint256(free) + exiting;
        }
        vm.warp(block.timestamp + EXIT_NOTICE);
        for (uint256 j; j < payers.length; ++j) {
            (, uint96 exiting,) = market.accountOf(payers[j]);
            if (exiting == 0) continue;
            uint256 before = asset.balanceOf(payers[j]);
            market.exit(payers[j]);
            vm.assertEq(asset.balanceOf(payers[j]) - before, exiting, "INV-5: the payer did not get out");
        }
    }
}
