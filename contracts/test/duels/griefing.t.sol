// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ChannelId} from "../../src/interfaces/IMarket.sol";
import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {bound, vm} from "../Vm.sol";

/// @notice What can be tried with duels to harm somebody, or to gain: by the numbers of the attacks in docs/trust.md.
contract Griefing_Test is DuelFixture {
    function sum(address[] memory whose) private view returns (uint256 atoms) {
        for (uint256 i; i < whose.length; ++i) {
            atoms += wealthOf(whose[i]);
        }
    }

    function settle(DuelId id, address[] memory judges, IDuels.Choice[] memory choices) private {
        vm.warp(now_() + PERIOD);
        duels.settle(one(rulingOf(id, judges, choices)));
    }

    // ------------------------------------------------------------------------------------------------ 38

    function test_38_WhoCopiesACommitmentHasNotVoted() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        (address honest, address lazy) = (judges[0], judges[1]);
        bytes32 copied = ballotHash(id, shown, honest, IDuels.Choice.FIRST);
        IDuels.Commitment[] memory list = new IDuels.Commitment[](2);
        list[0] = commitmentOf(id, shown, honest, IDuels.Choice.FIRST);
        list[1] = IDuels.Commitment(lazy, copied, commitmentSignature(id, lazy, copied));
        duels.summon(id, shown, list);
        vm.warp(START + PERIOD);
        // The honest one reveals, and the lazy one says the same.
        duels.reveal(id, subjectOf(shown), one(revealOf(honest, IDuels.Choice.FIRST)));
        IDuels.Reveal memory same = IDuels.Reveal(lazy, IDuels.Choice.FIRST, saltOf(honest));
        IDuels.Subject memory s = subjectOf(shown);
        bytes32 its = Votes.ballot(
            IDuels.Ballot(
                id, lazy, s.bodyHash, s.firstResponseHash, s.secondResponseHash, IDuels.Choice.FIRST, saltOf(honest)
            )
        );
        vm.expectRevert(abi.encodeWithSelector(IDuels.WrongBallot.selector, copied, its));
        duels.reveal(id, s, one(same));
    }

    function test_38_WhoNamesAnothersKeyHasNotVoted() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        vm.prank(judges[1]);
        market.setReceiptKey(judges[0]);
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("FFFFF"));
        votes[1] = votes[0];
        vm.expectPartialRevert(IDuels.NotReceiptKey.selector); // Its own name is in what it should have signed.
        decide(id, shown, votes);
    }

    /// @dev It commits on chain to another ballot than it gave away, having seen the others': it has said nothing.
    function test_38_WhoSignsTwoBallotsHasSaidNothing() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("SFFFF"));
        // The votes are on their way, and it is faster.
        vm.prank(judges[0]);
        duels.summon(id, shown, one(commitmentOf(id, shown, judges[0], IDuels.Choice.FIRST)));
        decide(id, shown, votes);
        settle(id, judges, choicesOf(".FFFF"));
        vm.assertEq(wealthOf(judges[0]), STAKED - SHARE);
        vm.assertTrue(duels.balanceOf(judges[1]) != 0);
    }

    /// @dev Nor has one that waits until the others reveal: by then it may only reveal what it committed to.
    function test_38_WhoWaitsForTheOthersToRevealIsSilent() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = choicesOf("FFFF.");
        duels.summon(id, shown, commitmentsOf(id, shown, judges, choices));
        vm.warp(START + PERIOD);
        duels.reveal(id, subjectOf(shown), revealsOf(judges, choices));
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("FFFFF"));
        vm.expectRevert(
            abi.encodeWithSelector(IDuels.WrongStatus.selector, IDuels.Status.OPEN, IDuels.Status.REVEALING)
        );
        decide(id, shown, votes);
        vm.warp(START + 2 * PERIOD);
        decide(id, shown, new IDuels.Vote[](0));
        settle(id, judges, choices);
        vm.assertEq(wealthOf(judges[4]), STAKED - SHARE);
    }

    /// @dev A judge that names another key once it has voted, or whose stake leaves, holds no verdict up.
    function test_39_WhoNamesAnotherKeyHoldsNothingUp() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Vote[] memory votes = votesOf(id, shown, judges, choicesOf("FFFFF"));
        rotate(judges[0]);
        vm.prank(judges[1]);
        market.requestUnstake(STAKED);
        decide(id, shown, votes);
        assertStatus(id, IDuels.Status.ENDED);
    }

    /// @dev Each try costs a fee, and no duel wins its challenger's side as much as one.
    function test_38_OpeningUntilTheJudgesSuitCostsMoreThanItWins() external {
        address[] memory hand = new address[](2);
        (hand[0], hand[1]) = (payer, provider);
        uint256 before = sum(hand);
        bytes32 salt = keccak256("second try");
        IDuels.Case memory shown = caseOf(0);
        openDuel(shown);
        shown.hidden = Votes.hidden(IDuels.Choice.NONE, salt);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        duels.decide(id, shown, IDuels.Choice.NONE, salt, votesOf(id, shown, judges, choicesOf("FFFFF")));
        // Were all five judges in that hand as well:
        vm.assertTrue(sum(hand) + sum(judges) + FEE - 2 * PRICE == before + 5 * STAKED);
        vm.assertTrue(sum(hand) + sum(judges) < before + 5 * STAKED);
    }

    /// @dev All that collusion can win is a prize: two prices, a 4,000th of the stake at most.
    function testFuzz_38_AWholePanelWinsOnePrize(uint96 price, uint96 fee) external {
        IDuels.Case memory shown = caseOf(0);
        shown.first.receipt.cost = price;
        shown.first.signature = sign(PROVIDER_KEY, shown.first.receipt);
        fee = uint96(bound(fee, 5 * MINIMUM_FEE, 900e6));
        DuelId id = openDuel(shown, 5, fee);
        address[] memory judges = panel(id);
        decideBy(id, shown, judges, choicesOf("FFFFF"));
        uint256 lost = STAKED - stakeOf(rival);
        vm.assertLe(lost, STAKED / 4_000);
        vm.assertLe(lost, fee);
        vm.assertLe(lost, 2 * uint256(price > PRICE ? price : PRICE));
    }

    function test_38_AMinorityOfColludersLoses() external {
        IDuels.Choice[] memory choices = choicesOf("SSFFF");
        (DuelId id, address[] memory judges) = decided(caseOf(0), choices);
        settle(id, judges, choices);
        vm.assertEq(wealthOf(judges[0]), STAKED - SHARE / 2);
        vm.assertEq(wealthOf(judges[1]), STAKED - SHARE / 2);
        vm.assertEq(stakeOf(provider), STAKED + 2 * PRICE * 7 / 8);
    }

    /// @dev Gonka #1356: slots of one operator must not make a quorum.
    function test_38_MostOfTheStakeHasOneSeat() external {
        for (uint256 i; i < 3; ++i) {
            address slot = vm.addr(0x9000 + i);
            vm.prank(stranger);
            duels.consent(slot);
            stake(slot, 20 * STAKED);
            vm.prank(slot);
            duels.enlist(stranger);
        }
        mine(1);
        for (uint64 i; i < 20; ++i) {
            address[] memory judges = panel(openDuel(caseOf(i)));
            uint256 seats;
            for (uint256 j; j < judges.length; ++j) {
                (address owner,,) = duels.judgeOf(judges[j]);
                if (owner == stranger) ++seats;
            }
            vm.assertLe(seats, 1);
        }
    }

    // ------------------------------------------------------------------------------------------------ 39

    function testFuzz_39_ChallengingAndWinningInOneHandGainsNothing(uint96 price, uint96 fee, uint256 votes) external {
        address[] memory hand = new address[](2);
        (hand[0], hand[1]) = (payer, provider);
        uint256 before = sum(hand);
        IDuels.Case memory shown = caseOf(0);
        shown.second.receipt.cost = price;
        shown.second.signature = sign(RIVAL_KEY, shown.second.receipt);
        DuelId id = openDuel(shown, 5, uint96(bound(fee, 5 * MINIMUM_FEE, 900e6)));
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = new IDuels.Choice[](5);
        for (uint256 i; i < 5; ++i) {
            choices[i] = IDuels.Choice(1 + (votes >> (8 * i)) % 3);
        }
        decideBy(id, shown, judges, choices);
        vm.warp(now_() + PERIOD);
        IDuels.Ruling memory ruling = rulingOf(id, judges, choices);
        ruling.price = price > PRICE ? price : PRICE;
        duels.settle(one(ruling));
        assertStatus(id, IDuels.Status.ENDED);
        vm.assertTrue(sum(hand) < before);
    }

    function test_39_WhoNeverDecidesLosesTheFee() external {
        uint256 before = wealthOf(payer);
        DuelId id = openDuel(caseOf(0));
        vm.warp(START + PERIOD);
        duels.expire(id);
        vm.assertEq(wealthOf(payer), before - FEE);
        vm.assertEq(asset.balanceOf(BURNT), FEE);
    }

    /// @dev The rate limit: one answer is judged once, in either place, beside whatever other answer.
    function test_39_AReceiptDuelsOnce() external {
        (DuelId id,) = decided(caseOf(0), choicesOf("TTTTT"));
        IDuels.Case memory shown = caseOf(1);
        shown.first = answerOf(rival, RIVAL_KEY, 0);
        shown.second = answerOf(provider, PROVIDER_KEY, 1);
        DuelId again = openDuel(shown);
        IDuels.Vote[] memory votes = votesOf(again, shown, panel(again), choicesOf("TTTTT"));
        bytes32 used = lens.hashReceipt(shown.first.receipt);
        vm.expectRevert(abi.encodeWithSelector(IDuels.ReceiptUsed.selector, used, id));
        decide(again, shown, votes);
    }

    /// @dev A receipt names its channel, and that its payer: only receipts made out to the challenger are judged. Whether
    /// the channel was ever opened, or anything was paid on it, is not looked at; here none is.
    function test_39_AnotherPayersReceiptsDoNotDuel() external {
        fundDuels(stranger);
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openBy(stranger, shown, 5, FEE);
        mine(3);
        bytes32 channel = ChannelId.unwrap(Hash.channelId(stranger, provider, sessionKey, 0));
        bytes memory err = abi.encodeWithSelector(
            IDuels.WrongChannel.selector, channel, ChannelId.unwrap(shown.first.receipt.channelId)
        );
        IDuels.Commitment[] memory none = new IDuels.Commitment[](0);
        vm.expectRevert(err);
        duels.summon(id, shown, none);
    }

    /// @dev They decline, and lose nothing; the challenger loses a fee for each.
    function test_39_SummoningJudgesWhoWereShownNothingCostsTheChallenger() external {
        uint256 before = wealthOf(payer);
        IDuels.Choice[] memory choices = choicesOf("DDDDD");
        (DuelId id, address[] memory judges) = decided(caseOf(0), choices);
        settle(id, judges, choices);
        vm.assertEq(wealthOf(payer), before - FEE);
        vm.assertEq(asset.balanceOf(BURNT), FEE);
        for (uint256 i; i < 5; ++i) {
            vm.assertEq(wealthOf(judges[i]), STAKED);
        }
    }

    function test_39_AHugeFeeTakesLittleOfASilentJudge() external {
        asset.mint(payer, 1_000_000e6);
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown, 5, 1_000_000e6);
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = choicesOf(".....");
        decideBy(id, shown, judges, choices);
        settle(id, judges, choices);
        for (uint256 i; i < 5; ++i) {
            vm.assertEq(STAKED - stakeOf(judges[i]), STAKED / 4_000);
        }
    }

    /// @dev The challenger does not like what it sees and goes: what was summoned, any judge can end.
    function test_39_VotesThatAreKeptBackAreCounted() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = choicesOf("SSSSS");
        vm.startPrank(judges[0]);
        duels.summon(id, shown, commitmentsOf(id, shown, judges, choices));
        vm.warp(START + PERIOD);
        duels.reveal(id, subjectOf(shown), revealsOf(judges, choices));
        vm.warp(START + 2 * PERIOD);
        duels.decide(id, shown, IDuels.Choice.NONE, 0, new IDuels.Vote[](0));
        vm.stopPrank();
        vm.assertEq(duels.balanceOf(judges[0]), SHARE + 2 * PRICE / 8 / 5);
        vm.assertEq(stakeOf(rival), STAKED + 2 * PRICE * 7 / 8);
    }

    function test_39_WhoAlwaysTiesLosesOnKnownVerdicts() external {
        IDuels.Case memory shown = caseOf(0);
        shown.hidden = Votes.hidden(IDuels.Choice.FIRST, SALT);
        DuelId id = openDuel(shown);
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = choicesOf("FFFTS");
        duels.decide(id, shown, IDuels.Choice.FIRST, SALT, votesOf(id, shown, judges, choices));
        vm.warp(START + PERIOD);
        IDuels.Ruling memory ruling = rulingOf(id, judges, choices);
        ruling.known = IDuels.Choice.FIRST;
        duels.settle(one(ruling));
        vm.assertEq(stakeOf(judges[3]), STAKED - SHARE);
        vm.assertEq(stakeOf(judges[4]), STAKED - SHARE);
    }

    function test_39_WhoAppealsWithoutSuccessPaysForIt() external {
        IDuels.Choice[] memory choices = choicesOf("FFFSS");
        (DuelId id, address[] memory judges) = decided(caseOf(0), choices);
        IDuels.Ruling memory ruling = rulingOf(id, judges, choices);
        fundDuels(rival);
        uint256 before = wealthOf(rival);
        vm.prank(rival);
        DuelId appealId = duels.appeal(ruling, 11 * SHARE);
        mine(3);
        address[] memory more = panel(appealId);
        duels.decideAppeal(caseOf(0), votesOf(appealId, caseOf(0), more, choicesOf("FFFFFFFFFFF")), ruling);
        uint256 empty;
        for (uint256 i; i < 11; ++i) {
            if (more[i] == address(0)) ++empty;
        }
        vm.assertEq(before - wealthOf(rival), (11 - empty) * SHARE + 2 * PRICE);
    }

    // ------------------------------------------------------------------------------------------------ 40

    function test_40_ChallengerAndBothDuellistsInOneHandLose() external {
        address[] memory hand = new address[](3);
        (hand[0], hand[1], hand[2]) = (payer, provider, rival);
        uint256 before = sum(hand);
        decided(caseOf(0), choicesOf("FFFFF"));
        vm.assertEq(before - sum(hand), FEE + 2 * PRICE / 8);
    }

    function testFuzz_40_NobodyGainsByAnothersSilence(uint256 silent) external {
        IDuels.Choice[] memory choices = choicesOf("FFFFF");
        choices[3] = silent % 3 == 0 ? IDuels.Choice.NONE : IDuels.Choice.FIRST;
        choices[4] = IDuels.Choice.NONE;
        (DuelId id, address[] memory judges) = decided(caseOf(0), choices);
        settle(id, judges, choices);
        uint256 earning = silent % 3 == 0 ? 3 : 4;
        vm.assertEq(duels.balanceOf(judges[0]), SHARE + 2 * PRICE / 8 / earning);
        vm.assertEq(asset.balanceOf(BURNT), (5 - earning) * SHARE + 2 * PRICE / 8 % earning);
        vm.assertEq(duels.balanceOf(payer), (5 - earning) * SHARE);
    }
}
