// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {vm} from "../Vm.sol";

/// @notice Each case of `tests/vectors/duel.json`, which Python made, played with real votes.
contract DuelVectors_Test is DuelFixture {
    string private json;

    /// @dev One case, and what stood before it.
    struct Play {
        string path;
        IDuels.Case shown;
        uint96 price;
        IDuels.Choice known;
        int256 first;
        int256 second;
        int256 challenger;
        int256 appellant;
        int256 burnt;
    }

    function setUp() public override {
        super.setUp();
        json = vm.readFile("../tests/vectors/duel.json");
        // So many that an appeal's eleven are other than the first five.
        for (uint256 i = JUDGES; i < 60; ++i) {
            enlist(JUDGE_KEYS + i, STAKED);
        }
        fundDuels(rival);
        mine(1);
    }

    function test_MovesWhatPythonSays() external {
        uint256 count;
        for (; vm.keyExistsJson(json, at(count)); ++count) {
            uint256 snapshot = vm.snapshotState();
            this.play(count);
            vm.assertTrue(vm.revertToState(snapshot));
        }
        vm.assertTrue(count > 30);
    }

    function play(uint256 i) external {
        Play memory p;
        p.path = at(i);
        p.price = uint96(number(p.path, ".price"));
        p.known = choiceOf(vm.parseJsonString(json, string.concat(p.path, ".panel.known")));
        p.shown = caseAt(p.price, p.known);
        lower(provider, number(p.path, ".firstStake"));
        lower(rival, number(p.path, ".secondStake"));
        look(p, -1);

        string memory panelPath = string.concat(p.path, ".panel");
        IDuels.Choice[] memory choices = choicesOf(vm.parseJsonString(json, string.concat(panelPath, ".votes")));
        DuelId id = openDuel(p.shown, uint8(choices.length), uint96(number(panelPath, ".fee")));
        address[] memory judges = panel(id);
        lowerAll(judges, panelPath);
        p.burnt = -int256(asset.balanceOf(BURNT));
        vote(id, p, judges, choices);
        IDuels.Ruling memory ruling = IDuels.Ruling(id, provider, rival, p.price, p.known, judges, choices);

        string memory appealPath = string.concat(p.path, ".appeal");
        address[] memory more;
        if (vm.keyExistsJson(json, appealPath)) {
            more = appealBy(ruling, p, appealPath);
        } else {
            vm.warp(now_() + PERIOD);
            duels.settle(one(ruling));
        }
        assertStatus(id, IDuels.Status.ENDED);
        look(p, 1);
        p.burnt += int256(asset.balanceOf(BURNT));
        check(p, judges, more);
    }

    function appealBy(IDuels.Ruling memory ruling, Play memory p, string memory path)
        private
        returns (address[] memory judges)
    {
        for (uint256 i; i < ruling.judges.length; ++i) {
            vm.prank(ruling.judges[i]);
            duels.retire();
        }
        vm.prank(rival);
        DuelId id = duels.appeal(ruling, uint96(number(path, ".fee")));
        mine(3);
        judges = panel(id);
        // Burning on the way is none of what the duel burns.
        p.burnt += int256(asset.balanceOf(BURNT));
        lowerAll(judges, path);
        p.burnt -= int256(asset.balanceOf(BURNT));
        IDuels.Choice[] memory choices = choicesOf(vm.parseJsonString(json, string.concat(path, ".votes")));
        IDuels.Vote[] memory votes = new IDuels.Vote[](0);
        if (allSpeak(choices)) votes = votesOf(id, p.shown, judges, choices);
        else summonAll(id, p.shown, judges, choices);
        duels.decideAppeal(p.shown, votes, ruling);
    }

    function vote(DuelId id, Play memory p, address[] memory judges, IDuels.Choice[] memory choices) private {
        IDuels.Vote[] memory votes = new IDuels.Vote[](0);
        if (allSpeak(choices)) votes = votesOf(id, p.shown, judges, choices);
        else summonAll(id, p.shown, judges, choices);
        duels.decide(id, p.shown, p.known, SALT, votes);
    }

    function check(Play memory p, address[] memory judges, address[] memory more) private view {
        string memory moved = string.concat(p.path, ".moved");
        vm.assertEq(p.first, whole(moved, ".first"), string.concat(p.path, " first"));
        vm.assertEq(p.second, whole(moved, ".second"), string.concat(p.path, " second"));
        vm.assertEq(p.challenger, whole(moved, ".challenger"), string.concat(p.path, " challenger"));
        vm.assertEq(p.appellant, whole(moved, ".appellant"), string.concat(p.path, " appellant"));
        for (uint256 i; i < judges.length + more.length; ++i) {
            bool firstPanel = i < judges.length;
            address judge = firstPanel ? judges[i] : more[i - judges.length];
            string memory stakes = firstPanel
                ? string.concat(p.path, ".panel.stakes", index(i))
                : string.concat(p.path, ".appeal.stakes", index(i - judges.length));
            int256 gained = int256(stakeOf(judge)) - vm.parseJsonInt(json, stakes);
            gained += int256(uint256(duels.balanceOf(judge)));
            vm.assertEq(gained, whole(moved, string.concat(".judges", index(i))), string.concat(p.path, " a judge"));
        }
        vm.assertEq(p.burnt, whole(moved, ".burnt"), string.concat(p.path, " burnt"));
    }

    /// @dev Atoms of each party: what they have after less what they had before.
    function look(Play memory p, int256 sign_) private view {
        p.first += sign_ * int256(stakeOf(provider));
        p.second += sign_ * int256(stakeOf(rival));
        p.challenger += sign_ * int256(wealthOf(payer));
        p.appellant += sign_ * int256(wealthOf(rival) - stakeOf(rival));
    }

    // ------------------------------------------------------------------------------------------------ made

    function caseAt(uint96 price, IDuels.Choice known) private view returns (IDuels.Case memory shown) {
        shown = caseOf(0);
        (shown.first.receipt.cost, shown.second.receipt.cost) = (price, price / 2);
        shown.first.signature = sign(PROVIDER_KEY, shown.first.receipt);
        shown.second.signature = sign(RIVAL_KEY, shown.second.receipt);
        shown.hidden = Votes.hidden(known, SALT);
    }

    /// @dev Down to `atoms`, by the arbiter.
    function lower(address whose, uint256 atoms) private {
        uint96 over = uint96(stakeOf(whose) - atoms);
        vm.prank(address(duels));
        market.slash(whose, over, address(0));
    }

    function lowerAll(address[] memory judges, string memory path) private {
        for (uint256 i; i < judges.length; ++i) {
            vm.assertTrue(judges[i] != address(0), "every seat is filled");
            lower(judges[i], number(path, string.concat(".stakes", index(i))));
        }
    }

    function allSpeak(IDuels.Choice[] memory choices) private pure returns (bool) {
        for (uint256 i; i < choices.length; ++i) {
            if (!isChoice(choices[i])) return false;
        }
        return true;
    }

    function choiceOf(string memory letter) private pure returns (IDuels.Choice) {
        return bytes(letter).length == 0 ? IDuels.Choice.NONE : choicesOf(letter)[0];
    }

    // ------------------------------------------------------------------------------------------------ reading

    function at(uint256 i) private pure returns (string memory) {
        return string.concat(".cases", index(i));
    }

    function index(uint256 i) private pure returns (string memory) {
        return string.concat("[", vm.toString(i), "]");
    }

    function number(string memory path, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(path, field));
    }

    function whole(string memory path, string memory field) private view returns (int256) {
        return vm.parseJsonInt(json, string.concat(path, field));
    }
}
