// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {AccusationId, IAudits} from "../../src/interfaces/IAudits.sol";
import {AuditFixture} from "../AuditFixture.sol";
import {bound, vm} from "../Vm.sol";

/// @notice Plays auditors that strike, whoever answers, re-auditors that commit, reveal or are silent, and stakes that
/// come and go, in any order, around one provider.
/// @dev Each of `calls` is one call that a run may make, where it is the time for it. None reverts. Its own books are
/// what the contract has to add up to.
contract AuditHandler is AuditFixture {
    /// @dev Of the accusation that is answered.
    uint96 private fee;
    IAudits.Opinion[][] private seats;
    bool private summoned;
    bool private committed;

    /// @notice Accusations that went otherwise than the invariants say.
    uint256 public broken;

    function calls() external pure returns (bytes4[] memory list) {
        list = new bytes4[](11);
        list[0] = this.strikeSome.selector;
        list[1] = this.strikeSome.selector;
        list[2] = this.strikeSome.selector;
        list[3] = this.answerSome.selector;
        list[4] = this.carryOn.selector;
        list[5] = this.carryOn.selector;
        list[6] = this.concludeSome.selector;
        list[7] = this.stakeDoes.selector;
        list[8] = this.wait.selector;
        list[9] = this.withdrawSome.selector;
        list[10] = this.namesAnotherKey.selector;
    }

    // ------------------------------------------------------------------------------------------------ books

    function held() external view returns (uint256) {
        return asset.balanceOf(address(audits));
    }

    /// @notice The fee of an accusation that is not concluded, and what the contract owes to whomever there is.
    function owed() external view returns (uint256 atoms) {
        atoms = fee + audits.balanceOf(provider) + audits.balanceOf(payer);
        for (uint256 i; i < JUDGES + MORE_JUDGES; ++i) {
            atoms += audits.balanceOf(vm.addr(JUDGE_KEYS + i));
        }
    }

    function weighHardlyMore() external view returns (bool) {
        for (uint256 i; i < JUDGES + MORE_JUDGES; ++i) {
            if (!weighsHardlyMore(vm.addr(JUDGE_KEYS + i))) return false;
        }
        return true;
    }

    /// @notice Of strikes that count, no two are of one owner (here each judge owns itself), nor more than eight; three or
    /// more accuse.
    function areOfDistinctOwners() external view returns (bool) {
        (address[] memory auditors,) = audits.strikesOf(provider);
        for (uint256 i; i < auditors.length; ++i) {
            for (uint256 j; j < i; ++j) {
                if (auditors[i] == auditors[j]) return false;
            }
        }
        return auditors.length <= (accusationStatus() == IAudits.Status.NONE ? 2 : 8);
    }

    // ------------------------------------------------------------------------------------------------ calls

    function strikeSome() external {
        (address[] memory strikers,) = audits.strikesOf(provider);
        if (strikers.length == 8) return;
        IAudits.Exhibit memory exhibit = drawn(true);
        address auditor = otherAuditor(exhibit, strikers);
        if (auditor == address(0)) return; // So few weigh anything.
        sealFinding(exhibit, auditor);
        (uint96 staked,,,) = market.stakeOf(exhibit.finding.auditor);
        if (staked < MINIMUM_STAKE) return;
        audits.strike(exhibit);
        (bool again,) = address(audits).call(abi.encodeCall(audits.strike, (exhibit)));
        if (again) ++broken;
    }

    function answerSome(uint96 amount, uint256 seed) external {
        (, IAudits.Status status,,,,, uint8 accusing) = audits.accusationOf(provider);
        if (status != IAudits.Status.ACCUSED) return;
        fee = uint96(bound(amount, audits.minimumFee(accusing), 500e6));
        address answerer = seed % 2 == 0 ? provider : payer;
        fundAudits(answerer);
        vm.prank(answerer);
        audits.answer(provider, fee);
        mine(3);
        delete seats;
        (summoned, committed) = (false, false);
        for (uint256 i; i < SEATS; ++i) {
            seats.push();
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            if (dice % 8 == 0) continue; // Silent.
            for (uint256 j; j < accusing; ++j) {
                dice = uint256(keccak256(abi.encode(dice)));
                // Mostly one opinion of each strike, and often of all: it is agreement that moves money.
                uint256 usual = seed % 3 == 0 ? uint256(keccak256(abi.encode(seed, "strike", j))) : seed;
                // One may say nothing of any.
                seats[i].push(IAudits.Opinion(dice % 16 == 0 ? 0 : 1 + (dice % 4 != 0 ? usual : dice >> 8) % 2));
            }
        }
    }

    /// @dev What the time is for, mostly, by whom it may concern; then the time is over.
    function carryOn(uint256 seed) external {
        (AccusationId id, IAudits.Status status,,,, uint40 until,) = audits.accusationOf(provider);
        if (status == IAudits.Status.NONE || status == IAudits.Status.DUE) return;
        bool lazy = seed % 6 == 0;
        if (status == IAudits.Status.COMMITTING && !summoned && !lazy) {
            audits.summon(provider);
            summoned = true;
        }
        if (status == IAudits.Status.COMMITTING && summoned) {
            IAudits.Commitment[] memory list = commits(id, audits.reauditorsOf(provider), seats);
            // One of them is nobody's at first, and another is its judge's though that names another key now.
            if (list.length != 0) {
                bytes memory signature = list[seed % list.length].signature;
                list[seed % list.length].signature = "";
                rotate(audits.reauditorsOf(provider)[list[(seed >> 8) % list.length].seat]);
                audits.commit(provider, list);
                list[seed % list.length].signature = signature;
            }
            audits.commit(provider, list);
            committed = true;
        }
        if (status == IAudits.Status.REVEALING && committed && !lazy) {
            audits.reveal(provider, reveals(audits.reauditorsOf(provider), seats));
        }
        if (status != IAudits.Status.ACCUSED || lazy) vm.warp(until);
        mine(1);
    }

    /// @dev INV-16: whoever is slashed for it, how much, and how much of it is burnt.
    function concludeSome() external {
        if (accusationStatus() != IAudits.Status.DUE) return;
        address[] memory strikers = accusers();
        uint256 before = stakeOf(provider);
        uint256 burnt = asset.balanceOf(BURNT);
        uint256 rewards = balances(strikers);
        uint256[] memory stakes = new uint256[](JUDGES + MORE_JUDGES);
        for (uint256 i; i < stakes.length; ++i) {
            stakes[i] = stakeOf(vm.addr(JUDGE_KEYS + i));
        }

        audits.conclude(provider);

        uint256 slashed = before - stakeOf(provider);
        if (slashed > before * 2 / 3) ++broken;
        if (slashed != 0 && balances(strikers) - rewards > slashed / 8) ++broken;
        if (slashed != 0 && asset.balanceOf(BURNT) - burnt < slashed - slashed / 8) ++broken;
        for (uint256 i; i < stakes.length; ++i) {
            address judge = vm.addr(JUDGE_KEYS + i);
            uint256 parts = isAmong(strikers, judge) ? 50 : 4_000;
            if (stakes[i] - stakeOf(judge) > stakes[i] / parts) ++broken;
        }
        (bool again,) = address(audits).call(abi.encodeCall(audits.conclude, (provider)));
        if (again) ++broken;
        fee = 0;
        if (slashed != 0) assertStrikes(0);
    }

    /// @dev Those who answer for what becomes of this accusation: not those whose strikes wait.
    function accusers() private view returns (address[] memory list) {
        (address[] memory all,) = audits.strikesOf(provider);
        (,,,,,, uint8 accusing) = audits.accusationOf(provider);
        list = new address[](accusing);
        for (uint256 i; i < accusing; ++i) {
            list[i] = all[i];
        }
    }

    function namesAnotherKey(uint256 seed) external {
        rotate(vm.addr(JUDGE_KEYS + seed % (JUDGES + MORE_JUDGES)));
    }

    function balances(address[] memory whose) private view returns (uint256 atoms) {
        for (uint256 i; i < whose.length; ++i) {
            atoms += audits.balanceOf(whose[i]);
        }
    }

    /// @dev Someone stakes more, asks for some back, or takes out what its notice has ended for.
    function stakeDoes(uint256 seed, uint96 amount) external {
        address who = seed % 3 == 0 ? provider : vm.addr(JUDGE_KEYS + seed % (JUDGES + MORE_JUDGES));
        (uint96 staked, uint96 exiting, uint40 exitsAt,) = market.stakeOf(who);
        uint256 what = (seed >> 8) % 3;
        if (what == 0) stake(who, uint96(bound(amount, 1, STAKED)));
        if (what == 1 && staked > 1) {
            vm.prank(who);
            market.requestUnstake(uint96(bound(amount, 1, staked)));
            if (!weighsWhatIsLeft(who)) ++broken; // INV-14
        }
        if (what == 2 && exiting != 0 && exitsAt <= now_()) market.unstake(who);
        mine(1);
    }

    function wait(uint40 time_) external {
        vm.warp(now_() + bound(time_, 1, PERIOD));
        mine(1);
    }

    function withdrawSome(uint256 seed) external {
        address owner = seed % 4 == 0 ? provider : vm.addr(JUDGE_KEYS + seed % (JUDGES + MORE_JUDGES));
        uint96 balance = audits.balanceOf(owner);
        if (balance != 0 && audits.withdraw(owner) != balance) ++broken;
    }
}
