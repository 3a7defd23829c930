// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ChannelId, IMarket} from "../interfaces/IMarket.sol";
import {Words} from "./Words.sol";

/// @title Hash
/// @notice The EIP-712 struct hashes of every message that the market's parties sign, and the names of channels.
/// @dev Each type string stands above the function that hashes it; `tests/vectors` holds Python to the same bytes.
/// Every message names, itself or through its channel, the provider it binds, so a key that two providers name
/// cannot carry a signature from one to the other.
library Hash {
    bytes32 internal constant OFFER_TYPE = keccak256(
        "Offer(address provider,uint64 sequence,string endpoint,bytes32 endpointKey,string model,bytes32 modelHash,"
        "uint64 inputPrice,uint64 cachedInputPrice,uint64 outputPrice,uint32 contextLength,uint128 credit,"
        "uint64 validUntil)"
    );

    function offer(IMarket.Offer calldata o) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                OFFER_TYPE,
                o.provider,
                o.sequence,
                keccak256(bytes(o.endpoint)),
                o.endpointKey,
                keccak256(bytes(o.model)),
                o.modelHash,
                o.inputPrice,
                o.cachedInputPrice,
                o.outputPrice,
                o.contextLength,
                o.credit,
                o.validUntil
            )
        );
    }

    bytes32 internal constant GRANT_TYPE =
        keccak256("Grant(address payer,address provider,address sessionKey,uint24 epoch,uint96 cap,uint64 deadline)");

    function grant(IMarket.Grant calldata g) internal pure returns (bytes32) {
        return Words.keccak(GRANT_TYPE, g);
    }

    bytes32 internal constant RECEIPT_TYPE = keccak256(
        "Receipt(bytes32 channelId,uint64 sequence,bytes32 offerHash,bytes32 requestHash,bytes32 responseHash,"
        "bytes32 tokensHash,uint32 inputTokens,uint32 cachedInputTokens,uint32 outputTokens,uint8 finish,"
        "uint64 receivedAt,uint64 firstTokenAt,uint64 finishedAt,uint128 cost,uint128 cumulativeCost)"
    );

    function receipt(IMarket.Receipt calldata r) internal pure returns (bytes32) {
        // Every field is one word, so the encoding of the struct is that of its fields.
        return keccak256(abi.encode(RECEIPT_TYPE, r));
    }

    /// @notice A receipt's leaf under `receiptsRoot`: hashed twice, so that no inner node can pass for one.
    function receiptLeaf(bytes32 receiptHash) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(receiptHash))));
    }

    bytes32 internal constant ACKNOWLEDGEMENT_TYPE =
        keccak256("Acknowledgement(uint64 receiptCount,bytes32 receiptsRoot,bytes32 requestHash,uint64 requestNonce)");

    /// @notice What a voucher acknowledges, and the request that it came with.
    /// @param receiptsRoot Merkle root over the struct hashes of the channel's first `receiptCount` receipts.
    struct Acknowledgement {
        uint64 receiptCount;
        bytes32 receiptsRoot;
        bytes32 requestHash;
        uint64 requestNonce;
    }

    function acknowledgement(Acknowledgement calldata a) internal pure returns (bytes32) {
        return keccak256(abi.encode(ACKNOWLEDGEMENT_TYPE, a));
    }

    bytes32 internal constant VOUCHER_TYPE = keccak256(
        "Voucher(bytes32 channelId,uint128 cumulativeAmount,Acknowledgement acknowledgement)"
        "Acknowledgement(uint64 receiptCount,bytes32 receiptsRoot,bytes32 requestHash,uint64 requestNonce)"
    );

    /// @dev The acknowledgement comes hashed: settling needs one word of it, whatever it holds.
    function voucher(ChannelId id, uint128 cumulativeAmount, bytes32 acknowledgementHash)
        internal
        pure
        returns (bytes32)
    {
        return Words.keccak(
            uint256(VOUCHER_TYPE), uint256(ChannelId.unwrap(id)), cumulativeAmount, uint256(acknowledgementHash)
        );
    }

    bytes32 internal constant CLOSE_TYPE = keccak256("Close(bytes32 channelId,uint128 cumulativeAmount)");

    function close(ChannelId id, uint128 cumulativeAmount) internal pure returns (bytes32) {
        return Words.keccak(uint256(CLOSE_TYPE), uint256(ChannelId.unwrap(id)), cumulativeAmount);
    }

    bytes32 internal constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    /// @notice The separator of the market at `market` on chain `chainId`, for those who are not that market.
    function domainSeparator(uint256 chainId, address market) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, keccak256("Tallystick"), keccak256("1"), chainId, market));
    }

    /// @notice Names one life of one channel: what vouchers and receipts are signed for.
    function channelId(address payer, address provider, address sessionKey, uint24 epoch)
        internal
        pure
        returns (ChannelId)
    {
        return ChannelId.wrap(Words.keccak(uint160(payer), uint160(provider), uint160(sessionKey), epoch));
    }
}
