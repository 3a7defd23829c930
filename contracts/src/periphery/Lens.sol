// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ChannelId, IMarket} from "../interfaces/IMarket.sol";
import {Channel} from "../libraries/Channel.sol";
import {Hash} from "../libraries/Hash.sol";

/// @title Lens
/// @notice Reads of a market in batches, and every hash and proof as the contracts compute it. It holds nothing: one
/// lens serves every market of a chain, and any number of lenses may stand beside one market.
contract Lens {
    // ------------------------------------------------------------------------------------------------ reads

    struct AccountView {
        uint96 free;
        uint96 exiting;
        uint40 exitsAt;
    }

    struct ProviderView {
        uint96 staked;
        uint96 exiting;
        uint40 exitsAt;
        address receiptKey;
        uint64 latestSequence;
        uint64 minimumSequence;
        uint128 balance;
    }

    struct ChannelKey {
        address payer;
        address provider;
        address sessionKey;
    }

    struct ChannelView {
        ChannelId channelId;
        uint96 cap;
        uint96 settled;
        uint40 closesAt;
        uint24 epoch;
        Channel.Status status;
    }

    function accounts(IMarket market, address[] calldata payers) external view returns (AccountView[] memory views) {
        views = new AccountView[](payers.length);
        for (uint256 i; i < payers.length; ++i) {
            (views[i].free, views[i].exiting, views[i].exitsAt) = market.accountOf(payers[i]);
        }
    }

    function providers(IMarket market, address[] calldata addresses)
        external
        view
        returns (ProviderView[] memory views)
    {
        views = new ProviderView[](addresses.length);
        for (uint256 i; i < addresses.length; ++i) {
            ProviderView memory its = views[i];
            (its.staked, its.exiting, its.exitsAt, its.receiptKey) = market.stakeOf(addresses[i]);
            (its.latestSequence, its.minimumSequence) = market.offersOf(addresses[i]);
            its.balance = market.balanceOf(addresses[i]);
        }
    }

    /// @notice The channels in their current epochs, each with its status as of this block.
    function channels(IMarket market, ChannelKey[] calldata keys) external view returns (ChannelView[] memory views) {
        views = new ChannelView[](keys.length);
        for (uint256 i; i < keys.length; ++i) {
            ChannelKey calldata key = keys[i];
            Channel.State memory state;
            (state.cap, state.settled, state.closesAt, state.epoch) =
                market.channelOf(key.payer, key.provider, key.sessionKey);
            views[i] = ChannelView(
                Hash.channelId(key.payer, key.provider, key.sessionKey, state.epoch),
                state.cap,
                state.settled,
                state.closesAt,
                state.epoch,
                // forge-lint: disable-next-line(unsafe-typecast)
                Channel.status(state, uint40(block.timestamp)) // Lasts for 34,000 years.
            );
        }
    }

    // ------------------------------------------------------------------------------------------------ hashes

    function domainSeparator(uint256 chainId, address market) external pure returns (bytes32) {
        return Hash.domainSeparator(chainId, market);
    }

    /// @notice What is signed for the message of `structHash`.
    function digest(bytes32 separator, bytes32 structHash) external pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    function channelId(address payer, address provider, address sessionKey, uint24 epoch)
        external
        pure
        returns (ChannelId)
    {
        return Hash.channelId(payer, provider, sessionKey, epoch);
    }

    function hashOffer(IMarket.Offer calldata offer) external pure returns (bytes32) {
        return Hash.offer(offer);
    }

    function hashGrant(IMarket.Grant memory grant) external pure returns (bytes32) {
        return keccak256(abi.encode(Hash.GRANT_TYPE, grant)); // What {Hash-grant} does with less gas.
    }

    function hashReceipt(IMarket.Receipt calldata receipt) external pure returns (bytes32) {
        return Hash.receipt(receipt);
    }

    function hashAcknowledgement(Hash.Acknowledgement calldata acknowledgement) external pure returns (bytes32) {
        return Hash.acknowledgement(acknowledgement);
    }

    function hashVoucher(ChannelId id, uint128 cumulativeAmount, Hash.Acknowledgement calldata acknowledgement)
        external
        pure
        returns (bytes32)
    {
        return Hash.voucher(id, cumulativeAmount, Hash.acknowledgement(acknowledgement));
    }

    function hashClose(ChannelId id, uint128 cumulativeAmount) external pure returns (bytes32) {
        return Hash.close(id, cumulativeAmount);
    }

    /// @notice Whether the receipt of `receiptHash`, a struct hash, is among those that `receiptsRoot` acknowledges.
    function isAcknowledged(bytes32 receiptsRoot, bytes32 receiptHash, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return MerkleProof.verifyCalldata(proof, receiptsRoot, Hash.receiptLeaf(receiptHash));
    }
}
