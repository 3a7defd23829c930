// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Lottery
/// @notice Which receipts are audited, and when that is drawn. `tests/vectors/audits.json` holds it and Python's
/// `tallystick.protocol.lottery` to the same draws.
/// @dev Shares are millionths. It knows neither receipts nor the chain.
library Lottery {
    uint256 internal constant WHOLE = 1_000_000;
    uint256 internal constant LEAST_SHARE = 10_000;
    /// @notice The share is halved with every so many receipts of a channel.
    uint256 internal constant HALF_LIFE = 50;
    /// @notice Seconds by which the block that draws is younger than the receipt: as much as clocks may differ.
    uint256 internal constant DELAY = 30;
    /// @notice Of sequences 0 to 49, three bytes each: 200,000 / 2^(n/50).
    bytes private constant SHARES = hex"030d4003027e02f7e302ed6c02e31b02d8ee02cee502c4ff02bb3d02b19c02a81e029ec1029585028c6902836e"
        hex"027a920271d60269380260b90258570250130247ed023fe30237f502302302286d0220d20219520211ec020aa0"
        hex"02036e01fc5601f55601ee6f01e7a101e0ea01da4b01d3c301cd5301c6f901c0b501ba8801b47001ae6e01a881"
        hex"01a2a9019ce501973601919b018c14";

    /// @notice The chance of the receipt of that sequence in its channel: a channel's first ones are looked at more.
    function share(uint64 sequence) internal pure returns (uint256) {
        uint256 halvings = sequence / HALF_LIFE;
        if (halvings > 4) return LEAST_SHARE; // 200,000 / 2^5 is less.
        uint256 place = 3 * (sequence % HALF_LIFE);
        uint256 first =
            uint256(uint8(SHARES[place])) << 16 | uint256(uint8(SHARES[place + 1])) << 8 | uint8(SHARES[place + 2]);
        uint256 decayed = first >> halvings;
        return decayed < LEAST_SHARE ? LEAST_SHARE : decayed;
    }

    /// @notice The first block at or after this second draws a receipt that was finished at `finishedAt`, unix
    /// milliseconds of the provider's clock.
    function momentOf(uint64 finishedAt) internal pure returns (uint256) {
        return (uint256(finishedAt) + 999) / 1_000 + DELAY;
    }

    function isDrawn(bytes32 blockHash, bytes32 receiptHash, uint64 sequence) internal pure returns (bool) {
        // number / 2^256 < share / 1,000,000, without a rounding.
        (uint256 high,) = Math.mul512(uint256(keccak256(abi.encode(blockHash, receiptHash))), WHOLE);
        return high < share(sequence);
    }
}
