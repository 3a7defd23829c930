// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";

import {IAudits} from "../../src/interfaces/IAudits.sol";
import {Findings} from "../../src/libraries/Findings.sol";
import {Lottery} from "../../src/libraries/Lottery.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {vm} from "../Vm.sol";

contract Strike_Test is AuditFixture {
    function refuse(IAudits.Exhibit memory exhibit, bytes4 selector) private {
        (bool done, bytes memory said) = address(audits).call(abi.encodeCall(audits.strike, (exhibit)));
        vm.assertFalse(done, "taken");
        // forge-lint: disable-next-line(unsafe-typecast)
        vm.assertEq(bytes32(bytes4(said)), bytes32(selector), "another reason");
    }

    // ------------------------------------------------------------------------------------------------ the receipt

    function test_RevertWhen_TheReceiptIsOfAnotherChannel() external {
        IAudits.Exhibit memory exhibit = found();
        exhibit.channel.epoch = 7;
        refuse(exhibit, IAudits.WrongChannel.selector);
    }

    function test_RevertWhen_TheProviderDidNotSignTheReceipt() external {
        IAudits.Exhibit memory exhibit = found();
        exhibit.receiptSignature = sign(STRANGER_KEY, exhibit.receipt);
        refuse(exhibit, IAudits.NotReceiptKey.selector);
        exhibit.receiptSignature = "";
        refuse(exhibit, IAudits.NotReceiptKey.selector);
    }

    // ------------------------------------------------------------------------------------------------ the draw

    function test_RevertWhen_TheChainHasNoSuchBlock() external {
        IAudits.Exhibit memory exhibit = found();
        uint256 number = this.blockNumber();
        exhibit.header = headerOf(number, keccak256(exhibit.parent), now_());
        refuse(exhibit, IAudits.NoSeed.selector);
        exhibit.header = headerOf(number - 1, keccak256(exhibit.parent), now_());
        refuse(exhibit, IAudits.WrongHeader.selector);
    }

    function test_RevertWhen_TheParentIsAnotherOne() external {
        IAudits.Exhibit memory exhibit = found();
        exhibit.parent = headerOf(drawBlockOf(exhibit) - 1, keccak256("another"), 1);
        refuse(exhibit, IAudits.WrongHeader.selector);
    }

    /// @dev Else whoever strikes would look for one that draws what it likes.
    function test_RevertWhen_AnotherBlockDrawsIt() external {
        IAudits.Exhibit memory exhibit = found();
        exhibit.receipt.finishedAt += 501;
        resign(exhibit);
        refuse(exhibit, IAudits.WrongBlock.selector);
        exhibit.receipt.finishedAt -= 1_001;
        resign(exhibit);
        refuse(exhibit, IAudits.WrongBlock.selector);
    }

    function resign(IAudits.Exhibit memory exhibit) private view {
        exhibit.receiptSignature = sign(PROVIDER_KEY, exhibit.receipt);
        exhibit.finding.receiptHash = lens.hashReceipt(exhibit.receipt);
    }

    function test_RevertWhen_TheDrawIsOlderThanTheWindow() external {
        IAudits.Exhibit memory exhibit = found();
        uint256 time = BlockHeader.getTimestamp(exhibit.header);
        vm.warp(time + WINDOW);
        refuse(exhibit, IAudits.DrawTooOld.selector);
        vm.warp(time + WINDOW - 1);
        audits.strike(exhibit);
    }

    function test_RevertWhen_TheLotteryPassedTheReceiptOver() external {
        IAudits.Exhibit memory exhibit = drawn(false);
        refuse(exhibit, IAudits.NotDrawn.selector);
        vm.assertFalse(audits.isDrawn(exhibit.finding.receiptHash, 0, drawBlockOf(exhibit)));
    }

    function test_SealKeepsTheDrawForGood() external {
        IAudits.Exhibit memory exhibit = found();
        uint48 number = drawBlockOf(exhibit);
        bytes32 hash = keccak256(exhibit.header);
        vm.expectEmit(address(audits));
        emit IAudits.Sealed(number, hash);
        audits.seal(number);
        mine(9_000);
        vm.assertTrue(audits.isDrawn(exhibit.finding.receiptHash, 0, number));
        audits.strike(exhibit);
        uint48 ahead = uint48(this.blockNumber());
        vm.expectRevert(abi.encodeWithSelector(IAudits.NoSeed.selector, ahead, ahead));
        audits.seal(ahead);
    }

    /// @dev `tests/vectors/audits.json`: shares and draws that `tallystick.protocol.lottery` made.
    function test_DrawsAsPythonDoes() external view {
        string memory json = vm.readFile("../tests/vectors/audits.json");
        uint256 count;
        for (; vm.keyExistsJson(json, string.concat(".draws[", vm.toString(count), "]")); ++count) {
            string memory at_ = string.concat(".draws[", vm.toString(count), "]");
            uint64 sequence = uint64(vm.parseJsonUint(json, string.concat(at_, ".sequence")));
            vm.assertEq(Lottery.share(sequence), vm.parseJsonUint(json, string.concat(at_, ".share")));
            bool drawn_ = Lottery.isDrawn(
                vm.parseJsonBytes32(json, string.concat(at_, ".blockHash")),
                vm.parseJsonBytes32(json, string.concat(at_, ".receiptHash")),
                sequence
            );
            vm.assertTrue(drawn_ == vm.parseJsonBool(json, string.concat(at_, ".drawn")));
        }
        vm.assertTrue(count > 10);
    }

    // ------------------------------------------------------------------------------------------------ the auditors

    function test_DrawsFiveOfFiveOwnersAndNotTheProvidersOwn() external {
        address kin = enlistFor(JUDGE_KEYS + 100, provider, 100 * STAKED);
        vm.prank(provider);
        duels.enlist(provider);
        mine(1);
        for (uint256 i; i < 20; ++i) {
            address[] memory auditors = auditorsOf(drawn(true));
            vm.assertEq(auditors.length, 5);
            for (uint256 j; j < 5; ++j) {
                vm.assertTrue(auditors[j] != provider && auditors[j] != kin);
                for (uint256 k; k < j; ++k) {
                    vm.assertTrue(auditors[k] != auditors[j] || auditors[k] == address(0));
                }
            }
        }
    }

    function enlistFor(uint256 key, address owner, uint96 amount) private returns (address judge) {
        judge = vm.addr(key);
        stake(judge, amount);
        vm.prank(owner);
        duels.consent(judge);
        vm.prank(judge);
        duels.enlist(owner);
    }

    /// @dev Nobody who sees the hash can still stake to be drawn.
    function test_DrawsByTheWeightsBeforeTheBlock() external {
        IAudits.Exhibit memory exhibit = drawn(true);
        vm.roll(drawBlockOf(exhibit));
        address late = enlist(JUDGE_KEYS + 200, 1_000_000 * STAKED);
        vm.roll(drawBlockOf(exhibit) + 2);
        vm.setBlockhash(drawBlockOf(exhibit), keccak256(exhibit.header));
        vm.assertFalse(isAmong(auditorsOf(exhibit), late));
    }

    // ------------------------------------------------------------------------------------------------ the finding

    function test_RevertWhen_TheFindingIsAboutSomethingElse() external {
        IAudits.Exhibit memory exhibit = found();
        exhibit.finding.provider = rival;
        refuse(exhibit, IAudits.WrongProvider.selector);
        exhibit.finding.provider = provider;
        exhibit.finding.receiptHash = keccak256("another");
        refuse(exhibit, IAudits.WrongReceipt.selector);
    }

    function test_RevertWhen_TheFindingIsNoStrike() external {
        IAudits.Exhibit memory exhibit = found();
        for (uint8 verdict; verdict < 5; ++verdict) {
            if (verdict == 2) continue;
            exhibit.finding.verdict = verdict;
            sealFinding(exhibit, exhibit.finding.auditor);
            refuse(exhibit, IAudits.NotAStrike.selector);
        }
    }

    function test_RevertWhen_TheAuditorWasNotDrawn() external {
        IAudits.Exhibit memory exhibit = drawn(true);
        address[] memory auditors = auditorsOf(exhibit);
        for (uint256 i; i < JUDGES + MORE_JUDGES; ++i) {
            address judge = vm.addr(JUDGE_KEYS + i);
            if (isAmong(auditors, judge)) continue;
            sealFinding(exhibit, judge);
            refuse(exhibit, IAudits.NotAnAuditor.selector);
        }
        exhibit.finding.auditor = address(0);
        refuse(exhibit, IAudits.NotAnAuditor.selector);
    }

    function test_RevertWhen_TheAuditorDidNotSign() external {
        IAudits.Exhibit memory exhibit = found();
        exhibit.findingSignature = sign(PROVIDER_KEY, Findings.finding(exhibit.finding));
        refuse(exhibit, IAudits.NotReceiptKey.selector);
    }

    function test_RevertWhen_TheAuditorHasNothingToLose() external {
        IAudits.Exhibit memory exhibit = found();
        vm.prank(exhibit.finding.auditor);
        market.requestUnstake(STAKED - MINIMUM_STAKE + 1);
        refuse(exhibit, IAudits.NotEnoughStaked.selector);
    }

    // ------------------------------------------------------------------------------------------------ counting

    function test_RevertWhen_TheReceiptWasStruckForBefore() external {
        IAudits.Exhibit memory exhibit = found();
        audits.strike(exhibit);
        vm.assertTrue(audits.isCounted(exhibit.finding.receiptHash));
        address[] memory auditors = auditorsOf(exhibit);
        sealFinding(exhibit, auditors[0] == exhibit.finding.auditor ? auditors[1] : auditors[0]);
        refuse(exhibit, IAudits.ReceiptCounted.selector);
    }

    function test_RevertWhen_TheOwnersStrikeStillCounts() external {
        address striker = struck(1)[0];
        uint256 since = now_();
        refuse(ofAuditor(striker), IAudits.OwnerCounted.selector);
        vm.warp(since + WINDOW - 1 days);
        IAudits.Exhibit memory exhibit = ofAuditor(striker);
        vm.warp(since + WINDOW - 1);
        refuse(exhibit, IAudits.OwnerCounted.selector);
        vm.warp(since + WINDOW);
        audits.strike(exhibit);
        assertStrikes(1);
    }

    function ofAuditor(address auditor) private returns (IAudits.Exhibit memory exhibit) {
        while (true) {
            exhibit = drawn(true);
            if (!isAmong(auditorsOf(exhibit), auditor)) continue;
            sealFinding(exhibit, auditor);
            return exhibit;
        }
    }

    function test_RevertWhen_EightAreHeld() external {
        struck(8);
        assertAccusing(3, 5);
        (address[] memory strikers,) = audits.strikesOf(provider);
        IAudits.Exhibit memory exhibit = found(strikers);
        refuse(exhibit, IAudits.TooManyStrikes.selector);
    }

    function test_WaitsWhileTheProviderIsAccused() external {
        address[] memory strikers = struck(3);
        IAudits.Exhibit memory exhibit = found(strikers);
        audits.strike(exhibit);
        assertAccusing(3, 1);
        // Of those who accuse it as of those who wait one counts at a time.
        refuse(ofAuditor(strikers[0]), IAudits.OwnerCounted.selector);
        refuse(ofAuditor(exhibit.finding.auditor), IAudits.OwnerCounted.selector);
    }

    function test_TakesAnyKeyThatTheAuditorEverNamed() external {
        IAudits.Exhibit memory exhibit = found();
        vm.prank(exhibit.finding.auditor);
        market.setReceiptKey(receiptKey);
        audits.strike(exhibit);
        assertStrikes(1);
    }

    function test_CountsWhoeverFilesIt() external {
        IAudits.Exhibit memory exhibit = found();
        address auditor = exhibit.finding.auditor;
        vm.expectEmit(address(audits));
        emit IAudits.Struck(
            provider, auditor, exhibit.finding.receiptHash, auditor, drawBlockOf(exhibit), exhibit.finding, 1
        );
        vm.prank(stranger);
        audits.strike(exhibit);
        assertStrikes(1);
        assertAccusation(IAudits.Status.NONE);
    }

    function test_CountsForTheWindow() external {
        address[] memory first = struck(2);
        vm.warp(now_() + WINDOW);
        assertStrikes(0);
        audits.strike(found(first));
        assertStrikes(1);
        assertAccusation(IAudits.Status.NONE);
    }

    function test_TheThirdAccuses() external {
        address[] memory strikers = struck(2);
        IAudits.Exhibit memory exhibit = found(strikers);
        address[] memory all = new address[](3);
        (all[0], all[1], all[2]) = (strikers[0], strikers[1], exhibit.finding.auditor);
        uint40 until = uint40(now_() + PERIOD);
        vm.expectEmit(address(audits));
        emit IAudits.Accused(Findings.accusationId(provider, 0), provider, all, until);
        audits.strike(exhibit);
        assertAccusation(IAudits.Status.ACCUSED);
        assertStrikes(3);
    }
}
