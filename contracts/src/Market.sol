// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IArbiter} from "./interfaces/IArbiter.sol";
import {ChannelId, IMarket} from "./interfaces/IMarket.sol";
import {Account} from "./libraries/Account.sol";
import {Book} from "./libraries/Book.sol";
import {Channel} from "./libraries/Channel.sol";
import {Fraud} from "./libraries/Fraud.sol";
import {Hash} from "./libraries/Hash.sol";
import {Signature} from "./libraries/Signature.sol";
import {Stake} from "./libraries/Stake.sol";
import {MarketState} from "./MarketState.sol";

/// @title Market
/// @notice The one contract that holds money. It checks who asks, calls the concept's library, emits, and pays.
/// @dev What it assumes of the asset, each broken by a contract in `test/mocks/WeirdAssets.sol`:
///  - it moves exactly as many atoms as it is told to (deposits and stakes check; a fee refuses them);
///  - balances change by transfers alone (a rebase would break INV-1: choose no such asset);
///  - a transfer that fails reverts or returns false.
/// There is no re-entrancy guard, because there is nothing for one to guard: every function writes its state before
/// it calls the asset or the arbiter, a payer's ERC-1271 contract is only ever called statically, and an asset that re-enters in the
/// middle of a deposit fails the check of what that deposit brought.
contract Market is MarketState {
    using Account for Account.State;
    using Book for Book.State;
    using Channel for Channel.State;
    using Fraud for Fraud.State;
    using SafeERC20 for IERC20;
    using Stake for Stake.State;

    /// @notice Gas that one payer's ERC-1271 contract may burn: enough for a passkey, too little to sink a batch.
    uint256 internal constant ERC1271_GAS = 500_000;
    /// @notice Gas that the arbiter may burn when it is told: a node of a tree for each doubling of its judges, and some.
    uint256 internal constant ARBITER_GAS = 1_000_000;
    /// @notice Where burnt stake goes. ERC-20 assets refuse the zero address; nobody has the key of this one.
    address internal constant BURNT = 0x000000000000000000000000000000000000dEaD;

    constructor(
        address asset_,
        address arbiter_,
        uint96 minimumStake_,
        uint40 exitNotice_,
        uint40 closeNotice_,
        uint40 unstakeNotice_
    ) MarketState(asset_, arbiter_, minimumStake_, exitNotice_, closeNotice_, unstakeNotice_) {}

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

        _tellArbiter(msg.sender);
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

        _books[msg.sender].nameReceiptKey(receiptKey);

        emit ReceiptKeySet(msg.sender, receiptKey);
    }

    /// @inheritdoc IMarket
    function slash(address provider, uint96 amount, address recipient) external {
        if (msg.sender != ARBITER) revert OnlyArbiter(ARBITER, msg.sender);
        Stake.State storage its = _stakes[provider];

        (uint96 reward, uint96 burnt) = its.slash(amount, recipient != address(0));
        _pay(provider, its, recipient, reward, burnt);
    }

    /// @inheritdoc IMarket
    function award(address loser, address winner, uint96 amount) external returns (uint96 toWinner, uint96 toArbiter) {
        if (msg.sender != ARBITER) revert OnlyArbiter(ARBITER, msg.sender);
        Stake.State storage its = _stakes[loser];

        (toWinner, toArbiter) = its.award(amount);
        uint96 staked = _stakes[winner].add(toWinner);

        emit Awarded(loser, winner, toWinner, toArbiter, its.staked, its.exiting, staked);

        ASSET.safeTransfer(ARBITER, toArbiter);
    }

    // ------------------------------------------------------------------------------------------------ fraud

    /// @inheritdoc IMarket
    function slashOvercharge(Offer calldata offer, Receipt calldata receipt, bytes calldata signature) external {
        (bytes32 offerHash, bytes32 receiptHash) = (Hash.offer(offer), Hash.receipt(receipt));
        _requireReceiptKey(offer.provider, receiptHash, signature);

        (bytes32 fraud, uint256 price) = Fraud.requireOvercharge(offer, receipt, offerHash, receiptHash);
        _frauds.prove(fraud);

        emit OverchargeProven(offer.provider, msg.sender, receiptHash, offerHash, price, receipt.cost);
        _slashAll(offer.provider);
    }

    /// @inheritdoc IMarket
    function slashReceiptEquivocation(
        address payer,
        address provider,
        address sessionKey,
        uint24 epoch,
        Receipt calldata first,
        bytes calldata firstSignature,
        Receipt calldata second,
        bytes calldata secondSignature
    ) external {
        ChannelId id = Hash.channelId(payer, provider, sessionKey, epoch);
        (bytes32 firstHash, bytes32 secondHash) = (Hash.receipt(first), Hash.receipt(second));
        _requireReceiptKey(provider, firstHash, firstSignature);
        _requireReceiptKey(provider, secondHash, secondSignature);

        _frauds.prove(Fraud.requireReceiptEquivocation(id, first, second, firstHash, secondHash));

        emit ReceiptEquivocationProven(provider, msg.sender, id, first.sequence, firstHash, secondHash);
        _slashAll(provider);
    }

    /// @inheritdoc IMarket
    function slashOfferEquivocation(
        Offer calldata first,
        bytes calldata firstSignature,
        Offer calldata second,
        bytes calldata secondSignature
    ) external {
        address provider = first.provider;
        (bytes32 firstHash, bytes32 secondHash) = (Hash.offer(first), Hash.offer(second));
        _requireReceiptKey(provider, firstHash, firstSignature);
        _requireReceiptKey(provider, secondHash, secondSignature);

        _frauds.prove(Fraud.requireOfferEquivocation(first, second, firstHash, secondHash));

        emit OfferEquivocationProven(provider, msg.sender, first.sequence, firstHash, secondHash);
        _slashAll(provider);
    }

    // ------------------------------------------------------------------------------------------------ offers

    /// @inheritdoc IMarket
    function postOffer(Offer calldata offer, bytes calldata signature) external returns (bytes32 offerHash) {
        Book.State storage book = _books[offer.provider];
        offerHash = Hash.offer(offer);
        _requireSigner(book.signer(offer.provider), offerHash, signature);

        _stakes[offer.provider].requireAtLeast(MINIMUM_STAKE);
        Book.requirePostable(offer.endpoint, offer.model, offer.validUntil, _now());
        book.post(offer.sequence);

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
        uint256 drawn;
        for (uint256 i; i < openings.length; ++i) {
            drawn += _raise(openings[i].provider, openings[i].sessionKey, openings[i].cap);
        }
        _accounts[msg.sender].requireDraw(drawn);
    }

    /// @inheritdoc IMarket
    function openChannelsFor(Grant[] calldata grants, bytes[] calldata signatures) external {
        if (grants.length != signatures.length) revert LengthMismatch(grants.length, signatures.length);
        bytes32 separator = _separator();
        for (uint256 i; i < grants.length; ++i) {
            _meet(separator, grants[i], signatures[i]);
        }
    }

    /// @inheritdoc IMarket
    function raiseCap(address provider, address sessionKey, uint96 cap) external {
        if (_channels[provider][msg.sender][sessionKey].cap == 0) revert Channel.ChannelNotOpen();
        _accounts[msg.sender].requireDraw(_raise(provider, sessionKey, cap));
    }

    /// @inheritdoc IMarket
    function settle(address provider, Row[] calldata rows) external returns (uint128 amount) {
        mapping(address payer => mapping(address sessionKey => Channel.State)) storage channels = _channels[provider];
        bytes32 separator = _separator();
        uint256 sum;
        for (uint256 i; i < rows.length; ++i) {
            unchecked {
                sum += _settle(channels, separator, provider, rows[i]); // Of numbers of 96 bits, and not 2**160 of them.
            }
        }
        if (sum == 0) return 0;
        uint96 balance = _books[provider].earn(sum);
        // forge-lint: disable-next-line(unsafe-typecast)
        amount = uint128(sum); // Not greater than the balance.
        emit Earned(provider, amount, balance);
    }

    /// @inheritdoc IMarket
    function close(
        address payer,
        address provider,
        address sessionKey,
        uint128 cumulativeAmount,
        bytes calldata providerSignature
    ) external {
        Channel.State storage channel = _channels[provider][payer][sessionKey];
        Book.State storage book = _books[provider];

        // Before the signature is verified, because this reads the epoch that was signed for. A wrong one undoes it.
        (uint24 epoch, uint96 paid, uint96 settled, uint96 returned) = channel.close(cumulativeAmount);
        ChannelId id = Hash.channelId(payer, provider, sessionKey, epoch);
        _requireSigner(book.signer(provider), Hash.close(id, cumulativeAmount), providerSignature);
        if (paid != 0 && msg.sender != payer) revert OnlyPayer(payer, msg.sender);
        _accounts[payer].credit(returned);

        emit ChannelClosed(id, settled, returned);
        if (paid != 0) emit Earned(provider, paid, book.earn(paid));
    }

    /// @inheritdoc IMarket
    function requestClose(address provider, address sessionKey) external {
        Channel.State storage channel = _channels[provider][msg.sender][sessionKey];
        uint40 closesAt = _now() + CLOSE_NOTICE;

        channel.requestClose(closesAt);

        emit CloseRequested(Hash.channelId(msg.sender, provider, sessionKey, channel.epoch), closesAt);
    }

    /// @inheritdoc IMarket
    function finalizeClose(address payer, address provider, address sessionKey) external {
        Channel.State storage channel = _channels[provider][payer][sessionKey];

        channel.requireClosable(_now());
        (uint24 epoch,, uint96 settled, uint96 returned) = channel.close(0);
        ChannelId id = Hash.channelId(payer, provider, sessionKey, epoch);
        _accounts[payer].credit(returned);

        emit ChannelClosed(id, settled, returned);
    }

    /// @inheritdoc IMarket
    function withdraw(address provider) external returns (uint128 amount) {
        amount = _books[provider].withdraw();

        emit Withdrawn(provider, amount);

        ASSET.safeTransfer(provider, amount);
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev Opens one of the caller's channels with `cap`, or raises its cap to it. What this adds is still to be drawn.
    function _raise(address provider, address sessionKey, uint96 cap) private returns (uint96 added) {
        Channel.State storage channel = _channels[provider][msg.sender][sessionKey];
        uint24 epoch = channel.epoch;

        channel.requireRaisable(cap);
        added = channel.raise(cap);

        ChannelId id = Hash.channelId(msg.sender, provider, sessionKey, epoch);
        if (added == cap) emit ChannelOpened(id, msg.sender, provider, sessionKey, epoch, cap);
        else emit CapRaised(id, cap);
    }

    /// @dev Meets a grant, or says why not. The cheap questions come first.
    function _meet(bytes32 separator, Grant calldata grant, bytes calldata signature) private {
        (address payer, address provider, address sessionKey) = (grant.payer, grant.provider, grant.sessionKey);
        (uint24 epoch, uint96 cap, uint64 deadline) = (grant.epoch, grant.cap, grant.deadline);
        Channel.State storage channel = _channels[provider][payer][sessionKey];
        if (deadline <= _now()) return _skip(grant, Skip.EXPIRED);
        if (epoch != channel.epoch) return _skip(grant, Skip.STALE_EPOCH);
        if (channel.closesAt != 0) return _skip(grant, Skip.CHANNEL_CLOSING);
        if (cap <= channel.cap) return _skip(grant, Skip.NOT_GREATER);
        bytes32 digest = MessageHashUtils.toTypedDataHash(separator, Hash.grant(grant));
        if (!Signature.isBy(payer, digest, signature) && !_isSignedByContract(payer, digest, signature)) {
            return _skip(grant, Skip.BAD_SIGNATURE);
        }
        if (!_accounts[payer].draw(channel.missing(cap))) return _skip(grant, Skip.INSUFFICIENT_FREE);

        uint96 added = channel.raise(cap);

        ChannelId id = Hash.channelId(payer, provider, sessionKey, epoch);
        if (added == cap) emit ChannelOpened(id, payer, provider, sessionKey, epoch, cap);
        else emit CapRaised(id, cap);
    }

    function _skip(Grant calldata grant, Skip reason) private {
        emit GrantSkipped(grant.payer, grant.provider, grant.sessionKey, reason);
    }

    /// @dev {hasSigned} for a payer with code, which can neither burn more than {ERC1271_GAS} nor make the batch revert.
    function _isSignedByContract(address payer, bytes32 digest, bytes calldata signature) private view returns (bool) {
        if (payer.code.length == 0) return false;
        // Through itself: the one way to limit the gas without having to trust the form of the answer.
        try this.hasSigned{gas: ERC1271_GAS}(payer, digest, signature) returns (bool signed) {
            return signed;
        } catch {
            return false;
        }
    }

    /// @dev Pays one row, or says why not. The cheap questions come first.
    function _settle(
        mapping(address payer => mapping(address sessionKey => Channel.State)) storage channels,
        bytes32 separator,
        address provider,
        Row calldata row
    ) private returns (uint96) {
        (address payer, address sessionKey, uint24 epoch) = (row.payer, row.sessionKey, row.epoch);
        (uint128 amount, bytes32 acknowledgementHash) = (row.cumulativeAmount, row.acknowledgementHash);
        Channel.State storage channel = channels[payer][sessionKey];
        ChannelId id = Hash.channelId(payer, provider, sessionKey, epoch);
        if (epoch != channel.epoch) return _skip(id, Skip.STALE_EPOCH);
        uint96 total = Channel.entitled(channel.cap, amount);
        if (total <= channel.settled) return _skip(id, Skip.NOT_GREATER);
        bytes32 digest = MessageHashUtils.toTypedDataHash(separator, Hash.voucher(id, amount, acknowledgementHash));
        if (!Signature.isBy(sessionKey, digest, row.r, row.vs)) return _skip(id, Skip.BAD_SIGNATURE);

        uint96 paid = channel.settle(total);

        emit Settled(id, total, acknowledgementHash);
        return paid;
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

    /// @dev The end of every proof of fraud: all that `provider` has at stake goes, a third of it to the caller.
    function _slashAll(address provider) private {
        Stake.State storage its = _stakes[provider];

        (uint96 reward, uint96 burnt) = its.slashAll(msg.sender != provider);
        _pay(provider, its, msg.sender, reward, burnt);
        _tellArbiter(provider);
    }

    /// @dev Judges are drawn by what they staked: nobody keeps that weight once it asked the stake back. The arbiter can
    /// hold up no provider, and no provider can starve the arbiter of gas.
    function _tellArbiter(address provider) private {
        if (ARBITER.code.length == 0) return;
        uint256 required = ARBITER_GAS + ARBITER_GAS / 32; // A 64th of it stays here.
        if (gasleft() < required) revert GasTooLow(required, gasleft());
        try IArbiter(ARBITER).refresh{gas: ARBITER_GAS}(provider) {} catch {}
    }

    /// @dev Credits and burns what `its` owner, `provider`, was slashed for. The transfer is the last line of every slash
    /// but for the word to the arbiter, which must not come between a proof and what it cost.
    function _pay(address provider, Stake.State storage its, address recipient, uint96 reward, uint96 burnt) private {
        uint96 balance = _books[recipient].earn(reward); // Nothing, where there is none to be paid.

        emit Slashed(provider, recipient, reward, burnt, its.staked, its.exiting);
        if (reward != 0) emit Earned(recipient, reward, balance);

        ASSET.safeTransfer(BURNT, burnt);
    }

    /// @dev Any key that the provider ever named: naming another must not undo what was signed.
    function _requireReceiptKey(address provider, bytes32 structHash, bytes calldata signature) private view {
        address signer = _signer(structHash, signature);
        if (signer == address(0) || !_books[provider].isReceiptKey(provider, signer)) {
            revert NotReceiptKey(provider, signer);
        }
    }

    function _requireSigner(address expected, bytes32 structHash, bytes calldata signature) private view {
        address actual = _signer(structHash, signature);
        if (actual != expected || actual == address(0)) revert WrongSigner(expected, actual);
    }

    /// @dev Zero for nobody's.
    function _signer(bytes32 structHash, bytes calldata signature) private view returns (address) {
        return Signature.recover(MessageHashUtils.toTypedDataHash(_separator(), structHash), signature);
    }
}
