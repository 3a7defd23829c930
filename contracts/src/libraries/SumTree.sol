// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @title SumTree
/// @notice Weights in dense slots, from 1, of which one is drawn with a probability in proportion to its weight, as the
/// weights were at the end of any block: to set a weight, and to draw, each take steps in the logarithm of the slots.
/// @dev A Fenwick tree: node `i` holds the sum of the `lowest bit of i` slots that end with `i`. Each node keeps its past,
/// so that nobody moves a range after the number that falls into it is known. It knows neither judges nor randomness.
library SumTree {
    using Checkpoints for Checkpoints.Trace208;

    /// @param whole Sum of all weights, and below it in 32 bits the number of slots.
    struct State {
        // slot 0
        Checkpoints.Trace208 whole;
        // slot 1
        mapping(uint256 node => Checkpoints.Trace208) nodes;
    }

    uint256 private constant SLOT_BITS = 32;

    /// @notice Sum and number of slots at the end of block `blockNumber`, or so far.
    function wholeAt(State storage self, uint48 blockNumber) internal view returns (uint256 sum, uint32 slots) {
        return _split(self.whole.upperLookupRecent(blockNumber));
    }

    function _split(uint208 whole) private pure returns (uint256 sum, uint32 slots) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return (whole >> SLOT_BITS, uint32(whole)); // The number of slots is all that is cut to.
    }

    /// @notice Adds a slot of weight zero at block `blockNumber`.
    function append(State storage self, uint48 blockNumber) internal returns (uint32 slot) {
        (uint256 sum, uint32 slots) = _split(self.whole.latest());
        slot = slots + 1;
        // What the new node spans, but for its own slot: the nodes that end right before it, each longer than the last.
        uint256 span;
        uint256 start = slot - _lowestBit(slot);
        for (uint256 node = slot - 1; node > start; node -= _lowestBit(node)) {
            span += self.nodes[node].latest();
        }
        self.nodes[slot].push(blockNumber, _narrow(span));
        _setWhole(self, blockNumber, sum, slot);
    }

    /// @notice Changes a slot's weight from `before` to `weight` at block `blockNumber`, and returns the sum of all.
    /// @dev The caller keeps what it was.
    function set(State storage self, uint48 blockNumber, uint32 slot, uint96 before, uint96 weight)
        internal
        returns (uint256 sum)
    {
        uint32 slots;
        (sum, slots) = _split(self.whole.latest());
        for (uint256 node = slot; node <= slots; node += _lowestBit(node)) {
            self.nodes[node].push(blockNumber, _narrow(uint256(self.nodes[node].latest()) + weight - before));
        }
        sum = sum + weight - before;
        _setWhole(self, blockNumber, sum, slots);
    }

    /// @notice The slot in whose range `number`, less than the sum, fell at the end of block `blockNumber`. One without weight has
    /// no range.
    function find(State storage self, uint48 blockNumber, uint32 slots, uint256 number) internal view returns (uint32) {
        uint256 slot; // The last one that ends at or before `number`.
        uint256 step = 1;
        while (step << 1 <= slots) step <<= 1;
        for (; step != 0; step >>= 1) {
            if (slot + step > slots) continue;
            uint256 sum = self.nodes[slot + step].upperLookupRecent(blockNumber);
            if (sum > number) continue;
            number -= sum;
            slot += step;
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(slot + 1); // `number` is less than the sum: there is one more.
    }

    function _setWhole(State storage self, uint48 blockNumber, uint256 sum, uint32 slots) private {
        self.whole.push(blockNumber, _narrow(sum << SLOT_BITS | slots));
    }

    function _lowestBit(uint256 node) private pure returns (uint256) {
        unchecked {
            return node & (~node + 1); // Not of zero.
        }
    }

    /// @dev Sums of at most 2**32 weights of 96 bits have 128, and with the number of slots 160.
    function _narrow(uint256 value) private pure returns (uint208) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint208(value);
    }
}
