// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IMarket} from "./interfaces/IMarket.sol";
import {Account} from "./libraries/Account.sol";
import {Book} from "./libraries/Book.sol";
import {Channel} from "./libraries/Channel.sol";
import {Fraud} from "./libraries/Fraud.sol";
import {Hash} from "./libraries/Hash.sol";
import {Signature} from "./libraries/Signature.sol";
import {Stake} from "./libraries/Stake.sol";

/// @title MarketState
/// @notice What a market is made with, what it holds, and every read of it. It changes nothing.
abstract contract MarketState is IMarket {
    using Book for Book.State;

    /// @notice A grant can be on its way for long before it is included: ten minutes outlast a congested chain.
    uint40 internal constant MIN_EXIT_NOTICE = 10 minutes;
    /// @notice Providers settle every so often, and must see a close request and be included before it ends.
    uint40 internal constant MIN_CLOSE_NOTICE = 1 hours;
    /// @notice Long enough for anybody to find and prove a fraud in a receipt of the last hour.
    uint40 internal constant MIN_UNSTAKE_NOTICE = 1 days;
    /// @notice No deployer may hold money for longer than a season.
    uint40 internal constant MAX_NOTICE = 90 days;

    IERC20 internal immutable ASSET;
    address internal immutable ARBITER;
    uint96 internal immutable MINIMUM_STAKE;
    uint40 internal immutable EXIT_NOTICE;
    uint40 internal immutable CLOSE_NOTICE;
    uint40 internal immutable UNSTAKE_NOTICE;
    uint256 internal immutable CHAIN_ID;
    bytes32 internal immutable SEPARATOR;

    mapping(address payer => Account.State) internal _accounts;
    mapping(address provider => Stake.State) internal _stakes;
    mapping(address provider => Book.State) internal _books;
    /// @dev The provider first: a settlement looks it up once for all its rows.
    mapping(address provider => mapping(address payer => mapping(address sessionKey => Channel.State))) internal
        _channels;
    Fraud.State internal _frauds;

    /// @param arbiter_ The only address that may slash on a verdict; zero: none may. It may still have to be deployed.
    /// @param minimumStake_ Atoms, at least one: an offer without stake is a promise of nobody.
    /// @param exitNotice_ Seconds, as are the other two.
    constructor(
        address asset_,
        address arbiter_,
        uint96 minimumStake_,
        uint40 exitNotice_,
        uint40 closeNotice_,
        uint40 unstakeNotice_
    ) {
        _requireWithin(MIN_EXIT_NOTICE, MAX_NOTICE, exitNotice_);
        _requireWithin(MIN_CLOSE_NOTICE, MAX_NOTICE, closeNotice_);
        _requireWithin(MIN_UNSTAKE_NOTICE, MAX_NOTICE, unstakeNotice_);
        _requireWithin(1, type(uint96).max, minimumStake_);
        if (asset_.code.length == 0) revert SafeERC20.SafeERC20FailedOperation(asset_);

        ASSET = IERC20(asset_);
        ARBITER = arbiter_;
        MINIMUM_STAKE = minimumStake_;
        EXIT_NOTICE = exitNotice_;
        CLOSE_NOTICE = closeNotice_;
        UNSTAKE_NOTICE = unstakeNotice_;
        CHAIN_ID = block.chainid;
        SEPARATOR = Hash.domainSeparator(block.chainid, address(this));
    }

    // ------------------------------------------------------------------------------------------------ views

    /// @inheritdoc IMarket
    function asset() external view returns (address) {
        return address(ASSET);
    }

    /// @inheritdoc IMarket
    function arbiter() external view returns (address) {
        return ARBITER;
    }

    /// @inheritdoc IMarket
    function minimumStake() external view returns (uint96) {
        return MINIMUM_STAKE;
    }

    /// @inheritdoc IMarket
    function exitNotice() external view returns (uint40) {
        return EXIT_NOTICE;
    }

    /// @inheritdoc IMarket
    function closeNotice() external view returns (uint40) {
        return CLOSE_NOTICE;
    }

    /// @inheritdoc IMarket
    function unstakeNotice() external view returns (uint40) {
        return UNSTAKE_NOTICE;
    }

    /// @inheritdoc IMarket
    function accountOf(address payer) external view returns (uint96 free, uint96 exiting, uint40 exitsAt) {
        Account.State storage account = _accounts[payer];
        return (account.free, account.exiting, account.exitsAt);
    }

    /// @inheritdoc IMarket
    function stakeOf(address provider)
        external
        view
        returns (uint96 staked, uint96 exiting, uint40 exitsAt, address receiptKey)
    {
        Stake.State storage its = _stakes[provider];
        return (its.staked, its.exiting, its.exitsAt, _books[provider].signer(provider));
    }

    /// @inheritdoc IMarket
    function isReceiptKey(address provider, address key) external view returns (bool) {
        return _books[provider].isReceiptKey(provider, key);
    }

    /// @inheritdoc IMarket
    function hasSigned(address signer, bytes32 digest, bytes calldata signature) external view returns (bool) {
        // The key first: a wallet with code (EIP-7702) keeps its key, and may not answer ERC-1271.
        return Signature.isBy(signer, digest, signature)
            || SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature);
    }

    /// @inheritdoc IMarket
    function offersOf(address provider) external view returns (uint64 latestSequence, uint64 minimumSequence) {
        Book.State storage book = _books[provider];
        return (book.latestSequence, book.minimumSequence);
    }

    /// @inheritdoc IMarket
    function channelOf(address payer, address provider, address sessionKey)
        external
        view
        returns (uint96 cap, uint96 settled, uint40 closesAt, uint24 epoch)
    {
        Channel.State storage channel = _channels[provider][payer][sessionKey];
        return (channel.cap, channel.settled, channel.closesAt, channel.epoch);
    }

    /// @inheritdoc IMarket
    function balanceOf(address provider) external view returns (uint128) {
        return _books[provider].balance;
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev A chain that splits in two leaves each half with signatures of its own.
    function _separator() internal view returns (bytes32) {
        return block.chainid == CHAIN_ID ? SEPARATOR : Hash.domainSeparator(block.chainid, address(this));
    }

    function _now() internal view returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint40(block.timestamp); // Lasts for 34,000 years.
    }

    function _requireWithin(uint256 lowest, uint256 highest, uint256 actual) private pure {
        if (actual < lowest || actual > highest) revert OutOfBounds(lowest, highest, actual);
    }
}
