// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IBalances} from "../../src/interfaces/IBalances.sol";
import {IDuels} from "../../src/interfaces/IDuels.sol";
import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {Findings} from "../../src/libraries/Findings.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {vm} from "../Vm.sol";

contract Reaudit_Test is AuditFixture {
    uint96 private constant SHARE_EACH = AUDIT_FEE / 11;

    function refuse(IAudits.Status expected, IAudits.Status actual) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongStatus.selector, expected, actual));
    }

    // ------------------------------------------------------------------------------------------------ answer

    function test_RevertWhen_NobodyIsAccusedOrItIsTooLate() external {
        refuse(IAudits.Status.ACCUSED, IAudits.Status.NONE);
        audits.answer(provider, AUDIT_FEE);
        struck(3);
        vm.warp(now_() + PERIOD);
        refuse(IAudits.Status.ACCUSED, IAudits.Status.DUE);
        audits.answer(provider, AUDIT_FEE);
    }

    function test_RevertWhen_TheFeeIsTooSmall() external {
        struck(3);
        vm.expectRevert(abi.encodeWithSelector(IAudits.FeeTooSmall.selector, 11 * MINIMUM_FEE, 11 * MINIMUM_FEE - 1));
        audits.answer(provider, 11 * MINIMUM_FEE - 1);
    }

    function test_TakesTheFeeOfWhoeverAnswers() external {
        struck(3);
        fundAudits(stranger);
        uint256 before = asset.balanceOf(stranger);
        AccusationId id = Findings.accusationId(provider, 0);
        (uint48 drawBlock, uint40 until) = (uint48(this.blockNumber() + 2), uint40(now_() + 2 * PERIOD));
        vm.expectEmit(address(audits));
        emit IAudits.Answered(id, provider, stranger, AUDIT_FEE, drawBlock, until);
        vm.prank(stranger);
        audits.answer(provider, AUDIT_FEE);
        vm.assertEq(before - asset.balanceOf(stranger), AUDIT_FEE);
        assertAccusation(IAudits.Status.COMMITTING);
    }

    // ------------------------------------------------------------------------------------------------ summon

    function test_RevertWhen_ItIsNotTheTimeToSummon() external {
        struck(3);
        refuse(IAudits.Status.COMMITTING, IAudits.Status.ACCUSED);
        audits.summon(provider);
        vm.prank(provider);
        audits.answer(provider, AUDIT_FEE);
        vm.expectRevert();
        audits.summon(provider);
        vm.assertEq(audits.reauditorsOf(provider).length, 0);
        mine(3);
        audits.summon(provider);
        vm.expectRevert(abi.encodeWithSelector(IAudits.AlreadySummoned.selector, Findings.accusationId(provider, 0)));
        audits.summon(provider);
    }

    function test_SeatsElevenWhoHadNoHandInIt() external {
        address[] memory strikers = struck(3);
        answer(AUDIT_FEE);
        address[] memory drawn_ = audits.reauditorsOf(provider);
        audits.summon(provider);
        address[] memory auditors = audits.reauditorsOf(provider);
        vm.assertEq(auditors, drawn_);
        vm.assertEq(auditors.length, SEATS);
        for (uint256 i; i < SEATS; ++i) {
            vm.assertTrue(auditors[i] != address(0) && auditors[i] != provider);
            vm.assertFalse(isAmong(strikers, auditors[i]));
            for (uint256 j; j < i; ++j) {
                vm.assertTrue(auditors[i] != auditors[j]);
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ votes

    function test_RevertWhen_TheSeatIsNone() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = new IAudits.Commitment[](1);
        list[0] = commitmentOf(id, auditors[0], 11, IAudits.Opinion.CLEAR);
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotSeated.selector, 11));
        audits.commit(provider, list);
    }

    function test_RevertWhen_TheAuditorDidNotSign() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = new IAudits.Commitment[](1);
        list[0] = commitmentOf(id, auditors[1], 0, IAudits.Opinion.CLEAR);
        vm.expectRevert();
        audits.commit(provider, list);
    }

    function test_KeepsTheFirstCommitmentOfEach() external {
        (, address[] memory auditors, AccusationId id) = answered();
        audits.commit(provider, commits(id, auditors, opinionsOf("UUUUUUUUUUU")));
        audits.commit(provider, commits(id, auditors, opinionsOf("CCCCCCCCCCC")));
        vm.warp(now_() + 2 * PERIOD);
        vm.expectRevert();
        audits.reveal(provider, reveals(auditors, opinionsOf("CCCCCCCCCCC")));
        audits.reveal(provider, reveals(auditors, opinionsOf("UUUUUUUUUUU")));
    }

    function test_RevertWhen_ItIsTooEarlyToReveal() external {
        (, address[] memory auditors, AccusationId id) = answered();
        audits.commit(provider, commits(id, auditors, opinionsOf("UUUUUUUUUUU")));
        refuse(IAudits.Status.REVEALING, IAudits.Status.COMMITTING);
        audits.reveal(provider, reveals(auditors, opinionsOf("UUUUUUUUUUU")));
    }

    function test_RevertWhen_TheBallotSaysNothing() external {
        (, address[] memory auditors, AccusationId id) = answered();
        audits.commit(provider, commits(id, auditors, opinionsOf("UUUUUUUUUUU")));
        vm.warp(now_() + 2 * PERIOD);
        IAudits.Reveal[] memory list = reveals(auditors, opinionsOf("U.........."));
        list[0].opinion = IAudits.Opinion.NONE;
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotAnOpinion.selector, IAudits.Opinion.NONE));
        audits.reveal(provider, list);
        list[0].opinion = IAudits.Opinion.UPHOLD;
        vm.expectEmit(address(audits));
        emit IAudits.Revealed(id, auditors[0], IAudits.Opinion.UPHOLD);
        audits.reveal(provider, list);
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
        voted(id, auditors, opinionsOf("UUUUUUCCCC."));
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
        voted(id, auditors, opinionsOf("CCCCCCUU..."));
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED);
        // Of its fee five shares came back, and what six cost those who struck made good.
        vm.assertEq(audits.balanceOf(provider), 5 * SHARE_EACH);
        vm.assertEq(market.balanceOf(provider), 6 * SHARE_EACH);
        vm.assertEq(allOf(provider), before + AUDIT_FEE);
        for (uint256 i; i < 3; ++i) {
            vm.assertEq(stakeOf(strikers[i]), STAKED - STAKED / 50);
        }
        vm.assertEq(audits.balanceOf(auditors[0]), SHARE_EACH);
        vm.assertEq(stakeOf(auditors[6]), STAKED - SHARE_EACH);
        assertStrikes(0);
    }

    function test_WithoutAMajorityNobodyIsSlashedButTheSilent() external {
        (address[] memory strikers, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, opinionsOf("CCCCCUUUUU."));
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED);
        vm.assertEq(stakeOf(strikers[0]), STAKED);
        for (uint256 i; i < 10; ++i) {
            vm.assertEq(audits.balanceOf(auditors[i]), SHARE_EACH / 2);
            vm.assertEq(stakeOf(auditors[i]), STAKED);
        }
        vm.assertEq(stakeOf(auditors[10]), STAKED - SHARE_EACH);
        vm.assertEq(audits.balanceOf(provider), AUDIT_FEE - 10 * (SHARE_EACH / 2));
        assertStrikes(0);
    }

    function test_WhereNobodySummonsTheFeeComesBack() external {
        struck(3);
        answer(AUDIT_FEE);
        vm.warp(now_() + 3 * PERIOD);
        audits.conclude(provider);
        vm.assertEq(audits.balanceOf(provider), AUDIT_FEE);
        vm.assertEq(stakeOf(provider), STAKED);
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
        voted(id, audits.reauditorsOf(provider), opinionsOf("UUUUUUUUUUU"));
        audits.conclude(provider);
        vm.assertEq(stakeOf(provider), STAKED - uint256(STAKED) * 2 / 3);
    }

    function test_ThreeMoreStrikesMakeAnotherCase() external {
        (, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, opinionsOf("CCCCCCCCCCC"));
        audits.conclude(provider);
        vm.assertEq(audits.reauditorsOf(provider).length, 0);
        struck(3);
        (AccusationId next, IAudits.Status status, address answerer, uint96 fee,,) = audits.accusationOf(provider);
        vm.assertEq(AccusationId.unwrap(next), AccusationId.unwrap(Findings.accusationId(provider, 1)));
        vm.assertEq(uint256(status), uint256(IAudits.Status.ACCUSED));
        vm.assertEq(answerer, address(0));
        vm.assertEq(fee, 0);
    }

    function test_RevertWhen_AnybodyElseSlashesThroughTheDuels() external {
        vm.expectRevert(abi.encodeWithSelector(IDuels.OnlyAudits.selector, address(audits), address(this)));
        duels.slash(provider, 1, address(this));
    }
}
