// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {DuelFixture} from "../DuelFixture.sol";
import {bound, vm} from "../Vm.sol";

/// @notice Plays challengers, judges that vote, decline or are silent, appellants and passers-by, in any order.
/// @dev Each of `calls` is one call that a run may make, on a duel that it is the time for. None reverts. Its own books
/// are what the contract has to add up to.
contract DuelHandler is DuelFixture {
    struct Told {
        DuelId id;
        /// @dev Zero for a duel of its own.
        DuelId root;
        uint64 sequence;
        address[] judges;
        IDuels.Choice[] choices;
        uint96 fee;
        /// @dev The fee is still held.
        bool live;
        bool revealed;
    }

    Told[] private told;
    mapping(DuelId => uint256) private place;

    /// @notice Verdicts and fees that went otherwise than the invariants say.
    uint256 public broken;

    function calls() external pure returns (bytes4[] memory list) {
        list = new bytes4[](12);
        list[0] = this.open.selector;
        list[1] = this.open.selector;
        list[2] = this.decideAtOnce.selector;
        list[3] = this.summonSome.selector;
        list[4] = this.revealSome.selector;
        list[5] = this.count.selector;
        list[6] = this.appealSome.selector;
        list[7] = this.settleAll.selector;
        list[8] = this.expireSome.selector;
        list[9] = this.judgeDoes.selector;
        list[10] = this.wait.selector;
        list[11] = this.withdrawSome.selector;
    }

    // ------------------------------------------------------------------------------------------------ books

    /// @notice Fees of duels whose money has not moved.
    function fees() external view returns (uint256 atoms) {
        for (uint256 i; i < told.length; ++i) {
            if (told[i].live) atoms += told[i].fee;
        }
    }

    /// @notice What the contract owes to whomever there is.
    function balances() external view returns (uint256 atoms) {
        for (uint256 i; i < JUDGES; ++i) {
            atoms += duels.balanceOf(vm.addr(JUDGE_KEYS + i));
        }
        atoms += duels.balanceOf(payer) + duels.balanceOf(provider) + duels.balanceOf(rival);
    }

    /// @notice Weights of all judges, by asking each.
    function weights() external view returns (uint256 atoms) {
        for (uint256 i; i < JUDGES; ++i) {
            (, uint96 weight,) = duels.judgeOf(vm.addr(JUDGE_KEYS + i));
            atoms += weight;
        }
    }

    function weighHardlyMore() external view returns (bool) {
        for (uint256 i; i < JUDGES; ++i) {
            if (!weighsHardlyMore(vm.addr(JUDGE_KEYS + i))) return false;
        }
        return true;
    }

    function held() external view returns (uint256) {
        return asset.balanceOf(address(duels));
    }

    function total() external view returns (uint256 sum) {
        (sum,) = duels.weightsAt(uint48(block.number));
    }

    /// @dev The first duel from `seed` on that is at `status`; none: the number of duels.
    function find(uint256 seed, IDuels.Status status) private view returns (uint256) {
        for (uint256 i; i < told.length; ++i) {
            uint256 which = (seed % told.length + i) % told.length;
            if (statusOf(told[which].id) == status) return which;
        }
        return told.length;
    }

    /// @dev INV-12, around whatever may move money: one verdict takes no more than a 4,000th of any stake.
    modifier watched() {
        address[] memory whose = new address[](JUDGES + 2);
        for (uint256 i; i < JUDGES; ++i) {
            whose[i] = vm.addr(JUDGE_KEYS + i);
        }
        (whose[JUDGES], whose[JUDGES + 1]) = (provider, rival);
        uint256[] memory before = new uint256[](whose.length);
        for (uint256 i; i < whose.length; ++i) {
            before[i] = stakeOf(whose[i]);
        }
        _;
        for (uint256 i; i < whose.length; ++i) {
            // A judge of both panels may pay for each.
            uint256 panels = i < JUDGES ? 2 : 1;
            if (before[i] > stakeOf(whose[i]) + panels * before[i] / 4_000) ++broken;
        }
    }

    // ------------------------------------------------------------------------------------------------ calls

    function open(uint256 seed, uint96 fee) external {
        asset.mint(payer, 1_000e6);
        uint64 sequence = uint64(told.length);
        uint8 seats = seed % 2 == 0 ? 3 : 5;
        fee = uint96(bound(fee, seats * MINIMUM_FEE, 50e6));
        DuelId id = openDuel(caseOf(sequence), seats, fee);
        keep(id, DuelId.wrap(0), sequence, fee, seed);
    }

    function keep(DuelId id, DuelId root, uint64 sequence, uint96 fee, uint256 seed) private {
        duels.seal(id);
        address[] memory judges = panel(id);
        IDuels.Choice[] memory choices = new IDuels.Choice[](judges.length);
        for (uint256 i; i < judges.length; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            // Mostly one choice: it is agreement that moves money.
            choices[i] = dice % 4 != 0 ? IDuels.Choice(1 + seed % 3) : IDuels.Choice((dice >> 8) % 5);
            if (judges[i] == address(0)) choices[i] = IDuels.Choice.NONE;
        }
        place[id] = told.length;
        told.push(Told(id, root, sequence, judges, choices, fee, true, false));
    }

    function decideAtOnce(uint256 seed) external {
        uint256 which = find(seed, IDuels.Status.OPEN);
        if (which == told.length) return;
        Told storage its = told[which];
        for (uint256 i; i < its.judges.length; ++i) {
            // All have to speak.
            if (its.judges[i] != address(0) && !isChoice(its.choices[i])) its.choices[i] = IDuels.Choice.TIE;
        }
        end(which, votesOf(its.id, caseOf(its.sequence), its.judges, its.choices));
    }

    function summonSome(uint256 seed) external {
        uint256 which = find(seed, IDuels.Status.OPEN);
        if (which == told.length) return;
        Told storage its = told[which];
        IDuels.Case memory shown = caseOf(its.sequence);
        // Some of what is signed is nobody's: its judge says the same by itself, or it is passed over.
        IDuels.Commitment[] memory list = commitmentsOf(its.id, shown, its.judges, its.choices);
        IDuels.Commitment[] memory spoilt = commitmentsOf(its.id, shown, its.judges, its.choices);
        if (list.length != 0) spoilt[seed % list.length].signature = "";
        duels.summon(its.id, shown, spoilt);
        for (uint256 i; i < its.judges.length; ++i) {
            if (its.judges[i] != address(0) && (seed >> i) % 8 == 0) rotate(its.judges[i]);
        }
        duels.commit(its.id, list);
    }

    /// @dev One of those who committed may not reveal after all.
    function revealSome(uint256 seed, uint256 who) external {
        uint256 which = find(seed, IDuels.Status.REVEALING);
        if (which == told.length) return;
        Told storage its = told[which];
        uint256 forgetful = who % (2 * its.judges.length);
        if (forgetful < its.judges.length && isChoice(its.choices[forgetful])) {
            its.choices[forgetful] = IDuels.Choice.NONE;
        }
        its.revealed = true;
        duels.reveal(its.id, subjectOf(caseOf(its.sequence)), revealsOf(its.judges, its.choices));
    }

    /// @dev Where nobody revealed, all who did not decline were silent.
    function count(uint256 seed) external {
        uint256 which = find(seed, IDuels.Status.COUNTING);
        if (which == told.length) return;
        Told storage its = told[which];
        for (uint256 i; i < its.judges.length; ++i) {
            if (!its.revealed && its.choices[i] != IDuels.Choice.DECLINED) its.choices[i] = IDuels.Choice.NONE;
        }
        end(which, new IDuels.Vote[](0));
    }

    function end(uint256 which, IDuels.Vote[] memory votes) private watched {
        Told storage its = told[which];
        if (DuelId.unwrap(its.root) == 0) {
            decide(its.id, caseOf(its.sequence), votes);
            its.live = statusOf(its.id) != IDuels.Status.ENDED;
        } else {
            Told storage root = told[place[its.root]];
            duels.decideAppeal(caseOf(its.sequence), votes, rulingOf(root.id, root.judges, root.choices));
            (its.live, root.live) = (false, false);
        }
    }

    function appealSome(uint256 seed, uint96 fee) external {
        uint256 which = find(seed, IDuels.Status.APPEALABLE);
        if (which == told.length) return;
        Told memory its = told[which];
        address party = [payer, provider, rival][seed % 3];
        uint256 seats = 2 * its.judges.length + 1;
        uint256 least = seats * (its.fee / its.judges.length);
        fee = uint96(bound(fee, least, least + 10e6));
        asset.mint(party, fee);
        vm.prank(party);
        asset.approve(address(duels), type(uint256).max);
        IDuels.Ruling memory ruling = rulingOf(its.id, its.judges, its.choices);
        vm.prank(party);
        DuelId id = duels.appeal(ruling, fee);
        mine(3);
        keep(id, its.id, its.sequence, fee, seed);
    }

    /// @dev Ready or not, each twice: those that are not are passed over.
    function settleAll() external watched {
        IDuels.Ruling[] memory list = new IDuels.Ruling[](2 * told.length);
        for (uint256 i; i < list.length; ++i) {
            Told storage its = told[i / 2];
            list[i] = rulingOf(its.id, its.judges, its.choices);
        }
        // A batch of many is many verdicts: one at a time, so that `watched` may judge each.
        uint256 settled;
        for (uint256 i; i < told.length && settled == 0; ++i) {
            if (statusOf(told[i].id) != IDuels.Status.SETTLEABLE) continue;
            IDuels.Ruling[] memory pair = new IDuels.Ruling[](2);
            (pair[0], pair[1]) = (list[2 * i], list[2 * i + 1]);
            duels.settle(pair);
            told[i].live = false;
            ++settled;
        }
        if (settled == 0) duels.settle(list);
    }

    function expireSome(uint256 seed) external watched {
        uint256 which = find(seed, IDuels.Status.LAPSED);
        if (which == told.length) return;
        uint256 before = asset.balanceOf(BURNT);
        duels.expire(told[which].id);
        if (asset.balanceOf(BURNT) - before != told[which].fee) ++broken;
        told[which].live = false;
    }

    /// @dev Stakes more, asks for some back, retires, enlists again, names another key, or is refreshed by anybody.
    function judgeDoes(uint256 seed, uint96 amount) external {
        address judge = vm.addr(JUDGE_KEYS + seed % JUDGES);
        uint256 what = (seed >> 8) % 5;
        (uint96 staked,,,) = market.stakeOf(judge);
        if (what == 0) {
            stake(judge, uint96(bound(amount, 1, STAKED)));
        } else if (what == 1 && staked > STAKED / 2) {
            vm.prank(judge);
            market.requestUnstake(uint96(bound(amount, 1, staked - STAKED / 2)));
            if (!weighsWhatIsLeft(judge)) ++broken; // INV-14
        } else if (what == 2) {
            vm.prank(judge);
            duels.retire();
        } else if (what == 3 && staked >= MINIMUM_STAKE) {
            vm.prank(judge);
            duels.enlist(judge);
        } else if (what == 4) {
            rotate(judge);
        }
        if (seed % 2 == 0) duels.refresh(judge);
        mine(1);
    }

    function wait(uint40 time_) external {
        vm.warp(now_() + bound(time_, 1, PERIOD));
        mine(1);
    }

    function withdrawSome(uint256 seed) external {
        address owner = seed % 4 == 0 ? payer : vm.addr(JUDGE_KEYS + seed % JUDGES);
        uint96 balance = duels.balanceOf(owner);
        if (balance != 0 && duels.withdraw(owner) != balance) ++broken;
    }
}
