// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {DuelId, IDuels} from "./interfaces/IDuels.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {Duel} from "./libraries/Duel.sol";
import {Hash} from "./libraries/Hash.sol";
import {Votes} from "./libraries/Votes.sol";
import {Balances} from "./Balances.sol";
import {Judges} from "./Judges.sol";

/// @title DuelsState
/// @notice What duels are made with, what they hold, and every read of it. It changes nothing.
abstract contract DuelsState is Judges, Balances {
    using Duel for Duel.State;

    /// @notice A judge that was summoned has to see it, and its answer to be included on a congested chain.
    uint40 internal constant MIN_PERIOD = 10 minutes;
    /// @notice Periods from an open to the last that an appeal may be decided, and one to settle it in: stake that is on
    /// its way out when a duel is opened must not be gone before.
    uint40 internal constant PERIODS = 10;
    IMarket internal immutable MARKET;
    address internal immutable AUDITS;
    IERC20 internal immutable ASSET;
    uint96 internal immutable MINIMUM_FEE;
    uint40 internal immutable PERIOD;
    uint256 internal immutable CHAIN_ID;
    bytes32 internal immutable SEPARATOR;

    /// @param drawn It was summoned.
    /// @param choice What it revealed, or that it declined.
    /// @param ballotHash What it committed to.
    struct Seat {
        // slot 0
        bool drawn;
        Choice choice;
        // slot 1
        bytes32 ballotHash;
    }

    mapping(DuelId => Duel.State) internal _duels;
    mapping(DuelId => mapping(address judge => Seat)) internal _seats;
    mapping(bytes32 receiptHash => DuelId) internal _used;

    /// @param market_ Its arbiter has to be this very contract, whose address is known before it is deployed.
    /// @param audits_ The only other address that slashes, through this one; zero: none does. It may still have to be
    /// deployed.
    /// @param minimumFee_ Atoms for each judge, at least one: a duel that costs nothing would rate at no cost.
    /// @param period_ Seconds that each party has for each of its steps.
    constructor(address market_, address audits_, uint96 minimumFee_, uint40 period_) {
        IMarket its = IMarket(market_);
        if (its.arbiter() != address(this)) revert NotTheArbiter(its.arbiter(), address(this));
        _requireWithin(1, type(uint96).max, minimumFee_);
        _requireWithin(MIN_PERIOD, its.unstakeNotice() / PERIODS, period_);

        MARKET = its;
        AUDITS = audits_;
        ASSET = IERC20(its.asset());
        MINIMUM_FEE = minimumFee_;
        PERIOD = period_;
        CHAIN_ID = block.chainid;
        SEPARATOR = Hash.domainSeparator(block.chainid, market_);
    }

    // ------------------------------------------------------------------------------------------------ views

    /// @inheritdoc IDuels
    function market() external view returns (address) {
        return address(MARKET);
    }

    /// @inheritdoc IDuels
    function audits() external view returns (address) {
        return AUDITS;
    }

    /// @inheritdoc IDuels
    function minimumFee() external view returns (uint96) {
        return MINIMUM_FEE;
    }

    /// @inheritdoc IDuels
    function period() external view returns (uint40) {
        return PERIOD;
    }

    /// @inheritdoc IDuels
    function panelOf(DuelId duel, address first, address second) external view returns (address[] memory) {
        return _panel(duel, first, second);
    }

    /// @inheritdoc IDuels
    function duelIdOf(address challenger, bytes32 commitment) external pure returns (DuelId) {
        return Votes.duelId(challenger, commitment);
    }

    /// @inheritdoc IDuels
    function appealOf(DuelId duel) external pure returns (DuelId) {
        return Votes.appealId(duel);
    }

    /// @inheritdoc IDuels
    function duelOf(DuelId duel)
        external
        view
        returns (Status status, address challenger, uint96 fee, uint8 seats, uint48 drawBlock, uint40 until)
    {
        Duel.State storage its = _duels[duel];
        (status, until) = its.statusUntil(PERIOD, _now());
        (challenger, fee, seats) = (its.challenger, its.fee, its.seats);
        drawBlock = status == Status.NONE ? 0 : its.drawBlock();
    }

    /// @inheritdoc IDuels
    function isUsed(bytes32 receiptHash) external view returns (bool) {
        return DuelId.unwrap(_used[receiptHash]) != 0;
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _market() internal view override returns (IMarket) {
        return MARKET;
    }

    function _asset() internal view override returns (IERC20) {
        return ASSET;
    }

    /// @dev Everything that it goes by was fixed at the end of the block that opened the duel, but the seed, which nobody
    /// knew then, and the duellists, to whom the duel's commitment binds the challenger.
    function _panel(DuelId id, address first, address second) internal view returns (address[] memory) {
        Duel.State storage its = _duels[id];
        address challenger = _duels[_rootOf(id)].challenger;
        address[] memory parties = new address[](3);
        (parties[0], parties[1], parties[2]) = (challenger, first, second);
        return _draw(its.requireSeed(id), its.openedBlock, its.seats, parties);
    }

    function _rootOf(DuelId id) internal view returns (DuelId root) {
        root = _duels[id].root;
        if (DuelId.unwrap(root) == 0) root = id;
    }

    /// @dev A chain that splits in two leaves each half with signatures of its own.
    function _separator() internal view returns (bytes32) {
        return block.chainid == CHAIN_ID ? SEPARATOR : Hash.domainSeparator(block.chainid, address(MARKET));
    }

    function _now() internal view returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint40(block.timestamp); // Lasts for 34,000 years.
    }

    function _requireWithin(uint256 lowest, uint256 highest, uint256 actual) private pure {
        if (actual < lowest || actual > highest) revert OutOfBounds(lowest, highest, actual);
    }
}
