// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ChannelId, IMarket} from "../../src/interfaces/IMarket.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {Lens} from "../../src/periphery/Lens.sol";
import {vm} from "../Vm.sol";
import {Handler} from "./Handler.sol";

/// @notice Plays a provider that cheats, those who report it, and those who would frame an honest one.
/// @dev Both providers name each other's key, which nothing forbids. Only the second one signs what it should not.
contract FraudHandler {
    IMarket private immutable MARKET;
    Handler private immutable CAST;
    Lens private immutable LENS;
    bytes32 private immutable SEPARATOR;
    address private immutable HONEST;
    address private immutable CHEAT;
    uint256 private constant HONEST_KEY = 0x2000;
    uint256 private constant CHEAT_KEY = 0x2001;
    /// @notice What {receiptOf} costs under {offerOf}: both prices are an atom a token.
    uint128 private constant PRICE = 30;

    enum Kind {
        OVERCHARGE,
        RECEIPTS,
        OFFERS
    }

    /// @dev By kind and number, which is a sequence.
    mapping(Kind => mapping(uint64 number => bool)) private proven;

    /// @notice Atoms slashed for fraud.
    mapping(address provider => uint256) public everSlashed;
    /// @notice Atoms credited to reporters.
    uint256 public rewarded;
    /// @notice Reports that went otherwise than INV-7 to INV-9 say.
    uint256 public broken;

    constructor(IMarket market, Handler cast, Lens lens) {
        (MARKET, CAST, LENS) = (market, cast, lens);
        SEPARATOR = Hash.domainSeparator(block.chainid, address(market));
        (HONEST, CHEAT) = (cast.providerOf(0), cast.providerOf(1));
        (address honestKey, address cheatKey) = (vm.addr(HONEST_KEY), vm.addr(CHEAT_KEY));
        vm.prank(HONEST);
        market.setReceiptKey(cheatKey);
        vm.prank(CHEAT);
        market.setReceiptKey(honestKey);
        // Each signs with its own again.
        vm.prank(HONEST);
        market.setReceiptKey(honestKey);
        vm.prank(CHEAT);
        market.setReceiptKey(cheatKey);
    }

    // ------------------------------------------------------------------------------------------------ messages

    function offerOf(address provider, uint64 sequence, uint64 price) private pure returns (IMarket.Offer memory) {
        return IMarket.Offer(provider, sequence, "e", 0, "m", 0, price, price, price, 1, 1, type(uint64).max);
    }

    function receiptOf(address provider, uint64 sequence, uint128 cost) private view returns (IMarket.Receipt memory) {
        bytes32 offerHash = LENS.hashOffer(offerOf(provider, 1, 1e6));
        ChannelId id = Hash.channelId(CAST.payerOf(0), provider, address(this), 7);
        return IMarket.Receipt(id, sequence, offerHash, 0, 0, 0, 20, 5, 10, 1, 0, 0, 0, cost, cost);
    }

    function sign(uint256 secret, bytes32 structHash, bool short) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, MessageHashUtils.toTypedDataHash(SEPARATOR, structHash));
        if (!short) return abi.encodePacked(r, s, v);
        return abi.encodePacked(r, v == 28 ? s | bytes32(uint256(1) << 255) : s);
    }

    function sign(uint256 secret, IMarket.Offer memory offer, bool short) private view returns (bytes memory) {
        return sign(secret, LENS.hashOffer(offer), short);
    }

    function sign(uint256 secret, IMarket.Receipt memory receipt, bool short) private view returns (bytes memory) {
        return sign(secret, LENS.hashReceipt(receipt), short);
    }

    function overcharge(address provider, IMarket.Receipt memory receipt, bytes memory signature)
        private
        returns (bool)
    {
        try MARKET.slashOvercharge(offerOf(provider, 1, 1e6), receipt, signature) {
            return true;
        } catch {
            return false;
        }
    }

    function receipts(
        address provider,
        IMarket.Receipt memory first,
        IMarket.Receipt memory second,
        uint256 secret,
        bool short
    ) private returns (bool) {
        (bytes memory firstSignature, bytes memory secondSignature) =
            (sign(secret, first, short), sign(secret, second, !short));
        try MARKET.slashReceiptEquivocation(
            CAST.payerOf(0), provider, address(this), 7, first, firstSignature, second, secondSignature
        ) {
            return true;
        } catch {
            return false;
        }
    }

    function offers(IMarket.Offer memory first, IMarket.Offer memory second, uint256 secret, bool short)
        private
        returns (bool)
    {
        (bytes memory firstSignature, bytes memory secondSignature) =
            (sign(secret, first, short), sign(secret, second, !short));
        try MARKET.slashOfferEquivocation(first, firstSignature, second, secondSignature) {
            return true;
        } catch {
            return false;
        }
    }

    // ------------------------------------------------------------------------------------------------ calls

    /// @dev Anyone reports one of a few frauds, in any form of its proof, as often as it likes. `own`: the cheat itself
    /// does. A cheat that lost its stake mostly stakes anew.
    function report(uint8 kind_, uint64 number, bool short, uint256 who, bool own, uint96 staking) external {
        Kind kind = Kind(kind_ % 3);
        number %= 8;
        if (CAST.stakeOf(CHEAT) == 0 && staking % 4 != 0) CAST.stake(1, staking);
        address reporter = own ? CHEAT : who % 2 == 0 ? HONEST : CAST.payerOf(who);
        uint256 before = CAST.stakeOf(CHEAT);
        uint128 balance = MARKET.balanceOf(reporter);
        vm.startPrank(reporter);
        bool done = prove(kind, number, short);
        vm.stopPrank();

        if (done != (before != 0 && !proven[kind][number])) ++broken; // INV-8
        if (!done) return;
        uint256 reward = MARKET.balanceOf(reporter) - balance;
        if (reward != (own ? 0 : before / 3) || CAST.stakeOf(CHEAT) != 0) ++broken; // INV-7
        proven[kind][number] = true;
        everSlashed[CHEAT] += before;
        rewarded += reward;
    }

    function prove(Kind kind, uint64 number, bool short) private returns (bool) {
        if (kind == Kind.OVERCHARGE) {
            IMarket.Receipt memory receipt = receiptOf(CHEAT, number, PRICE + 1);
            return overcharge(CHEAT, receipt, sign(CHEAT_KEY, receipt, short));
        }
        if (kind == Kind.RECEIPTS) {
            (IMarket.Receipt memory one, IMarket.Receipt memory other) =
                (receiptOf(CHEAT, number, PRICE), receiptOf(CHEAT, number, PRICE - 1));
            return short ? receipts(CHEAT, one, other, CHEAT_KEY, short) : receipts(CHEAT, other, one, CHEAT_KEY, short);
        }
        return offers(offerOf(CHEAT, number, 1e6), offerOf(CHEAT, number, 1e6 + (short ? 1 : 2)), CHEAT_KEY, short);
    }

    /// @dev INV-9: true messages of the honest one, and false ones of the cheat whose key it named, prove nothing.
    function frame(uint64 number, uint128 cost, bool short) external {
        if (CAST.stakeOf(HONEST) == 0) CAST.stake(0, 1); // Nothing would be slashed for the want of it.
        uint256 before = CAST.stakeOf(HONEST);
        IMarket.Receipt memory honest = receiptOf(HONEST, number, cost % (PRICE + 1));
        bool framed = overcharge(HONEST, honest, sign(HONEST_KEY, honest, short));
        framed = receipts(HONEST, honest, honest, HONEST_KEY, short) || framed;
        framed = receipts(HONEST, honest, receiptOf(HONEST, number ^ 1, 0), HONEST_KEY, short) || framed;
        IMarket.Receipt memory cheats = receiptOf(CHEAT, number, PRICE + 1);
        framed = overcharge(HONEST, cheats, sign(CHEAT_KEY, cheats, short)) || framed;
        framed = receipts(HONEST, cheats, receiptOf(CHEAT, number, PRICE), CHEAT_KEY, short) || framed;
        framed = receipts(HONEST, honest, receiptOf(HONEST, number, PRICE + 1), 0xBAD, short) || framed;
        IMarket.Offer memory offer = offerOf(HONEST, number, 1e6);
        framed = offers(offer, offer, HONEST_KEY, short) || framed;
        framed = offers(offer, offerOf(HONEST, number ^ 1, 1e6), HONEST_KEY, short) || framed;
        framed = offers(offer, offerOf(CHEAT, number, 1e6), CHEAT_KEY, short) || framed;
        if (framed || CAST.stakeOf(HONEST) != before) ++broken;
    }

    function withdrawReward(uint256 who) external {
        uint128 balance = MARKET.balanceOf(CAST.payerOf(who));
        if (balance != 0) MARKET.withdraw(CAST.payerOf(who));
    }
}
