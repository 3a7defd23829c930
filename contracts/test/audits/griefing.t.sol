// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {bound, vm} from "../Vm.sol";

/// @notice What can be tried with audits to harm somebody, or to gain: by the numbers of the attacks in docs/trust.md.
contract AuditGriefing_Test is AuditFixture {
    function sum(address[] memory whose) private view returns (uint256 atoms) {
        for (uint256 i; i < whose.length; ++i) {
            atoms += allOf(whose[i]);
        }
    }

    // ------------------------------------------------------------------------------------------------ 35

    function test_35_OneWhoStruckFalselyAndUnstakesAtOncePays() external {
        address[] memory strikers = struck(1);
        vm.prank(strikers[0]);
        market.requestUnstake(STAKED);
        vm.warp(now_() + WINDOW - 1 hours);
        address[] memory more = new address[](3);
        more[0] = strikers[0];
        for (uint256 i = 1; i < 3; ++i) {
            IAudits.Exhibit memory exhibit = found(more);
            more[i] = exhibit.finding.auditor;
            audits.strike(exhibit);
        }
        vm.warp(now_() + PERIOD - 1);
        AccusationId id = answer(AUDIT_FEE);
        audits.summon(provider);
        voted(id, audits.reauditorsOf(provider), opinionsOf("CCCCCCCCCCC"));
        audits.conclude(provider);
        vm.assertEq(stakeOf(strikers[0]), STAKED - STAKED / 50);
    }

    function test_35_AProviderThatStakesAnewIsNotStruckForTheOldAgain() external {
        IAudits.Exhibit memory old = found();
        audits.strike(old);
        address[] memory strikers = new address[](3);
        strikers[0] = old.finding.auditor;
        for (uint256 i = 1; i < 3; ++i) {
            IAudits.Exhibit memory exhibit = found(strikers);
            strikers[i] = exhibit.finding.auditor;
            audits.strike(exhibit);
        }
        vm.warp(now_() + PERIOD);
        audits.conclude(provider);
        stake(provider, STAKED);
        assertStrikes(0);
        vm.expectRevert(abi.encodeWithSelector(IAudits.ReceiptCounted.selector, old.finding.receiptHash));
        audits.strike(old);
    }

    // ------------------------------------------------------------------------------------------------ 36

    function test_36_OneOwnerWithMostOfTheStakeStrikesOnceAndHasOneSeat() external {
        address whale = vm.addr(0x3A1E);
        address[] memory hands = new address[](6);
        for (uint256 i; i < hands.length; ++i) {
            uint256 key = 0x3A1E00 + i;
            hands[i] = vm.addr(key);
            keyOf[hands[i]] = key;
            stake(hands[i], 100 * STAKED);
            vm.prank(whale);
            duels.consent(hands[i]);
            vm.prank(hands[i]);
            duels.enlist(whale);
        }
        mine(1);
        for (uint256 i; i < 4; ++i) {
            IAudits.Exhibit memory exhibit = drawn(true);
            address[] memory auditors = auditorsOf(exhibit);
            uint256 count;
            for (uint256 j; j < auditors.length; ++j) {
                if (!isAmong(hands, auditors[j])) continue;
                ++count;
                sealFinding(exhibit, auditors[j]);
            }
            vm.assertLe(count, 1);
            if (count == 0) continue;
            (address[] memory struckBy,) = audits.strikesOf(provider);
            if (struckBy.length != 0) vm.expectRevert(abi.encodeWithSelector(IAudits.OwnerCounted.selector, whale));
            audits.strike(exhibit);
        }
        assertStrikes(1);
    }

    // ------------------------------------------------------------------------------------------------ 38

    function test_38_OneThatCopiesACommitmentHasSaidNothing() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = new IAudits.Commitment[](2);
        list[0] = commitmentOf(id, auditors[0], 0, IAudits.Opinion.CLEAR);
        DuelId signedFor = DuelId.wrap(AccusationId.unwrap(id));
        bytes32 structHash = Votes.commitment(IDuels.VoteCommitment(signedFor, auditors[1], list[0].ballotHash));
        list[1] = IAudits.Commitment(1, list[0].ballotHash, sign(keyOf[auditors[1]], structHash));
        audits.commit(provider, list);
        vm.warp(now_() + 2 * PERIOD);
        IAudits.Reveal[] memory same = new IAudits.Reveal[](1);
        same[0] = IAudits.Reveal(1, IAudits.Opinion.CLEAR, saltOf(auditors[0]));
        vm.expectRevert();
        audits.reveal(provider, same);
    }

    function test_38_OneThatNamesAnothersKeyHasSaidNothing() external {
        (, address[] memory auditors, AccusationId id) = answered();
        vm.prank(auditors[1]);
        market.setReceiptKey(auditors[0]);
        IAudits.Commitment[] memory list = new IAudits.Commitment[](1);
        list[0] = commitmentOf(id, auditors[0], 0, IAudits.Opinion.CLEAR);
        list[0].seat = 1;
        vm.expectRevert();
        audits.commit(provider, list);
    }

    function test_38_WhatIsStakedAfterAStrikeEarnsNothing() external {
        stake(provider, 1_000 * STAKED);
        address[] memory strikers = struck(3);
        for (uint256 i; i < 3; ++i) {
            stake(strikers[i], 200 * STAKED);
        }
        vm.warp(now_() + PERIOD);
        audits.conclude(provider);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(audits.balanceOf(strikers[i]), STAKED / 8);
        }
    }

    function testFuzz_38_FiveOfElevenSeatsNeitherSlashNorClear(uint256 dice) external {
        (address[] memory strikers, address[] memory auditors, AccusationId id) = answered();
        IAudits.Opinion[] memory opinions = new IAudits.Opinion[](SEATS);
        uint256[3] memory said;
        for (uint256 i; i < SEATS; ++i) {
            uint256 one_ = (dice >> (8 * i)) % 3;
            if (one_ != 0 && said[one_] == 5) one_ = 0;
            ++said[one_];
            opinions[i] = IAudits.Opinion(one_);
        }
        voted(id, auditors, opinions);
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED);
        vm.assertEq(stakeOf(strikers[0]), STAKED);
    }

    function test_38_AFeeAsLargeAsAllStakesTakesASmallPartOfASilentOnes() external {
        struck(3);
        asset.mint(provider, 100_000e6);
        AccusationId id = answer(50_000e6);
        audits.summon(provider);
        address[] memory auditors = audits.reauditorsOf(provider);
        voted(id, auditors, opinionsOf("CCCCCC....U"));
        audits.conclude(provider);
        vm.assertEq(stakeOf(auditors[7]), STAKED - STAKED / 4_000);
        vm.assertEq(stakeOf(auditors[10]), STAKED - STAKED / 4_000);
    }

    // ------------------------------------------------------------------------------------------------ 39

    function testFuzz_39_ThreeFalseStrikesCostThoseWhoStruck(uint96 more, uint96 fee) external {
        more = uint96(bound(more, 1, 1e15));
        stake(provider, more);
        address[] memory strikers = struck(3);
        fee = uint96(bound(fee, 11 * MINIMUM_FEE, 1_000e6));
        AccusationId id = answer(fee);
        audits.summon(provider);
        uint256 before = allOf(provider) + fee;
        voted(id, audits.reauditorsOf(provider), opinionsOf("CCCCCCCCCCC"));
        audits.conclude(provider);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(stakeOf(strikers[i]), STAKED - STAKED / 50);
        }
        // The provider has its fee back, but for roundings, or all that half of the penalties are.
        uint256 made = 3 * uint256(STAKED / 50) / 2;
        uint256 spent = 11 * (fee / 11);
        vm.assertLe(before, allOf(provider) + (spent > made ? spent - made : 0) + 9);
        vm.assertLe(allOf(provider), before);
    }

    // ------------------------------------------------------------------------------------------------ 40

    function test_40_AProviderThatStrikesItselfLoses() external {
        address[] memory hand = new address[](4);
        hand[0] = provider;
        uint256 before = allOf(provider) + 3 * STAKED;
        address[] memory strikers = struck(3);
        (hand[1], hand[2], hand[3]) = (strikers[0], strikers[1], strikers[2]);
        vm.warp(now_() + PERIOD);
        audits.conclude(provider);
        uint256 slashed = uint256(STAKED) * 2 / 3;
        vm.assertEq(before - sum(hand), slashed - 3 * (slashed / 24));
    }

    function test_40_StrikersAndProviderInOneHandThatAreClearedLose() external {
        (address[] memory strikers, address[] memory auditors, AccusationId id) = answered();
        address[] memory hand = new address[](4);
        (hand[0], hand[1], hand[2], hand[3]) = (provider, strikers[0], strikers[1], strikers[2]);
        uint256 before = sum(hand) + AUDIT_FEE;
        voted(id, auditors, opinionsOf("CCCCCCCCCCC"));
        audits.conclude(provider);
        vm.assertLe(sum(hand) + AUDIT_FEE, before);
    }

    function test_40_AtomsLeftWithTheAuditsHoldNothingUp() external {
        deposit(payer, 10e6);
        vm.prank(payer);
        market.openChannels(one(IMarket.Opening(address(audits), sessionKey, 10e6)));
        market.settle(address(audits), one(rowFor(payer, address(audits), SESSION_KEY, 0, 5e6)));
        struck(3);
        market.withdraw(address(audits));
        vm.warp(now_() + PERIOD);
        audits.conclude(provider);
        vm.assertEq(asset.balanceOf(address(audits)), 5e6 + 3 * (uint256(STAKED) * 2 / 3 / 24));
    }
}
