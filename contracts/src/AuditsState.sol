// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";

import {IMarket} from "./interfaces/IMarket.sol";
import {IDuels} from "./interfaces/IDuels.sol";
import {AccusationId, IAudits} from "./interfaces/IAudits.sol";
import {Accusation} from "./libraries/Accusation.sol";
import {Findings} from "./libraries/Findings.sol";
import {Hash} from "./libraries/Hash.sol";
import {Lottery} from "./libraries/Lottery.sol";
import {Opinions} from "./libraries/Opinions.sol";
import {Strikes} from "./libraries/Strikes.sol";
import {Balances} from "./Balances.sol";

/// @title AuditsState
/// @notice What audits are made with, what they hold, and every read of it. It changes nothing.
abstract contract AuditsState is Balances, IAudits {
    using Accusation for Accusation.State;

    /// @notice Who may strike for one receipt: few, so that few can strike falsely.
    uint256 internal constant PANEL = 5;
    /// @notice Nobody has begun a block so far on when an accusation is answered.
    uint48 internal constant DRAW_BLOCKS = 2;
    /// @notice Periods that two accusations take at most, with one each to conclude it in: stake that is asked back at the
    /// last answer must not be gone before. That is struck for within a window, and what waits then accuses next.
    uint40 internal constant PERIODS = 2 * 5;

    IDuels internal immutable DUELS;
    IMarket internal immutable MARKET;
    IERC20 internal immutable ASSET;
    uint40 internal immutable PERIOD;
    uint40 internal immutable WINDOW;
    uint256 internal immutable CHAIN_ID;
    bytes32 internal immutable SEPARATOR;

    mapping(uint48 blockNumber => bytes32) internal _sealed;
    mapping(bytes32 receiptHash => bool) internal _counted;
    mapping(address provider => Accusation.State) internal _accusations;

    /// @param duels_ It has to name this very contract, whose address is known before it is deployed.
    /// @param window_ Seconds for which a strike counts.
    constructor(address duels_, uint40 window_) {
        IDuels its = IDuels(duels_);
        IMarket market = IMarket(its.market());
        if (its.audits() != address(this)) revert NotTheAudits(its.audits(), address(this));
        (uint40 period_, uint40 notice) = (its.period(), market.unstakeNotice());
        if (window_ < period_ || window_ > notice - PERIODS * period_) {
            revert OutOfBounds(period_, notice - PERIODS * period_, window_);
        }

        DUELS = its;
        MARKET = market;
        ASSET = IERC20(market.asset());
        PERIOD = period_;
        WINDOW = window_;
        CHAIN_ID = block.chainid;
        SEPARATOR = Hash.domainSeparator(block.chainid, address(market));
    }

    // ------------------------------------------------------------------------------------------------ views

    /// @inheritdoc IAudits
    function duels() external view returns (address) {
        return address(DUELS);
    }

    /// @inheritdoc IAudits
    function window() external view returns (uint40) {
        return WINDOW;
    }

    /// @inheritdoc IAudits
    function minimumFee(uint256 strikes) external view returns (uint256) {
        return _minimumFee(strikes);
    }

    /// @inheritdoc IAudits
    function auditorsOf(bytes32 receiptHash, address provider, uint48 drawBlock)
        external
        view
        returns (address[] memory)
    {
        return _auditors(receiptHash, provider, drawBlock);
    }

    /// @inheritdoc IAudits
    function isDrawn(bytes32 receiptHash, uint64 sequence, uint48 drawBlock) external view returns (bool) {
        return Lottery.isDrawn(_requireBlockHash(drawBlock), receiptHash, sequence);
    }

    /// @inheritdoc IAudits
    function isCounted(bytes32 receiptHash) external view returns (bool) {
        return _counted[receiptHash];
    }

    /// @inheritdoc IAudits
    function strikesOf(address provider) external view returns (address[] memory auditors, uint40[] memory times) {
        Accusation.State storage its = _accusations[provider];
        uint256 count;
        for (uint256 i; i < its.strikes.length; ++i) {
            if (!its.isOver(i, WINDOW, _now())) ++count;
        }
        (auditors, times) = (new address[](count), new uint40[](count));
        uint256 place;
        for (uint256 i; i < its.strikes.length; ++i) {
            if (its.isOver(i, WINDOW, _now())) continue;
            (auditors[place], times[place]) = (its.strikes[i].auditor, its.strikes[i].filedAt);
            ++place;
        }
    }

    /// @inheritdoc IAudits
    function accusationOf(address provider)
        external
        view
        returns (
            AccusationId id,
            Status status,
            address answerer,
            uint96 fee,
            uint48 drawBlock,
            uint40 until,
            uint8 accusing
        )
    {
        Accusation.State storage its = _accusations[provider];
        (status, until) = its.statusUntil(PERIOD, _now());
        (id, answerer, fee) = (Findings.accusationId(provider, its.number), its.answerer, its.fee);
        drawBlock = its.answeredAt == 0 ? 0 : its.answeredBlock + DRAW_BLOCKS;
        accusing = its.accusing;
    }

    /// @inheritdoc IAudits
    function reauditorsOf(address provider) external view returns (address[] memory) {
        Accusation.State storage its = _accusations[provider];
        if (its.answeredAt == 0) return new address[](0);
        if (its.seats.length == 0) {
            if (block.number <= its.answeredBlock + DRAW_BLOCKS) return new address[](0);
            return _reauditors(provider, its);
        }
        address[] memory auditors = new address[](its.seats.length);
        for (uint256 i; i < auditors.length; ++i) {
            auditors[i] = its.seats[i].auditor;
        }
        return auditors;
    }

    /// @inheritdoc IAudits
    function seatOf(address provider, uint8 seat)
        external
        view
        returns (address auditor, Opinion[] memory opinions, bytes32 ballotHash)
    {
        Accusation.State storage its = _accusations[provider];
        if (seat >= its.seats.length) return (address(0), opinions, 0);
        Accusation.Seat storage at_ = its.seats[seat];
        return (at_.auditor, Opinions.unpack(at_.opinions, its.accusing), at_.ballotHash);
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _asset() internal view override returns (IERC20) {
        return ASSET;
    }

    function _minimumFee(uint256 strikes) internal view returns (uint256) {
        return Strikes.feeUp(uint256(Strikes.SEATS) * DUELS.minimumFee(), strikes);
    }

    /// @dev By the weights before the block whose hash draws: nobody knew that when they were set. The hash that says
    /// that a receipt is drawn is a small one, so another one draws who audits it.
    function _auditors(bytes32 receiptHash, address provider, uint48 drawBlock)
        internal
        view
        returns (address[] memory)
    {
        bytes32 seed = keccak256(abi.encode("auditors", _requireBlockHash(drawBlock), receiptHash));
        address[] memory parties = new address[](1);
        parties[0] = provider;
        return DUELS.draw(seed, drawBlock - 1, PANEL, parties);
    }

    function _reauditors(address provider, Accusation.State storage its) internal view returns (address[] memory) {
        bytes32 hash = _requireBlockHash(its.answeredBlock + DRAW_BLOCKS);
        bytes32 seed = keccak256(abi.encode(hash, Findings.accusationId(provider, its.number)));
        address[] memory parties = new address[](1 + uint256(its.accusing));
        parties[0] = provider;
        for (uint256 i; i < its.accusing; ++i) {
            parties[1 + i] = its.strikes[i].auditor;
        }
        return DUELS.draw(seed, its.answeredBlock, Strikes.SEATS, parties);
    }

    /// @dev Of a block that is over, and not forgotten.
    function _requireBlockHash(uint48 blockNumber) internal view returns (bytes32 hash) {
        hash = _sealed[blockNumber];
        if (hash == 0 && block.number > blockNumber) hash = Blockhash.blockHash(blockNumber);
        if (hash == 0) revert NoSeed(blockNumber, block.number);
    }

    /// @dev A chain that splits in two leaves each half with signatures of its own.
    function _separator() internal view returns (bytes32) {
        return block.chainid == CHAIN_ID ? SEPARATOR : Hash.domainSeparator(block.chainid, address(MARKET));
    }

    function _now() internal view returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint40(block.timestamp); // Lasts for 34,000 years.
    }

    function _block() internal view returns (uint48) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint48(block.number); // Lasts for 8,900 years of a thousand blocks a second.
    }

    function _stakeOf(address provider) internal view returns (uint96) {
        (uint96 staked, uint96 exiting,,) = MARKET.stakeOf(provider);
        return staked + exiting; // Both are in the market, and are atoms that exist.
    }
}
