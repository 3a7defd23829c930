// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {ChannelId, IMarket} from "./interfaces/IMarket.sol";
import {Account} from "./libraries/Account.sol";
import {Book} from "./libraries/Book.sol";
import {Channel} from "./libraries/Channel.sol";
import {Hash} from "./libraries/Hash.sol";
import {Signature} from "./libraries/Signature.sol";
import {Stake} from "./libraries/Stake.sol";

/// @title Market
/// @notice The one contract that holds money. It checks who asks, calls the concept's library, emits, and pays.
/// @dev What it assumes of the asset, each broken by a contract in `test/mocks/WeirdAssets.sol`:
///  - it moves exactly as many atoms as it is told to (deposits and stakes check; a fee refuses them);
///  - balances change by transfers alone (a rebase would break INV-1: choose no such asset);
///  - a transfer that fails reverts or returns false.
/// There is no re-entrancy guard, because there is nothing for one to guard: every function writes its state before
/// it calls the asset, a payer's ERC-1271 contract is only ever called statically, and an asset that re-enters in the
/// middle of a deposit fails the check of what that deposit brought.
contract Market is IMarket, EIP712 {
    using Account for Account.State;
    using Book for Book.State;
    using Channel for Channel.State;
    using SafeERC20 for IERC20;
    using Stake for Stake.State;

    /// @notice A grant can be on its way for long before it is included: ten minutes outlast a congested chain.
    uint40 internal constant MIN_EXIT_NOTICE = 10 minutes;
    /// @notice Providers settle every so often, and must see a close request and be included before it ends.
    uint40 internal constant MIN_CLOSE_NOTICE = 1 hours;
    /// @notice Long enough for anybody to find and prove a fraud in a receipt of the last hour.
    uint40 internal constant MIN_UNSTAKE_NOTICE = 1 days;
    /// @notice No deployer may hold money for longer than a season.
    uint40 internal constant MAX_NOTICE = 90 days;
    /// @notice Gas that one payer's ERC-1271 contract may burn: enough for a passkey, too little to sink a batch.
    uint256 internal constant ERC1271_GAS = 500_000;
    /// @notice Where burnt stake goes. ERC-20 assets refuse the zero address; nobody has the key of this one.
    address internal constant BURNT = 0x000000000000000000000000000000000000dEaD;

    IERC20 private immutable ASSET;
    address private immutable ARBITER;
    uint96 private immutable MINIMUM_STAKE;
    uint40 private immutable EXIT_NOTICE;
    uint40 private immutable CLOSE_NOTICE;
    uint40 private immutable UNSTAKE_NOTICE;

    mapping(address payer => Account.State) private _accounts;
    mapping(address provider => Stake.State) private _stakes;
    mapping(address provider => Book.State) private _books;
    /// @dev By {Hash-channelKey}.
    mapping(bytes32 channelKey => Channel.State) private _channels;

    /// @param arbiter_ The only address that may slash; zero: nobody may. It can be an address still to be deployed to.
    /// @param minimumStake_ Atoms, at least one: an offer without stake is a promise of nobody.
    /// @param exitNotice_ Seconds, as are the other two.
    constructor(
        address asset_,
        address arbiter_,
        uint96 minimumStake_,
        uint40 exitNotice_,
        uint40 closeNotice_,
        uint40 unstakeNotice_
    ) EIP712("Tallystick", "1") {
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
    }

    // ------------------------------------------------------------------------------------------------ account

    /// @inheritdoc IMarket
    function deposit(address payer, uint96 amount) public {
        if (payer == address(0)) revert ZeroAddress();

        uint96 free = _accounts[payer].credit(amount);

        emit Deposited(payer, amount, free);

        _pull(amount);
    }

    /// @inheritdoc IMarket
    function depositWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        // Whoever watches can submit the permit first. The allowance is there all the same, and decides.
        try IERC20Permit(address(ASSET)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}

        deposit(msg.sender, amount);
    }

    /// @inheritdoc IMarket
    function requestExit(uint96 amount) external {
        if (amount == 0) revert ZeroAmount();
        Account.State storage account = _accounts[msg.sender];

        account.requestExit(amount, _now() + EXIT_NOTICE);

        emit ExitRequested(msg.sender, account.free, account.exiting, account.exitsAt);
    }

    /// @inheritdoc IMarket
    function exit(address payer) external {
        uint96 amount = _accounts[payer].exit(_now());

        emit Exited(payer, amount);

        ASSET.safeTransfer(payer, amount);
    }

    // ------------------------------------------------------------------------------------------------ stake

    /// @inheritdoc IMarket
    function stake(uint96 amount) external {
        uint96 staked = _stakes[msg.sender].add(amount);

        emit Staked(msg.sender, amount, staked);

        _pull(amount);
    }

    /// @inheritdoc IMarket
    function requestUnstake(uint96 amount) external {
        if (amount == 0) revert ZeroAmount();
        Stake.State storage own = _stakes[msg.sender];

        own.requestUnstake(amount, _now() + UNSTAKE_NOTICE);

        emit UnstakeRequested(msg.sender, own.staked, own.exiting, own.exitsAt);
    }

    /// @inheritdoc IMarket
    function unstake(address provider) external {
        uint96 amount = _stakes[provider].unstake(_now());

        emit Unstaked(provider, amount);

        ASSET.safeTransfer(provider, amount);
    }

    /// @inheritdoc IMarket
    function setReceiptKey(address receiptKey) external {
        if (receiptKey == address(0)) revert ZeroAddress();

        _stakes[msg.sender].name(receiptKey);

        emit ReceiptKeySet(msg.sender, receiptKey);
    }

    /// @inheritdoc IMarket
    function slash(address provider, uint96 amount, address recipient) external {
        if (msg.sender != ARBITER) revert OnlyArbiter(ARBITER, msg.sender);
        if (recipient == address(0)) revert ZeroAddress();
        Stake.State storage its = _stakes[provider];

        (uint96 reward, uint96 burnt) = its.slash(amount);
        uint128 balance = _books[recipient].earn(reward);

        emit Slashed(provider, recipient, reward, burnt, its.staked, its.exiting);
        if (reward != 0) emit Earned(recipient, reward, balance);

        ASSET.safeTransfer(BURNT, burnt);
    }

    // ------------------------------------------------------------------------------------------------ offers

    /// @inheritdoc IMarket
    function postOffer(Offer calldata offer, bytes calldata signature) external returns (bytes32 offerHash) {
        Stake.State storage its = _stakes[offer.provider];
        offerHash = Hash.offer(offer);
        _requireSigner(its.signer(offer.provider), offerHash, signature);

        its.requireAtLeast(MINIMUM_STAKE);
        Book.requirePostable(offer.endpoint, offer.model, offer.validUntil, _now());
        _books[offer.provider].post(offer.sequence);

        emit OfferPosted(offer.provider, offer.sequence, offerHash, offer);
    }

    /// @inheritdoc IMarket
    function withdrawOffers(uint64 minimumSequence) external {
        _books[msg.sender].withdrawOffers(minimumSequence);

        emit OffersWithdrawn(msg.sender, minimumSequence);
    }

    // ------------------------------------------------------------------------------------------------ channels

    /// @inheritdoc IMarket
    function openChannels(Opening[] calldata openings) external {
        for (uint256 i; i < openings.length; ++i) {
            Opening calldata opening = openings[i];
            _raise(msg.sender, opening.provider, opening.sessionKey, opening.cap);
        }
    }

    /// @inheritdoc IMarket
    function openChannelsFor(Grant[] calldata grants, bytes[] calldata signatures) external {
        if (grants.length != signatures.length) revert LengthMismatch(grants.length, signatures.length);
        bytes32 separator = _domainSeparatorV4();
        for (uint256 i; i < grants.length; ++i) {
            Grant calldata grant = grants[i];
            (bool met, Skip reason) = _canMeet(separator, grant, signatures[i]);
            if (met) _raise(grant.payer, grant.provider, grant.sessionKey, grant.cap);
            else emit GrantSkipped(grant.payer, grant.provider, grant.sessionKey, reason);
        }
    }

    /// @inheritdoc IMarket
    function raiseCap(address provider, address sessionKey, uint96 cap) external {
        if (_channel(msg.sender, provider, sessionKey).cap == 0) revert Channel.ChannelNotOpen();
        _raise(msg.sender, provider, sessionKey, cap);
    }

    /// @inheritdoc IMarket
    function settle(address provider, Row[] calldata rows) external returns (uint128 amount) {
        bytes32 separator = _domainSeparatorV4();
        for (uint256 i; i < rows.length; ++i) {
            amount += _settle(separator, provider, rows[i]);
        }
        if (amount != 0) emit Earned(provider, amount, _books[provider].earn(amount));
    }

    /// @inheritdoc IMarket
    function close(
        address payer,
        address provider,
        address sessionKey,
        uint128 cumulativeAmount,
        bytes calldata providerSignature
    ) external {
        Channel.State storage channel = _channel(payer, provider, sessionKey);
        ChannelId id = Hash.channelId(payer, provider, sessionKey, channel.epoch);
        _requireSigner(_stakes[provider].signer(provider), Hash.close(id, cumulativeAmount), providerSignature);

        (uint96 paid, uint96 settled, uint96 returned) = channel.close(cumulativeAmount);
        if (paid != 0 && msg.sender != payer) revert OnlyPayer(payer, msg.sender);
        _accounts[payer].credit(returned);

        emit ChannelClosed(id, settled, returned);
        if (paid != 0) emit Earned(provider, paid, _books[provider].earn(paid));
    }

    /// @inheritdoc IMarket
    function requestClose(address provider, address sessionKey) external {
        Channel.State storage channel = _channel(msg.sender, provider, sessionKey);
        uint40 closesAt = _now() + CLOSE_NOTICE;

        channel.requestClose(closesAt);

        emit CloseRequested(Hash.channelId(msg.sender, provider, sessionKey, channel.epoch), closesAt);
    }

    /// @inheritdoc IMarket
    function finalizeClose(address payer, address provider, address sessionKey) external {
        Channel.State storage channel = _channel(payer, provider, sessionKey);
        ChannelId id = Hash.channelId(payer, provider, sessionKey, channel.epoch);

        channel.requireClosable(_now());
        (, uint96 settled, uint96 returned) = channel.close(0);
        _accounts[payer].credit(returned);

        emit ChannelClosed(id, settled, returned);
    }

    /// @inheritdoc IMarket
    function withdraw(address provider) external returns (uint128 amount) {
        amount = _books[provider].withdraw();

        emit Withdrawn(provider, amount);

        ASSET.safeTransfer(provider, amount);
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
        return (its.staked, its.exiting, its.exitsAt, its.signer(provider));
    }

    /// @inheritdoc IMarket
    function isReceiptKey(address provider, address key) external view returns (bool) {
        return _stakes[provider].wasNamed(provider, key);
    }

    /// @inheritdoc IMarket
    function isSignedBy(address signer, bytes32 digest, bytes calldata signature) public view returns (bool) {
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
        Channel.State storage channel = _channel(payer, provider, sessionKey);
        return (channel.cap, channel.settled, channel.closesAt, channel.epoch);
    }

    /// @inheritdoc IMarket
    function balanceOf(address provider) external view returns (uint128) {
        return _books[provider].balance;
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev Opens a channel with `cap` or raises its cap to it.
    function _raise(address payer, address provider, address sessionKey, uint96 cap) private {
        Channel.State storage channel = _channel(payer, provider, sessionKey);
        ChannelId id = Hash.channelId(payer, provider, sessionKey, channel.epoch);

        uint96 added = channel.raise(cap);
        _accounts[payer].draw(added);

        if (added == cap) emit ChannelOpened(id, payer, provider, sessionKey, channel.epoch, cap);
        else emit CapRaised(id, cap);
    }

    /// @dev Whether a grant can be met, and why not. The cheap questions come first.
    function _canMeet(bytes32 separator, Grant calldata grant, bytes calldata signature)
        private
        view
        returns (bool, Skip)
    {
        if (grant.deadline <= _now()) return (false, Skip.EXPIRED);
        Channel.State storage channel = _channel(grant.payer, grant.provider, grant.sessionKey);
        if (channel.epoch != grant.epoch || grant.epoch == Channel.LAST_EPOCH) return (false, Skip.STALE_EPOCH);
        if (channel.closesAt != 0) return (false, Skip.CHANNEL_CLOSING);
        if (grant.cap <= channel.cap) return (false, Skip.NOT_GREATER);
        if (grant.cap - channel.cap > _accounts[grant.payer].available()) return (false, Skip.INSUFFICIENT_FREE);

        bytes32 digest = MessageHashUtils.toTypedDataHash(separator, Hash.grant(grant));
        if (Signature.isBy(grant.payer, digest, signature)) return (true, Skip(0));
        if (grant.payer.code.length == 0) return (false, Skip.BAD_SIGNATURE);
        // A call to itself is the way to give the payer's contract a limit, and never to fail on its answer.
        try this.isSignedBy{gas: ERC1271_GAS}(grant.payer, digest, signature) returns (bool signed) {
            return (signed, Skip.BAD_SIGNATURE);
        } catch {
            return (false, Skip.BAD_SIGNATURE);
        }
    }

    /// @dev Pays one row, or says why not. The cheap questions come first.
    function _settle(bytes32 separator, address provider, Row calldata row) private returns (uint96 amount) {
        Channel.State storage channel = _channel(row.payer, provider, row.sessionKey);
        ChannelId id = Hash.channelId(row.payer, provider, row.sessionKey, row.epoch);
        if (row.epoch != channel.epoch) return _skip(id, Skip.STALE_EPOCH);
        uint96 total = channel.entitled(row.cumulativeAmount);
        if (total <= channel.settled) return _skip(id, Skip.NOT_GREATER);
        bytes32 voucher = Hash.voucher(id, row.cumulativeAmount, row.acknowledgementHash);
        if (!Signature.isBy(row.sessionKey, MessageHashUtils.toTypedDataHash(separator, voucher), row.r, row.vs)) {
            return _skip(id, Skip.BAD_SIGNATURE);
        }

        amount = channel.settle(total);

        emit Settled(id, total, row.acknowledgementHash);
    }

    function _skip(ChannelId id, Skip reason) private returns (uint96) {
        emit RowSkipped(id, reason);
        return 0;
    }

    /// @dev The caller's atoms come in, as many as were asked for: an asset that keeps some is refused.
    function _pull(uint96 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 before = ASSET.balanceOf(address(this));
        ASSET.safeTransferFrom(msg.sender, address(this), amount);
        uint256 brought = ASSET.balanceOf(address(this)) - before;
        if (brought != amount) revert AssetMismatch(amount, brought);
    }

    function _channel(address payer, address provider, address sessionKey)
        private
        view
        returns (Channel.State storage)
    {
        return _channels[Hash.channelKey(payer, provider, sessionKey)];
    }

    function _requireSigner(address expected, bytes32 structHash, bytes calldata signature) private view {
        address actual = Signature.recover(_hashTypedDataV4(structHash), signature);
        if (actual != expected || actual == address(0)) revert WrongSigner(expected, actual);
    }

    function _requireWithin(uint256 lowest, uint256 highest, uint256 actual) private pure {
        if (actual < lowest || actual > highest) revert OutOfBounds(lowest, highest, actual);
    }

    function _now() private view returns (uint40) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint40(block.timestamp); // Lasts for 34,000 years.
    }
}
