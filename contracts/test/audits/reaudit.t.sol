// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IDuels} from "../../src/interfaces/IDuels.sol";
import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {Findings} from "../../src/libraries/Findings.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {vm} from "../Vm.sol";

contract Reaudit_Test is AuditFixture {
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
        uint256 current = this.blockNumber();
        vm.expectRevert(abi.encodeWithSelector(IAudits.NoSeed.selector, current + 2, current));
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
        list[0] = commitmentOf(id, auditors[0], 11, opinionsOf("CCC"));
        vm.expectRevert(abi.encodeWithSelector(IAudits.NotSeated.selector, 11));
        audits.commit(provider, list);
    }

    /// @dev None of a batch can make it fail: not one that signed what is not its own, nor one that names other keys.
    function test_PassesOverWhatAnAuditorDidNotSign() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = new IAudits.Commitment[](3);
        list[0] = commitmentOf(id, auditors[1], 0, opinionsOf("CCC"));
        list[1] = commitmentOf(id, auditors[1], 1, opinionsOf("CCC"));
        list[2] = commitmentOf(id, auditors[2], 2, opinionsOf("CCC"));
        list[2].signature = "no signature";
        audits.commit(provider, list);
        assertCommitted(0, 0);
        assertCommitted(1, list[1].ballotHash);
        assertCommitted(2, 0);
        list[0] = commitmentOf(id, auditors[0], 0, opinionsOf("UUU"));
        audits.commit(provider, list);
        assertCommitted(0, list[0].ballotHash);
    }

    function test_TakesAnyKeyThatAnAuditorEverNamed() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = new IAudits.Commitment[](1);
        list[0] = commitmentOf(id, auditors[0], 0, opinionsOf("CCC"));
        vm.prank(auditors[0]);
        market.setReceiptKey(receiptKey);
        audits.commit(provider, list);
        assertCommitted(0, list[0].ballotHash);

        vm.prank(auditors[1]);
        market.setReceiptKey(receiptKey);
        vm.prank(auditors[1]);
        market.setReceiptKey(stranger);
        keyOf[auditors[1]] = RECEIPT_KEY;
        list[0] = commitmentOf(id, auditors[1], 1, opinionsOf("CCC"));
        audits.commit(provider, list);
        assertCommitted(1, list[0].ballotHash);
    }

    function assertCommitted(uint8 seat, bytes32 expected) private view {
        (,, bytes32 ballotHash) = audits.seatOf(provider, seat);
        vm.assertEq(ballotHash, expected);
    }

    function test_KeepsTheFirstCommitmentOfEach() external {
        (, address[] memory auditors, AccusationId id) = answered();
        audits.commit(provider, commits(id, auditors, said("UUUUUUUUUUU")));
        audits.commit(provider, commits(id, auditors, said("CCCCCCCCCCC")));
        vm.warp(now_() + 2 * PERIOD);
        bytes32 salt = saltOf(auditors[0]);
        refuseBallot(
            Findings.ballot(id, auditors[0], opinionsOf("UUU"), salt),
            Findings.ballot(id, auditors[0], opinionsOf("CCC"), salt)
        );
        audits.reveal(provider, reveals(auditors, said("CCCCCCCCCCC")));
        audits.reveal(provider, reveals(auditors, said("UUUUUUUUUUU")));
    }

    function test_RevertWhen_ItIsTooEarlyToReveal() external {
        (, address[] memory auditors, AccusationId id) = answered();
        audits.commit(provider, commits(id, auditors, said("UUUUUUUUUUU")));
        refuse(IAudits.Status.REVEALING, IAudits.Status.COMMITTING);
        audits.reveal(provider, reveals(auditors, said("UUUUUUUUUUU")));
    }

    function refuseBallot(bytes32 expected, bytes32 actual) private {
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongBallot.selector, expected, actual));
    }

    function test_RevertWhen_TheBallotSaysNothingOfAStrikeThatAccuses() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Opinion[][] memory seats = said("U..........");
        seats[0] = opinionsOf("UU");
        audits.commit(provider, commits(id, auditors, seats));
        vm.warp(now_() + 2 * PERIOD);
        IAudits.Reveal[] memory list = new IAudits.Reveal[](1);
        list[0] = IAudits.Reveal(0, seats[0], saltOf(auditors[0]));
        vm.expectRevert(abi.encodeWithSelector(IAudits.OpinionsMismatch.selector, 3, 2));
        audits.reveal(provider, list);
    }

    function test_SaysWhatEachFoundOfEachStrike() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Opinion[][] memory seats = said("UC-........", "CC-........", ".U-........");
        audits.commit(provider, commits(id, auditors, seats));
        vm.warp(now_() + 2 * PERIOD);
        vm.expectEmit(address(audits));
        emit IAudits.Revealed(id, auditors[0], seats[0]);
        audits.reveal(provider, reveals(auditors, seats));
        // The third says that it says nothing, and the fourth does not.
        for (uint8 i; i < 4; ++i) {
            (, IAudits.Opinion[] memory opinions,) = audits.seatOf(provider, i);
            vm.assertEq(keccak256(abi.encode(opinions)), keccak256(abi.encode(seats[i])));
        }
    }

    // ------------------------------------------------------------------------------------------------ slash

    function test_RevertWhen_AnybodyElseSlashesThroughTheDuels() external {
        vm.expectRevert(abi.encodeWithSelector(IDuels.OnlyAudits.selector, address(audits), address(this)));
        duels.slash(provider, 1, address(this));
    }
}
