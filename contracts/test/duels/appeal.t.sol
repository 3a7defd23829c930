// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {vm} from "../Vm.sol";

contract Appeal_Test is DuelFixture {
    uint96 private constant APPEAL_FEE = 11 * SHARE;
    uint96 private constant PRIZE = 2 * PRICE;

    DuelId private id;
    address[] private judges;
    IDuels.Choice[] private choices;

    function setUp() public override {
        super.setUp();
        choices = choicesOf("FFFSS");
        (id, judges) = decided(caseOf(0), choices);
        fundDuels(rival);
    }

    function wrong(IDuels.Status expected, IDuels.Status actual) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDuels.WrongStatus.selector, expected, actual);
    }

    function ruling() private view returns (IDuels.Ruling memory) {
        return rulingOf(id, judges, choices);
    }

    function appealed() private returns (DuelId appealId, address[] memory panel_) {
        IDuels.Ruling memory before = ruling();
        vm.prank(rival);
        appealId = duels.appeal(before, APPEAL_FEE);
        mine(3);
        panel_ = panel(appealId);
    }

    /// @dev By a panel of as many as could be drawn: of twelve judges, ten have a seat in most draws.
    function decideAppeal(DuelId appealId, address[] memory panel_, IDuels.Choice[] memory says) private {
        duels.decideAppeal(caseOf(0), votesOf(appealId, caseOf(0), panel_, says), ruling());
    }

    function filled(address[] memory panel_) private pure returns (uint256 count) {
        for (uint256 i; i < panel_.length; ++i) {
            if (panel_[i] != address(0)) ++count;
        }
    }

    // ------------------------------------------------------------------------------------------------ appeal

    function test_RevertWhen_AllJudgesAgreed() external {
        IDuels.Choice[] memory all = choicesOf("FFFFF");
        (DuelId other, address[] memory panel_) = decided(caseOf(1), all);
        IDuels.Ruling memory before = rulingOf(other, panel_, all);
        vm.expectRevert(wrong(IDuels.Status.APPEALABLE, IDuels.Status.ENDED));
        vm.prank(rival);
        duels.appeal(before, APPEAL_FEE);
    }

    function test_RevertWhen_ThePeriodIsOver() external {
        IDuels.Ruling memory before = ruling();
        vm.warp(START + PERIOD);
        vm.expectRevert(wrong(IDuels.Status.APPEALABLE, IDuels.Status.SETTLEABLE));
        vm.prank(rival);
        duels.appeal(before, APPEAL_FEE);
    }

    function test_RevertWhen_TheCallerIsNoParty() external {
        IDuels.Ruling memory before = ruling();
        vm.expectRevert(abi.encodeWithSelector(IDuels.NotAParty.selector, stranger));
        vm.prank(stranger);
        duels.appeal(before, APPEAL_FEE);
    }

    function test_RevertWhen_TheFeeIsLessForEachJudge() external {
        IDuels.Ruling memory before = ruling();
        vm.expectRevert(abi.encodeWithSelector(IDuels.FeeTooSmall.selector, APPEAL_FEE, APPEAL_FEE - 1));
        vm.prank(rival);
        duels.appeal(before, APPEAL_FEE - 1);
    }

    function test_RevertWhen_TheRulingIsAnother() external {
        IDuels.Ruling memory before = ruling();
        bytes32 right = keccak256(abi.encode(before));
        before.first = rival;
        before.second = provider;
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongRuling.selector, right, keccak256(abi.encode(before))));
        vm.prank(rival);
        duels.appeal(before, APPEAL_FEE);
    }

    function test_DrawsTwiceAsManyAndOne() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        vm.assertEq(panel_.length, 11);
        vm.assertEq(DuelId.unwrap(appealId), DuelId.unwrap(duels.appealOf(id)));
        assertStatus(id, IDuels.Status.APPEALED);
        assertStatus(appealId, IDuels.Status.OPEN);
        IDuels.Ruling memory before = ruling();
        vm.expectRevert(wrong(IDuels.Status.APPEALABLE, IDuels.Status.APPEALED));
        vm.prank(rival);
        duels.appeal(before, APPEAL_FEE);
    }

    // ------------------------------------------------------------------------------------------------ decide

    function test_RevertWhen_ItIsDecidedAsIfItWereNoAppeal() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        IDuels.Vote[] memory votes = votesOf(appealId, caseOf(0), panel_, choicesOf("FFFFFFFFFFF"));
        IDuels.Case memory shown = caseOf(0);
        vm.expectRevert(abi.encodeWithSelector(IDuels.IsAppeal.selector, id));
        decide(appealId, shown, votes);
    }

    /// @dev A vote on the duel is none on its appeal: another id is signed for.
    function test_RevertWhen_AVoteIsOfTheFirstPanel() external {
        (, address[] memory panel_) = appealed();
        IDuels.Ruling memory before = ruling();
        IDuels.Vote[] memory votes = votesOf(id, caseOf(0), panel_, choicesOf("FFFFFFFFFFF"));
        IDuels.Case memory shown = caseOf(0);
        vm.expectPartialRevert(IDuels.NotReceiptKey.selector); // The signature is nobody's that is known.
        duels.decideAppeal(shown, votes, before);
    }

    /// @dev As of a first panel: what all say counts until judges reveal.
    function test_RevertWhen_ItsJudgesReveal() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        IDuels.Choice[] memory says = choicesOf("SSSSSSSSSS.");
        duels.summon(appealId, caseOf(0), commitmentsOf(appealId, caseOf(0), panel_, says));
        vm.warp(now_() + PERIOD);
        IDuels.Vote[] memory votes = votesOf(appealId, caseOf(0), panel_, choicesOf("SSSSSSSSSSS"));
        IDuels.Ruling memory before = ruling();
        IDuels.Case memory shown = caseOf(0);
        vm.expectRevert(wrong(IDuels.Status.OPEN, IDuels.Status.REVEALING));
        duels.decideAppeal(shown, votes, before);
    }

    function test_OneThatAgreesPaysBothPanels() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        uint256 earning = 3 + filled(panel_);
        uint256 share = SHARE + PRIZE / 8 / earning;
        decideAppeal(appealId, panel_, choicesOf("FFFFFFFFFFF"));
        assertStatus(id, IDuels.Status.ENDED);
        assertStatus(appealId, IDuels.Status.ENDED);
        vm.assertEq(stakeOf(rival), STAKED - PRIZE);
        vm.assertEq(stakeOf(provider), STAKED + PRIZE - PRIZE / 8);
        vm.assertEq(duels.balanceOf(payer), 2 * SHARE, "the challenger");
        vm.assertEq(duels.balanceOf(rival), (11 - filled(panel_)) * SHARE, "the appellant");
        vm.assertEq(stakeOf(judges[4]), STAKED - SHARE / 2, "a judge of the first minority");
        vm.assertLe(share, duels.balanceOf(judges[0]), "a judge of the first majority");
    }

    function test_OneThatDoesNotTurnsItAround() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        decideAppeal(appealId, panel_, choicesOf("SSSSSSSSSSS"));
        vm.assertEq(stakeOf(provider), STAKED - PRIZE);
        vm.assertEq(stakeOf(rival), STAKED + PRIZE - PRIZE / 8);
        vm.assertEq(duels.balanceOf(payer), 0, "the challenger");
        vm.assertEq(duels.balanceOf(rival), 3 * SHARE + (11 - filled(panel_)) * SHARE, "the appellant");
        vm.assertEq(stakeOf(judges[0]), STAKED - SHARE / 2, "a judge of the first majority");
    }

    function test_IsFinalThoughItIsSplit() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        decideAppeal(appealId, panel_, choicesOf("SSSSSSSFFFF"));
        assertStatus(id, IDuels.Status.ENDED);
        vm.assertEq(stakeOf(provider), STAKED - PRIZE);
    }

    function test_IsDecidedOnChainToo() external {
        (DuelId appealId, address[] memory panel_) = appealed();
        IDuels.Choice[] memory says = choicesOf("SSSSSSS.DFF");
        summonAll(appealId, caseOf(0), panel_, says);
        duels.decideAppeal(caseOf(0), new IDuels.Vote[](0), ruling());
        assertStatus(id, IDuels.Status.ENDED);
        vm.assertEq(stakeOf(provider), STAKED - PRIZE);
    }

    // ------------------------------------------------------------------------------------------------ settle

    function test_PassesOverWhatIsNotReady() external {
        duels.settle(one(ruling()));
        assertStatus(id, IDuels.Status.APPEALABLE);
        appealed();
        vm.warp(START + 2 * PERIOD);
        duels.settle(one(ruling()));
        assertStatus(id, IDuels.Status.APPEALED);
    }

    function test_RevertWhen_WhatIsSettledIsAnotherRuling() external {
        vm.warp(START + PERIOD);
        IDuels.Ruling memory other = ruling();
        bytes32 right = keccak256(abi.encode(other));
        other.price = type(uint96).max;
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongRuling.selector, right, keccak256(abi.encode(other))));
        duels.settle(one(other));
    }

    function test_MovesTheMoneyOnce() external {
        vm.warp(START + PERIOD);
        IDuels.Ruling[] memory twice = new IDuels.Ruling[](2);
        (twice[0], twice[1]) = (ruling(), ruling());
        duels.settle(twice);
        vm.assertEq(stakeOf(rival), STAKED - PRIZE);
        vm.assertEq(duels.balanceOf(judges[0]), SHARE + PRIZE / 8 / 3);
        vm.assertEq(stakeOf(judges[3]), STAKED - SHARE / 2);
        vm.assertEq(duels.balanceOf(payer), 2 * SHARE);
        assertStatus(id, IDuels.Status.ENDED);
    }

    // ------------------------------------------------------------------------------------------------ lapsed

    function test_AnAppealThatNobodyDecidesLosesItsFeeAndTheFirstVerdictStands() external {
        (DuelId appealId,) = appealed();
        vm.warp(START + PERIOD - 1);
        vm.expectRevert(wrong(IDuels.Status.LAPSED, IDuels.Status.OPEN));
        duels.expire(id);
        vm.warp(START + PERIOD);
        duels.expire(appealId); // By either name.
        vm.assertEq(asset.balanceOf(BURNT), APPEAL_FEE);
        assertStatus(id, IDuels.Status.SETTLEABLE);
        assertStatus(appealId, IDuels.Status.ENDED);
        duels.settle(one(ruling()));
        vm.assertEq(stakeOf(rival), STAKED - PRIZE);
        vm.expectRevert(wrong(IDuels.Status.LAPSED, IDuels.Status.ENDED));
        duels.expire(id);
    }
}
