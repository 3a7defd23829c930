// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {Findings} from "../../src/libraries/Findings.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {vm} from "../Vm.sol";

contract Conclude_Test is AuditFixture {
    uint96 private constant SHARE_EACH = AUDIT_FEE / 11;

    function refuse(IAudits.Status expected, IAudits.Status actual) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongStatus.selector, expected, actual));
    }

    // ------------------------------------------------------------------------------------------------ conclude

    function test_RevertWhen_ItIsNotDue() external {
        refuse(IAudits.Status.DUE, IAudits.Status.NONE);
        audits.conclude(provider);
        struck(3);
        refuse(IAudits.Status.DUE, IAudits.Status.ACCUSED);
        audits.conclude(provider);
        answer(AUDIT_FEE);
        refuse(IAudits.Status.DUE, IAudits.Status.COMMITTING);
        audits.conclude(provider);
        vm.warp(now_() + 2 * PERIOD);
        refuse(IAudits.Status.DUE, IAudits.Status.REVEALING);
        audits.conclude(provider);
    }

    function test_WithoutAnAnswerTwoThirdsAreSlashed() external {
        address[] memory strikers = struck(3);
        vm.warp(now_() + PERIOD);
        uint256 slashed = uint256(STAKED) * 2 / 3;
        vm.expectEmit(address(audits));
        emit IAudits.Concluded(
            Findings.accusationId(provider, 0),
            provider,
            IAudits.Outcome.UNANSWERED,
            new IAudits.Outcome[](3),
            0,
            uint96(slashed),
            uint96(3 * (slashed / 24)),
            0,
            0
        );
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED - slashed);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(audits.balanceOf(strikers[i]), slashed / 24);
        }
        vm.assertEq(asset.balanceOf(address(audits)), 3 * (slashed / 24));
        vm.assertEq(asset.balanceOf(BURNT), slashed - 3 * (slashed / 24));
        audits.withdraw(strikers[0]);
        vm.assertEq(asset.balanceOf(strikers[0]), slashed / 24);
        vm.expectRevert(abi.encodeWithSelector(IBalances.NothingToWithdraw.selector));
        audits.withdraw(strikers[0]);
    }

    function test_WhereMostUpholdItIsSlashedAndTheyArePaid() external {
        (address[] memory strikers, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, said("UUUUUUCCCC."));
        audits.conclude(provider);
        uint256 slashed = uint256(STAKED) * 2 / 3;
        vm.assertEq(stakeOf(provider), STAKED - slashed);
        vm.assertEq(audits.balanceOf(strikers[2]), slashed / 24);
        for (uint256 i; i < SEATS; ++i) {
            vm.assertEq(audits.balanceOf(auditors[i]), i < 6 ? SHARE_EACH : 0);
            vm.assertEq(stakeOf(auditors[i]), i < 6 ? STAKED : STAKED - SHARE_EACH);
        }
        vm.assertEq(audits.balanceOf(provider), 0);
        assertAccusation(IAudits.Status.NONE);
    }

    function test_WhereMostClearThoseWhoStruckPay() external {
        (address[] memory strikers, address[] memory auditors, AccusationId id) = answered();
        uint256 before = allOf(provider);
        voted(id, auditors, said("CCCCCCUU..."));
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED);
        // Of its fee five shares came back, and what six cost those who struck made good.
        vm.assertEq(audits.balanceOf(provider), 5 * SHARE_EACH);
        vm.assertEq(market.balanceOf(provider), 6 * SHARE_EACH);
        vm.assertEq(allOf(provider), before + AUDIT_FEE);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(stakeOf(strikers[i]), STAKED - STAKED / 50);
            (, uint96 weight,) = duels.judgeOf(strikers[i]);
            vm.assertEq(weight, STAKED - STAKED / 50);
        }
        vm.assertEq(audits.balanceOf(auditors[0]), SHARE_EACH);
        vm.assertEq(stakeOf(auditors[6]), STAKED - SHARE_EACH);
        assertStrikes(0);
    }

    function test_WithoutAMajorityNobodyIsSlashedButTheSilent() external {
        (address[] memory strikers, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, said("CCCCCUUUUU."));
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED);
        vm.assertEq(stakeOf(strikers[0]), STAKED);
        for (uint256 i; i < 10; ++i) {
            vm.assertEq(allOf(auditors[i]), STAKED);
        }
        vm.assertEq(stakeOf(auditors[10]), STAKED - SHARE_EACH);
        // As many upheld as cleared: the newest two count on, and silence is no way to have the fee back.
        vm.assertEq(audits.balanceOf(provider), 0);
        vm.assertEq(asset.balanceOf(BURNT), AUDIT_FEE + SHARE_EACH);
        (address[] memory left,) = audits.strikesOf(provider);
        vm.assertEq(left.length, 2);
        vm.assertTrue(left[0] == strikers[1] && left[1] == strikers[2]);
        assertAccusation(IAudits.Status.NONE);
        struck(1);
        assertAccusation(IAudits.Status.ACCUSED);
    }

    /// @dev Of those who spoke most cleared it: others' silence costs the provider nothing.
    function test_WhoMostOfThoseClearWhoSpeakHasItsFeeBack() external {
        (, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, said("CCCCCUUUU.."));
        audits.conclude(provider);
        vm.assertEq(audits.balanceOf(provider), AUDIT_FEE);
        assertStrikes(0);
    }

    /// @dev Nobody seated them, nor the provider: it is no way out.
    function test_WhereNobodySummonsTheFeeIsBurnt() external {
        address[] memory strikers = struck(3);
        answer(AUDIT_FEE);
        vm.warp(now_() + 3 * PERIOD);
        IAudits.Outcome[] memory open = new IAudits.Outcome[](3);
        (open[0], open[1], open[2]) = (IAudits.Outcome.OPEN, IAudits.Outcome.OPEN, IAudits.Outcome.OPEN);
        vm.expectEmit(address(audits));
        emit IAudits.Concluded(
            Findings.accusationId(provider, 0), provider, IAudits.Outcome.OPEN, open, 2, 0, 0, 0, AUDIT_FEE
        );
        audits.conclude(provider);
        vm.assertEq(audits.balanceOf(provider), 0);
        vm.assertEq(stakeOf(provider), STAKED);
        vm.assertEq(stakeOf(strikers[0]), STAKED);
        assertStrikes(2);
    }

    /// @dev In a market so small that nobody is to blame, the fee comes back.
    function test_WhereNobodyIsLeftToBeSeatedTheFeeComesBack() external {
        struck(3);
        for (uint256 i; i < JUDGES + MORE_JUDGES; ++i) {
            vm.prank(vm.addr(JUDGE_KEYS + i));
            duels.retire();
        }
        mine(1);
        reaudited(new IAudits.Opinion[][](SEATS));
        vm.assertEq(audits.balanceOf(provider), AUDIT_FEE);
        vm.assertEq(stakeOf(provider), STAKED);
    }

    // ------------------------------------------------------------------------------------------------ each strike

    /// @dev One that is a sham beside two that are true: it answers for itself alone.
    function test_WhoseStrikeIsClearedPaysAndOthersCountOn() external {
        address[] memory strikers = struck(3);
        address[] memory auditors = reaudited(said("UUUUUUUUU..", "CCCCCCCCC..", "UUUUUUUUU.."));
        vm.assertEq(stakeOf(provider), STAKED);
        vm.assertEq(stakeOf(strikers[0]), STAKED);
        vm.assertEq(stakeOf(strikers[1]), STAKED - STAKED / 50);
        vm.assertEq(stakeOf(strikers[2]), STAKED);
        vm.assertEq(audits.balanceOf(auditors[0]), SHARE_EACH);
        // The rest of the fee comes back; what re-auditors earned does not, since others' strikes are upheld.
        vm.assertEq(audits.balanceOf(provider), 2 * SHARE_EACH);
        vm.assertEq(market.balanceOf(provider), 0);
        (address[] memory left,) = audits.strikesOf(provider);
        vm.assertEq(left.length, 2);
        vm.assertTrue(left[0] == strikers[0] && left[1] == strikers[2]);
        // The third true one, and the provider is slashed.
        struck(1);
        reaudited(said("UUUUUUUUUUU"));
        vm.assertEq(stakeOf(provider), STAKED - uint256(STAKED) * 2 / 3);
        vm.assertTrue(audits.balanceOf(strikers[2]) != 0);
        assertStrikes(0);
    }

    /// @dev A re-auditor is paid and blamed by strikes.
    function test_WhoIsWrongOfOneStrikeIsBlamedForOne() external {
        struck(3);
        address[] memory auditors = reaudited(said("UUUUUUUUUUU", "CUUUUUUUUUU", "UUUUUUUUUUU"));
        vm.assertEq(audits.balanceOf(auditors[0]), SHARE_EACH * 2 / 3);
        vm.assertEq(stakeOf(auditors[0]), STAKED - SHARE_EACH / 3);
        vm.assertEq(audits.balanceOf(auditors[1]), SHARE_EACH);
        vm.assertEq(stakeOf(auditors[1]), STAKED);
    }

    /// @dev Of a sham that shows what nobody can audit, re-auditors say nothing, and of the true ones what they find.
    /// Who guesses has no more of it.
    function test_WhoSaysNothingOfOneStrikeGainsAndLosesNothingByIt() external {
        address[] memory strikers = struck(3);
        address[] memory auditors = reaudited(said("UUUUUUUUUUU", ".........CU", "UUUUUUUUUUU"));
        vm.assertEq(stakeOf(provider), STAKED);
        for (uint256 i; i < SEATS; ++i) {
            vm.assertEq(audits.balanceOf(auditors[i]), SHARE_EACH * 2 / 3);
            vm.assertEq(stakeOf(auditors[i]), STAKED);
        }
        vm.assertEq(audits.balanceOf(provider), 0);
        (address[] memory left,) = audits.strikesOf(provider);
        vm.assertTrue(left.length == 2 && left[0] == strikers[0] && left[1] == strikers[2]);
        // Who filed what hardly anybody can audit pays for that alone.
        vm.assertEq(stakeOf(strikers[0]), STAKED);
        vm.assertEq(stakeOf(strikers[1]), STAKED - STAKED / 200);
        vm.assertEq(stakeOf(strikers[2]), STAKED);
    }

    /// @dev Who can audit none says so of all, and is not silent. Two who uphold may be friends of who struck.
    function test_WhatHardlyAnybodyCanAuditCostsWhoStruckALittleAndDoesNotCountOn() external {
        address[] memory strikers = struck(3);
        address[] memory auditors = reaudited(said("UU---------"));
        for (uint256 i; i < SEATS; ++i) {
            vm.assertEq(allOf(auditors[i]), STAKED);
        }
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(allOf(strikers[i]), STAKED - STAKED / 200);
        }
        vm.assertEq(audits.balanceOf(provider), AUDIT_FEE);
        assertStrikes(0);
    }

    /// @dev Silence of foes makes no honest one pay: neither of most seats, nor where three uphold it.
    function test_WhatMostAreSilentOfCostsWhoStruckNothing() external {
        address[] memory strikers = struck(3);
        reaudited(said("UUU........", "UU...------", "UUU--------"));
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(allOf(strikers[i]), i == 1 ? STAKED - STAKED / 200 : STAKED);
        }
        (address[] memory left,) = audits.strikesOf(provider);
        vm.assertTrue(left.length == 2 && left[0] == strikers[0] && left[1] == strikers[2]);
        strikers = struck(1);
        uint256 before = stakeOf(strikers[0]);
        reaudited(said("UU---......"));
        vm.assertEq(stakeOf(strikers[0]), before);
        assertStrikes(1); // The first two are old by now.
    }

    // ------------------------------------------------------------------------------------------------ meanwhile

    function test_WhatIsFiledMeanwhileAccusesNext() external {
        address[] memory first = struck(3);
        address[] memory next = struck(3);
        assertAccusing(3, 3);
        AccusationId id = Findings.accusationId(provider, 1);
        reaudited(said("CCCCCCCCCCC"));
        vm.assertEq(stakeOf(first[0]), STAKED - STAKED / 50);
        vm.assertEq(stakeOf(next[0]), STAKED);
        assertAccusation(IAudits.Status.ACCUSED);
        assertAccusing(3, 0);
        (address[] memory accusing,) = audits.strikesOf(provider);
        vm.assertEq(accusing, next);
        (AccusationId actual,,,,,,) = audits.accusationOf(provider);
        vm.assertEq(AccusationId.unwrap(actual), AccusationId.unwrap(id));
    }

    /// @dev Two that outlast theirs, and two that were filed meanwhile, accuse together: three of the four that are upheld
    /// slash, and share what three would.
    function test_FourAccuseWhereTwoCountOnAndTwoWaited() external {
        struck(3);
        address[] memory waiting = struck(2);
        reaudited(said("UUUUUU.....", "UUUUUU.....", "CCCCCC....."));
        assertAccusing(4, 0);
        string[] memory texts = new string[](4);
        (texts[0], texts[1], texts[2], texts[3]) = ("UUUUUU.....", "UUUUUU.....", "CCCCCC.....", "UUUUUU.....");
        address[] memory strikers;
        (strikers,) = audits.strikesOf(provider);
        vm.assertTrue(strikers[2] == waiting[0] && strikers[3] == waiting[1]);
        uint256[] memory before = new uint256[](4);
        for (uint256 i; i < 4; ++i) {
            before[i] = allOf(strikers[i]); // Those who waited may have re-audited the first ones.
        }
        uint256 stake_ = stakeOf(strikers[2]);
        // Each strike costs an audit: four cost more than three.
        uint96 least = 11 * MINIMUM_FEE * 4 / 3 + 1;
        vm.expectRevert(abi.encodeWithSelector(IAudits.FeeTooSmall.selector, least, least - 1));
        vm.prank(provider);
        audits.answer(provider, least - 1);
        reaudited(said(texts));
        uint256 slashed = uint256(STAKED) * 2 / 3;
        vm.assertEq(stakeOf(provider), STAKED - slashed);
        for (uint256 i; i < 4; ++i) {
            if (i == 2) vm.assertEq(allOf(strikers[i]), before[i] - stake_ / 50);
            else vm.assertEq(allOf(strikers[i]), before[i] + slashed / 24);
        }
    }

    function test_ASlashLeavesNoStrikeThatWaits() external {
        struck(3);
        struck(2);
        vm.warp(now_() + PERIOD);
        audits.conclude(provider);
        assertAccusing(0, 0);
    }

    function test_WhatWaitsAgesAndWhatAccusesDoesNot() external {
        struck(2);
        vm.warp(now_() + WINDOW - 1 hours);
        struck(1);
        uint256 since = now_();
        struck(1);
        answer(AUDIT_FEE);
        vm.warp(since + WINDOW + 1 hours);
        assertAccusing(3, 0);
        audits.conclude(provider);
        assertAccusing(0, 0); // Late: what would count on is old as well.
    }

    function test_ReachesStakeOnItsWayOut() external {
        address[] memory strikers = struck(1);
        vm.prank(provider);
        market.requestUnstake(STAKED);
        vm.warp(now_() + WINDOW - 1 hours);
        for (uint256 i; i < 2; ++i) {
            IAudits.Exhibit memory exhibit = found(strikers);
            address[] memory more = new address[](strikers.length + 1);
            for (uint256 j; j < strikers.length; ++j) {
                more[j] = strikers[j];
            }
            more[strikers.length] = exhibit.finding.auditor;
            strikers = more;
            audits.strike(exhibit);
        }
        AccusationId id = answer(AUDIT_FEE);
        audits.summon(provider);
        voted(id, audits.reauditorsOf(provider), said("UUUUUUUUUUU"));
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED - uint256(STAKED) * 2 / 3);
    }

    function test_ThreeMoreStrikesMakeAnotherCase() external {
        (, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, said("CCCCCCCCCCC"));
        audits.conclude(provider);
        vm.assertEq(audits.reauditorsOf(provider).length, 0);
        struck(3);
        (AccusationId next, IAudits.Status status, address answerer, uint96 fee,,,) = audits.accusationOf(provider);
        vm.assertEq(AccusationId.unwrap(next), AccusationId.unwrap(Findings.accusationId(provider, 1)));
        vm.assertEq(uint256(status), uint256(IAudits.Status.ACCUSED));
        vm.assertEq(answerer, address(0));
        vm.assertEq(fee, 0);
    }
}
