// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {Findings} from "../../src/libraries/Findings.sol";
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
        voted(id, audits.reauditorsOf(provider), said("CCCCCCCCCCC"));
        audits.conclude(provider);
        vm.assertEq(stakeOf(strikers[0]), STAKED - STAKED / 50);
    }

    /// @dev Its last answers are struck for at the end of the window, and it is accused of shams just before: what is true
    /// waits for these to end, and still reaches what it has left.
    function test_35_OneThatAsksItsStakeBackAtItsLastAnswerIsSlashedByWhatWaited() external {
        IAudits.Exhibit[] memory exhibits = new IAudits.Exhibit[](6);
        address[] memory others = new address[](6);
        uint256 since = now_();
        for (uint256 i; i < 6; ++i) {
            exhibits[i] = found(others);
            others[i] = exhibits[i].finding.auditor;
        }
        vm.prank(provider);
        market.requestUnstake(STAKED);
        vm.warp(since + WINDOW);
        for (uint256 i; i < 6; ++i) {
            audits.strike(exhibits[i]);
        }
        assertAccusing(3, 3);
        vm.warp(now_() + PERIOD - 1 hours);
        reaudited(said("CCCCCCCCCCC"));
        assertAccusing(3, 0);
        vm.warp(now_() + PERIOD - 1);
        AccusationId id = answer(AUDIT_FEE);
        audits.summon(provider);
        voted(id, audits.reauditorsOf(provider), said("UUUUUUUUUUU"));
        vm.warp(now_() + PERIOD - 1);
        vm.expectRevert();
        market.unstake(provider);
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED - uint256(STAKED) * 2 / 3);
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
        list[0] = commitmentOf(id, auditors[0], 0, opinionsOf("CCC"));
        DuelId signedFor = DuelId.wrap(AccusationId.unwrap(id));
        bytes32 structHash = Votes.commitment(IDuels.VoteCommitment(signedFor, auditors[1], list[0].ballotHash));
        list[1] = IAudits.Commitment(1, list[0].ballotHash, sign(keyOf[auditors[1]], structHash));
        audits.commit(provider, list);
        vm.warp(now_() + 2 * PERIOD);
        IAudits.Reveal[] memory same = new IAudits.Reveal[](1);
        same[0] = IAudits.Reveal(1, opinionsOf("CCC"), saltOf(auditors[0]));
        bytes32 its = Findings.ballot(id, auditors[1], opinionsOf("CCC"), saltOf(auditors[0]));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongBallot.selector, list[0].ballotHash, its));
        audits.reveal(provider, same);
    }

    function test_38_OneThatNamesAnothersKeyHasSaidNothing() external {
        (, address[] memory auditors, AccusationId id) = answered();
        vm.prank(auditors[1]);
        market.setReceiptKey(auditors[0]);
        IAudits.Commitment[] memory list = new IAudits.Commitment[](1);
        list[0] = commitmentOf(id, auditors[0], 0, opinionsOf("CCC"));
        list[0].seat = 1;
        audits.commit(provider, list);
        (,, bytes32 ballotHash) = audits.seatOf(provider, 1);
        vm.assertEq(ballotHash, 0);
    }

    /// @dev Naming another key once the others' commitments are in a batch with its own holds nothing up.
    function test_38_OneThatNamesAnotherKeyHoldsNothingUp() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = commits(id, auditors, said("CCCCCCCCCCC"));
        vm.prank(auditors[3]);
        market.setReceiptKey(stranger);
        audits.commit(provider, list);
        for (uint8 i; i < SEATS; ++i) {
            (,, bytes32 ballotHash) = audits.seatOf(provider, i);
            vm.assertEq(ballotHash, list[i].ballotHash);
        }
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
        IAudits.Opinion[][] memory seats = new IAudits.Opinion[][](SEATS);
        uint256[3] memory counts;
        for (uint256 i; i < SEATS; ++i) {
            uint256 one_ = (dice >> (8 * i)) % 3;
            if (one_ != 0 && counts[one_] == 5) one_ = 0;
            ++counts[one_];
            if (one_ != 0) seats[i] = opinionsOf(one_ == 1 ? "UUU" : "CCC");
        }
        voted(id, auditors, seats);
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED);
        // Most spoke, and two upheld it at most.
        bool unproven = counts[1] <= 2 && counts[1] + counts[2] >= 6;
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(stakeOf(strikers[i]), unproven ? STAKED - STAKED / 200 : STAKED);
        }
        for (uint256 i; i < SEATS; ++i) {
            bool silent = seats[i].length == 0;
            vm.assertEq(allOf(auditors[i]), silent ? STAKED - AUDIT_FEE / 11 : STAKED);
        }
        assertStrikes(counts[1] == 0 || counts[1] < counts[2] ? 0 : 2);
    }

    /// @dev Six of eleven that are silent for it win it time, once: it pays, and one more strike accuses it again.
    function test_38_SilenceIsNoFreeWayOut() external {
        uint256 before = allOf(provider);
        struck(3);
        reaudited(said("UUUUU......"));
        vm.assertEq(before - allOf(provider), AUDIT_FEE);
        struck(1);
        reaudited(said("UUUUUU....."));
        vm.assertEq(stakeOf(provider), STAKED - uint256(STAKED) * 2 / 3);
    }

    function test_38_AFeeAsLargeAsAllStakesTakesASmallPartOfASilentOnes() external {
        struck(3);
        asset.mint(provider, 100_000e6);
        AccusationId id = answer(50_000e6);
        audits.summon(provider);
        address[] memory auditors = audits.reauditorsOf(provider);
        voted(id, auditors, said("CCCCCC....U"));
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
        voted(id, audits.reauditorsOf(provider), said("CCCCCCCCCCC"));
        audits.conclude(provider);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(stakeOf(strikers[i]), STAKED - STAKED / 50);
        }
        // The provider has its fee back, but for roundings, or all that half of the penalties are.
        uint256 made = 3 * uint256(STAKED / 50) / 2;
        uint256 spent = 11 * (fee / 11);
        vm.assertLe(before, allOf(provider) + (spent > made ? spent - made : 0) + 9);
        vm.assertLe(allOf(provider), before);
        // No part of a penalty goes to it beyond what it spent: but for roundings it has no more, and seldom less.
        if (spent <= made) vm.assertLe(before - allOf(provider), 9);
    }

    /// @dev Those who struck are silent as re-auditors would be that are their friends: the honest who are left clear it.
    function test_39_SilenceOfOthersTakesNothingFromAnHonestOne() external {
        struck(3);
        uint256 before = allOf(provider);
        reaudited(said("CCCCC......"));
        vm.assertEq(before, allOf(provider));
        assertStrikes(0);
    }

    /// @dev Friends that say that they can audit nothing lose nothing by it; what they win it costs the cheat all the same.
    function test_38_WhoSaysNothingWinsACheatNoMoreThanSilence() external {
        uint256 before = allOf(provider);
        struck(3);
        reaudited(said("UUUUU------"));
        vm.assertEq(before - allOf(provider), AUDIT_FEE);
        assertStrikes(2);
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
        voted(id, auditors, said("CCCCCCCCCCC"));
        audits.conclude(provider);
        vm.assertLe(sum(hand) + AUDIT_FEE, before);
    }

    /// @dev It strikes itself with what it shows nobody, beside two that are true: these lose nothing by it.
    function test_40_AShamBesideTwoTrueStrikesCostsItselfAlone() external {
        address[] memory strikers = struck(3);
        address[] memory hand = new address[](2);
        (hand[0], hand[1]) = (provider, strikers[0]);
        uint256 before = sum(hand);
        reaudited(said("CCCCCCCCCCC", "UUUUUUUUUUU", "UUUUUUUUUUU"));
        vm.assertTrue(sum(hand) < before);
        vm.assertEq(allOf(strikers[1]), STAKED);
        vm.assertEq(allOf(strikers[2]), STAKED);
        assertStrikes(2);
    }

    /// @dev One that nobody can audit is no cheaper way: it has to pay for each, and no seat more than two can be its own.
    function test_40_AShamThatNobodyCanAuditCostsItsAuditor() external {
        address[] memory strikers = struck(3);
        reaudited(said("UU---------", "UUUUUUUUUUU", "UUUUUUUUUUU"));
        vm.assertEq(allOf(strikers[0]), STAKED - STAKED / 200);
        assertStrikes(2);
    }

    /// @dev Nor does it keep others' strikes away by being accused of its own.
    function test_40_AShamAccusationShieldsNobody() external {
        struck(3);
        struck(3);
        reaudited(said("CCCCCCCCCCC"));
        assertAccusing(3, 0);
        reaudited(said("UUUUUUUUUUU"));
        vm.assertEq(stakeOf(provider), STAKED - uint256(STAKED) * 2 / 3);
    }

    /// @dev A fraud of its own, reported by another address, saves it nothing of what three strikes leave.
    function test_40_ReportingItsOwnFraudSavesNothing() external {
        struck(3);
        IMarket.Receipt memory first = receiptOf(0);
        IMarket.Receipt memory second = receiptOf(0);
        second.responseHash = keccak256("another");
        (bytes memory one_, bytes memory other) = (sign(PROVIDER_KEY, first), sign(PROVIDER_KEY, second));
        vm.prank(stranger);
        market.slashReceiptEquivocation(payer, provider, sessionKey, 0, first, one_, second, other);
        vm.assertLe(market.balanceOf(stranger), STAKED - uint256(STAKED) * 2 / 3);
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
