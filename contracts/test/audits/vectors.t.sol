// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {Findings} from "../../src/libraries/Findings.sol";
import {Opinions} from "../../src/libraries/Opinions.sol";
import {Strikes} from "../../src/libraries/Strikes.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {vm} from "../Vm.sol";

/// @notice Each case of `tests/vectors/strikes.json`, which Python made, played with real strikes and ballots.
contract AuditVectors_Test is AuditFixture {
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("../tests/vectors/strikes.json");
    }

    function at(uint256 i) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "]");
    }

    function number(string memory path, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(path, field));
    }

    function signed(string memory path, string memory field) private view returns (int256) {
        return vm.parseJsonInt(json, string.concat(path, field));
    }

    function item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function test_MovesWhatPythonSays() external {
        uint256 count;
        for (; vm.keyExistsJson(json, at(count)); ++count) {
            uint256 snapshot = vm.snapshotState();
            this.play(at(count));
            vm.assertTrue(vm.revertToState(snapshot));
        }
        vm.assertTrue(count > 20);
    }

    /// @dev Stakes are set right before the end: what counts is what there is then, and for rewards what there was.
    function play(string memory path) external {
        fundAudits(payer);
        asset.mint(payer, number(path, ".fee"));
        address[] memory strikers = new address[](3);
        for (uint256 i; i < 3; ++i) {
            IAudits.Exhibit memory exhibit = found(strikers);
            strikers[i] = exhibit.finding.auditor;
            set(strikers[i], number(path, item(".struckWith", i)));
            audits.strike(exhibit);
        }
        string[] memory texts = new string[](vm.keyExistsJson(json, string.concat(path, ".opinions[0]")) ? 3 : 0);
        for (uint256 i; i < texts.length; ++i) {
            texts[i] = vm.parseJsonString(json, string.concat(path, item(".opinions", i)));
        }
        bool isAnswered = number(path, ".fee") != 0;
        address[] memory auditors = new address[](0);
        if (isAnswered) {
            vm.prank(payer);
            AccusationId id = audits.answer(provider, uint96(number(path, ".fee")));
            mine(3);
            if (texts.length != 0 && bytes(texts[0]).length != 0) {
                audits.summon(provider);
                auditors = audits.reauditorsOf(provider);
                voted(id, auditors, said(texts));
            } else {
                vm.warp(now_() + 3 * PERIOD);
            }
        } else {
            vm.warp(now_() + PERIOD);
        }
        set(provider, number(path, ".providerStake"));
        for (uint256 i; i < 3; ++i) {
            set(strikers[i], number(path, item(".strikerStakes", i)));
        }
        for (uint256 i; i < auditors.length; ++i) {
            set(auditors[i], number(path, item(".stakes", i)));
        }

        uint256 burnt = asset.balanceOf(BURNT);
        int256 before = held(payer);
        audits.conclude(provider);
        assertStrikes(counting(path));
        equal(int256(stakeOf(provider)) - int256(number(path, ".providerStake")), signed(path, ".moved.provider"), path);
        equal(held(payer) - before, int256(number(path, ".fee")) + signed(path, ".moved.answerer"), path);
        equal(int256(asset.balanceOf(BURNT) - burnt), signed(path, ".moved.burnt"), path);
        for (uint256 i; i < 3; ++i) {
            int256 stake_ = int256(number(path, item(".strikerStakes", i)));
            equal(held(strikers[i]) - stake_, signed(path, item(".moved.strikers", i)), path);
        }
        for (uint256 i; i < auditors.length; ++i) {
            int256 stake_ = int256(number(path, item(".stakes", i)));
            equal(held(auditors[i]) - stake_, signed(path, item(".moved.reauditors", i)), path);
        }
    }

    function counting(string memory path) private view returns (uint256 count) {
        for (uint256 i; i < 3; ++i) {
            if (vm.parseJsonBool(json, string.concat(path, item(".standing", i)))) ++count;
        }
    }

    function equal(int256 actual, int256 expected, string memory path) private pure {
        vm.assertEq(actual, expected, path);
    }

    /// @dev What a conclusion may change.
    function held(address whose) private view returns (int256) {
        return int256(stakeOf(whose) + audits.balanceOf(whose) + market.balanceOf(whose));
    }

    /// @dev By staking more, or by the duels slashing for nobody, on behalf of the audits.
    function set(address whose, uint256 wanted) private {
        uint256 actual = stakeOf(whose);
        if (wanted > actual) stake(whose, uint96(wanted - actual));
        if (wanted >= actual) return;
        vm.prank(address(audits));
        duels.slash(whose, uint96(actual - wanted), address(0));
    }

    /// @notice Accusations of more than three strikes, as the libraries come to them: what a whole one moves follows from
    /// these numbers as for three.
    function test_ComesToTheSameOfMore() external {
        json = vm.readFile("../tests/vectors/strikes_more.json");
        uint256 count;
        for (; vm.keyExistsJson(json, at(count)); ++count) {
            this.compute(at(count));
        }
        vm.assertTrue(count > 20);
    }

    function compute(string memory path) external view {
        uint256 strikes;
        while (vm.keyExistsJson(json, string.concat(path, item(".opinions", strikes)))) ++strikes;
        string[] memory texts = new string[](strikes);
        for (uint256 i; i < strikes; ++i) {
            texts[i] = vm.parseJsonString(json, string.concat(path, item(".opinions", i)));
        }
        IAudits.Opinion[][] memory seats = said(texts);
        uint16[] memory packed = new uint16[](seats.length);
        for (uint256 i; i < seats.length; ++i) {
            if (seats[i].length != 0) packed[i] = Opinions.pack(seats[i]);
        }
        Strikes.Found memory its = Strikes.found(packed, packed.length != 0, strikes);
        vm.assertEq(uint256(Strikes.outcome(its.outcomes)), number(path, ".outcome"), path);
        for (uint256 i; i < strikes; ++i) {
            vm.assertEq(uint256(its.outcomes[i]), number(path, item(".outcomes", i)), path);
            if (Strikes.outcome(its.outcomes) == IAudits.Outcome.UPHELD) continue; // None counts on.
            vm.assertTrue(its.standing[i] == vm.parseJsonBool(json, string.concat(path, item(".standing", i))), path);
        }
        computeReauditors(path, packed, its.outcomes);
        computeStrikers(path, its);
    }

    function computeReauditors(string memory path, uint16[] memory packed, IAudits.Outcome[] memory outcomes)
        private
        view
    {
        uint256 share = number(path, ".fee") / SEATS;
        for (uint256 i; i < packed.length; ++i) {
            int256 earned = int256(Strikes.earnedDown(packed[i], outcomes, share));
            int256 blamed = int256(Strikes.blamedDown(packed[i], outcomes, share, number(path, item(".stakes", i))));
            equal(earned - blamed, signed(path, item(".moved.reauditors", i)), path);
        }
    }

    function computeStrikers(string memory path, Strikes.Found memory its) private view {
        IAudits.Outcome[] memory outcomes = its.outcomes;
        bool slashed = Strikes.outcome(outcomes) == IAudits.Outcome.UPHELD;
        uint96 taken = slashed ? Strikes.slashedDown(uint96(number(path, ".providerStake"))) : 0;
        equal(-int256(uint256(taken)), signed(path, ".moved.provider"), path);
        uint256 upheld = Strikes.count(outcomes, IAudits.Outcome.UPHELD);
        for (uint256 i; i < outcomes.length; ++i) {
            uint96 stake_ = uint96(number(path, item(".strikerStakes", i)));
            int256 gained = -int256(uint256(Strikes.penaltyDown(stake_, outcomes[i], its.unproven[i])));
            if (slashed && outcomes[i] == IAudits.Outcome.UPHELD) {
                uint96 struckWith = uint96(number(path, item(".struckWith", i)));
                gained = int256(uint256(Strikes.rewardDown(taken, upheld, struckWith, stake_)));
            }
            equal(gained, signed(path, item(".moved.strikers", i)), path);
        }
    }

    /// @notice What auditors sign (`tests/vectors/audits.json`), and the names of cases and ballots.
    function test_NamesAndHashesAsPythonDoes() external view {
        string memory names = vm.readFile("../tests/vectors/audits.json");
        for (uint256 i; vm.keyExistsJson(names, item(".findings", i)); ++i) {
            string memory path = item(".findings", i);
            string memory m = string.concat(path, ".message");
            IAudits.Finding memory finding = IAudits.Finding({
                auditor: vm.parseJsonAddress(names, string.concat(m, ".auditor")),
                provider: vm.parseJsonAddress(names, string.concat(m, ".provider")),
                receiptHash: vm.parseJsonBytes32(names, string.concat(m, ".receiptHash")),
                receiptsRoot: vm.parseJsonBytes32(names, string.concat(m, ".receiptsRoot")),
                receiptCount: uint32(vm.parseJsonUint(names, string.concat(m, ".receiptCount"))),
                scalesHash: vm.parseJsonBytes32(names, string.concat(m, ".scalesHash")),
                check: uint8(vm.parseJsonUint(names, string.concat(m, ".check"))),
                verdict: uint8(vm.parseJsonUint(names, string.concat(m, ".verdict"))),
                tokens: uint64(vm.parseJsonUint(names, string.concat(m, ".tokens"))),
                evidence: uint64(vm.parseJsonUint(names, string.concat(m, ".evidence"))),
                foundAt: uint64(vm.parseJsonUint(names, string.concat(m, ".foundAt")))
            });
            vm.assertEq(Findings.finding(finding), vm.parseJsonBytes32(names, string.concat(path, ".structHash")), path);
        }
        for (uint256 i; vm.keyExistsJson(json, item(".names", i)); ++i) {
            string memory path = item(".names", i);
            AccusationId id = Findings.accusationId(
                vm.parseJsonAddress(json, string.concat(path, ".provider")), uint64(number(path, ".number"))
            );
            vm.assertEq(AccusationId.unwrap(id), vm.parseJsonBytes32(json, string.concat(path, ".accusation")), path);
            uint256 count;
            while (vm.keyExistsJson(json, string.concat(path, item(".opinions", count)))) ++count;
            IAudits.Opinion[] memory opinions = new IAudits.Opinion[](count);
            for (uint256 j; j < count; ++j) {
                opinions[j] = IAudits.Opinion(number(path, item(".opinions", j)));
            }
            bytes32 hash = Findings.ballot(
                id,
                vm.parseJsonAddress(json, string.concat(path, ".auditor")),
                opinions,
                vm.parseJsonBytes32(json, string.concat(path, ".salt"))
            );
            vm.assertEq(hash, vm.parseJsonBytes32(json, string.concat(path, ".ballotHash")), path);
        }
    }
}
