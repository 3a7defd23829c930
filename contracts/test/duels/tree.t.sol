// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {SumTree} from "../../src/libraries/SumTree.sol";
import {bound, vm} from "../Vm.sol";

/// @notice The tree and a list that adds up by hand.
contract SumTree_Test {
    using SumTree for SumTree.State;

    SumTree.State private tree;
    uint96[] private weights;
    uint96[][] private past;

    /// @dev Some changes at block `number`: a new slot, or another weight.
    function change(uint48 number, uint256 seed) private {
        for (uint256 i; i < 4; ++i) {
            seed = uint256(keccak256(abi.encode(seed, i)));
            if (weights.length == 0 || seed % 3 == 0) {
                vm.assertEq(tree.append(number), weights.length + 1);
                weights.push(0);
            }
            uint256 slot = (seed >> 8) % weights.length;
            uint96 weight = (seed >> 16) % 4 == 0 ? 0 : uint96((seed >> 20) % 1_000);
            tree.set(number, uint32(slot + 1), weights[slot], weight);
            weights[slot] = weight;
        }
        past.push(weights);
    }

    /// @dev The slot in whose range `number` is, by adding up; zero where it is beyond all.
    function find(uint96[] memory list, uint256 number) private pure returns (uint256) {
        for (uint256 i; i < list.length; ++i) {
            if (number < list[i]) return i + 1;
            number -= list[i];
        }
        return 0;
    }

    function testFuzz_FindsWhatAddingUpFindsAtEveryBlock(uint256 seed, uint256 number) external {
        for (uint48 b = 1; b <= 12; ++b) {
            change(b, seed ^ b);
        }
        for (uint48 b = 1; b <= 12; ++b) {
            uint96[] memory list = past[b - 1];
            uint256 all;
            for (uint256 i; i < list.length; ++i) {
                all += list[i];
            }
            (uint256 sum, uint32 slots) = tree.wholeAt(b);
            vm.assertEq(sum, all);
            vm.assertEq(slots, list.length);
            if (all == 0) continue;
            uint256 at = bound(number, 0, all - 1);
            vm.assertEq(tree.find(b, slots, at), find(list, at));
            vm.assertEq(tree.find(b, slots, 0), find(list, 0));
            vm.assertEq(tree.find(b, slots, all - 1), find(list, all - 1));
        }
    }

    function test_HoldsTheGreatestWeights() external {
        for (uint32 i = 1; i <= 8; ++i) {
            tree.append(1);
            tree.set(1, i, 0, type(uint96).max);
        }
        (uint256 sum, uint32 slots) = tree.wholeAt(1);
        vm.assertEq(sum, 8 * uint256(type(uint96).max));
        vm.assertEq(tree.find(1, slots, sum - 1), 8);
        vm.assertEq(tree.find(1, slots, type(uint96).max), 2);
    }
}
