// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ChannelId, IMarket} from "../src/interfaces/IMarket.sol";
import {Hash} from "../src/libraries/Hash.sol";
import {Lens} from "../src/periphery/Lens.sol";
import {TestAsset} from "../src/TestAsset.sol";
import {Vm, bound, vm} from "./Vm.sol";

/// @notice A market with one of each party, and the words in which the tests speak of it.
/// @dev Keys are small numbers, named where they are used.
abstract contract Fixture {
    uint96 internal constant MINIMUM_STAKE = 1_000e6;
    uint40 internal constant EXIT_NOTICE = 1 days;
    uint40 internal constant CLOSE_NOTICE = 2 days;
    uint40 internal constant UNSTAKE_NOTICE = 14 days;
    uint40 internal constant START = 1_800_000_000;

    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant PROVIDER_KEY = 0xB0B;
    uint256 internal constant SESSION_KEY = 0x5E55;
    uint256 internal constant RECEIPT_KEY = 0x4ECE;
    uint256 internal constant STRANGER_KEY = 0x57A4;

    /// @dev Where burnt stake goes.
    address internal constant BURNT = 0x000000000000000000000000000000000000dEaD;

    address internal immutable payer = vm.addr(PAYER_KEY);
    address internal immutable provider = vm.addr(PROVIDER_KEY);
    address internal immutable sessionKey = vm.addr(SESSION_KEY);
    address internal immutable receiptKey = vm.addr(RECEIPT_KEY);
    address internal immutable stranger = vm.addr(STRANGER_KEY);
    address internal immutable arbiter = address(0xA4B1);

    TestAsset internal asset;
    IMarket internal market;
    Lens internal lens;
    bytes32 internal separator;

    function setUp() public virtual {
        vm.warp(START);
        asset = TestAsset(deploy(vm.getCode("out/TestAsset.sol/TestAsset.json")));
        market = newMarket(address(asset));
        lens = new Lens();
        separator = Hash.domainSeparator(block.chainid, address(market));
        vm.label(payer, "payer");
        vm.label(provider, "provider");
        vm.label(stranger, "stranger");
    }

    function newMarket(address asset_) internal returns (IMarket) {
        return newMarket(asset_, MINIMUM_STAKE, EXIT_NOTICE, CLOSE_NOTICE, UNSTAKE_NOTICE);
    }

    /// @dev The market as it ships: tests are compiled in a faster way (see foundry.toml) and do not import it.
    function newMarket(address asset_, uint96 minimumStake, uint40 exitNotice, uint40 closeNotice, uint40 unstakeNotice)
        internal
        returns (IMarket)
    {
        return newMarketOf(asset_, arbiter, minimumStake, exitNotice, closeNotice, unstakeNotice);
    }

    function newMarketOf(
        address asset_,
        address arbiter_,
        uint96 minimumStake,
        uint40 exitNotice,
        uint40 closeNotice,
        uint40 unstakeNotice
    ) internal returns (IMarket) {
        bytes memory arguments = abi.encode(asset_, arbiter_, minimumStake, exitNotice, closeNotice, unstakeNotice);
        return IMarket(deploy(abi.encodePacked(vm.getCode("out/Market.sol/Market.json"), arguments)));
    }

    function deploy(bytes memory code) internal returns (address deployed) {
        assembly {
            deployed := create(0, add(code, 0x20), mload(code))
            if iszero(deployed) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ doing

    function fund(address owner, uint256 amount) internal {
        asset.mint(owner, amount);
        vm.prank(owner);
        asset.approve(address(market), type(uint256).max);
    }

    function deposit(address to, uint96 amount) internal {
        fund(to, amount);
        vm.prank(to);
        market.deposit(to, amount);
    }

    function stake(address from, uint96 amount) internal {
        fund(from, amount);
        vm.prank(from);
        market.stake(amount);
    }

    function open(uint96 cap) internal {
        vm.prank(payer);
        market.openChannels(one(IMarket.Opening(provider, sessionKey, cap)));
    }

    /// @notice A channel with `cap` of which `settled` is paid, and nothing left in the account.
    function openSettled(uint96 cap, uint96 settled) internal {
        deposit(payer, cap);
        open(cap);
        if (settled != 0) market.settle(provider, one(row(settled)));
    }

    // ------------------------------------------------------------------------------------------------ signing

    function digest(bytes32 structHash) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    function sign(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest(structHash));
        return abi.encodePacked(r, s, v);
    }

    function signShort(uint256 key, bytes32 structHash) internal view returns (bytes32 r, bytes32 vs) {
        uint8 v;
        (v, r, vs) = vm.sign(key, digest(structHash));
        if (v == 28) vs |= bytes32(uint256(1) << 255);
    }

    function sign(uint256 key, IMarket.Grant memory grant) internal view returns (bytes memory) {
        return sign(key, lens.hashGrant(grant));
    }

    function sign(uint256 key, IMarket.Offer memory offer) internal view returns (bytes memory) {
        return sign(key, lens.hashOffer(offer));
    }

    function sign(uint256 key, IMarket.Receipt memory receipt) internal view returns (bytes memory) {
        return sign(key, lens.hashReceipt(receipt));
    }

    /// @notice The other signature that ecrecover takes for the same message and key.
    function malleated(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        return abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }

    /// @notice The same signature in the 64 bytes of EIP-2098.
    function shortened(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        return abi.encodePacked(r, v == 28 ? s | bytes32(uint256(1) << 255) : s);
    }

    function split(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        bytes memory words = bytes.concat(signature, new bytes(31));
        uint256 last;
        (r, s, last) = abi.decode(words, (bytes32, bytes32, uint256));
        // forge-lint: disable-next-line(unsafe-typecast)
        v = uint8(last >> 248); // The first of its bytes is all there is.
    }

    // ------------------------------------------------------------------------------------------------ messages

    function channelId(uint24 epoch) internal view returns (ChannelId) {
        return Hash.channelId(payer, provider, sessionKey, epoch);
    }

    function row(uint128 amount) internal view returns (IMarket.Row memory) {
        return rowOf(payer, SESSION_KEY, epochOf(payer, provider, sessionKey), amount);
    }

    function rowOf(address payer_, uint256 key, uint24 epoch, uint128 amount)
        internal
        view
        returns (IMarket.Row memory)
    {
        return rowFor(payer_, provider, key, epoch, amount);
    }

    function rowFor(address payer_, address provider_, uint256 key, uint24 epoch, uint128 amount)
        internal
        view
        returns (IMarket.Row memory)
    {
        address session = vm.addr(key);
        bytes32 acknowledgement = keccak256(abi.encode(session, amount));
        ChannelId id = Hash.channelId(payer_, provider_, session, epoch);
        (bytes32 r, bytes32 vs) = signShort(key, Hash.voucher(id, amount, acknowledgement));
        return IMarket.Row(payer_, session, epoch, amount, acknowledgement, r, vs);
    }

    function grantOf(uint96 cap) internal view returns (IMarket.Grant memory) {
        return IMarket.Grant(
            payer, provider, sessionKey, epochOf(payer, provider, sessionKey), cap, uint64(block.timestamp) + 1 hours
        );
    }

    function offerOf(uint64 sequence) internal view returns (IMarket.Offer memory) {
        return IMarket.Offer({
            provider: provider,
            sequence: sequence,
            endpoint: "https://provider.example:8443",
            endpointKey: keccak256("endpoint key"),
            model: "qwen-3-8b",
            modelHash: keccak256("manifest"),
            inputPrice: 100_000,
            cachedInputPrice: 25_000,
            outputPrice: 400_000,
            contextLength: 32_768,
            credit: 50_000,
            validUntil: uint64(block.timestamp) + 30 days
        });
    }

    /// @notice A true receipt under {offerOf} of one, on the channel's current epoch: it costs 500 atoms, of which rounding made 0.1.
    function receiptOf(uint64 sequence) internal view returns (IMarket.Receipt memory) {
        return IMarket.Receipt({
            channelId: channelId(epochOf(payer, provider, sessionKey)),
            sequence: sequence,
            offerHash: lens.hashOffer(offerOf(1)),
            requestHash: keccak256("request"),
            responseHash: keccak256("response"),
            tokensHash: 0,
            inputTokens: 3_001,
            cachedInputTokens: 1_000,
            outputTokens: 687,
            finish: 1,
            receivedAt: 1_800_000_000_000,
            firstTokenAt: 1_800_000_000_100,
            finishedAt: 1_800_000_000_900,
            cost: 500,
            cumulativeCost: 500
        });
    }

    function closeSignature(uint256 key, uint128 amount) internal view returns (bytes memory) {
        return sign(key, Hash.close(channelId(epochOf(payer, provider, sessionKey)), amount));
    }

    // ------------------------------------------------------------------------------------------------ reading

    function epochOf(address payer_, address provider_, address session) internal view returns (uint24 epoch) {
        (,,, epoch) = market.channelOf(payer_, provider_, session);
    }

    function freeOf(address payer_) internal view returns (uint96 free) {
        (free,,) = market.accountOf(payer_);
    }

    function assertAccount(uint96 free, uint96 exiting, uint40 exitsAt) internal view {
        (uint96 f, uint96 e, uint40 atTime) = market.accountOf(payer);
        vm.assertEq(f, free, "free");
        vm.assertEq(e, exiting, "exiting");
        vm.assertEq(atTime, exitsAt, "exitsAt");
    }

    function assertStake(uint96 staked, uint96 exiting, uint40 exitsAt) internal view {
        (uint96 s, uint96 e, uint40 atTime,) = market.stakeOf(provider);
        vm.assertEq(s, staked, "staked");
        vm.assertEq(e, exiting, "exiting");
        vm.assertEq(atTime, exitsAt, "exitsAt");
    }

    /// @notice Of `taken` atoms slashed, the reporter has a part, and the rest is gone.
    function assertSlashed(uint96 taken, address reporter, uint96 reward) internal view {
        assertStake(0, 0, 0);
        vm.assertEq(market.balanceOf(reporter), reward, "reward");
        vm.assertEq(asset.balanceOf(BURNT), taken - reward, "burnt");
    }

    function assertChannel(uint96 cap, uint96 settled, uint40 closesAt, uint24 epoch) internal view {
        (uint96 c, uint96 s, uint40 atTime, uint24 e) = market.channelOf(payer, provider, sessionKey);
        vm.assertEq(c, cap, "cap");
        vm.assertEq(s, settled, "settled");
        vm.assertEq(atTime, closesAt, "closesAt");
        vm.assertEq(e, epoch, "epoch");
    }

    // ------------------------------------------------------------------------------------------------ lists of one

    function one(IMarket.Opening memory opening) internal pure returns (IMarket.Opening[] memory list) {
        list = new IMarket.Opening[](1);
        list[0] = opening;
    }

    function one(IMarket.Row memory row_) internal pure returns (IMarket.Row[] memory list) {
        list = new IMarket.Row[](1);
        list[0] = row_;
    }

    function one(IMarket.Grant memory grant) internal pure returns (IMarket.Grant[] memory list) {
        list = new IMarket.Grant[](1);
        list[0] = grant;
    }

    function one(bytes memory signature) internal pure returns (bytes[] memory list) {
        list = new bytes[](1);
        list[0] = signature;
    }
}
