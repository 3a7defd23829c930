// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ChannelId, IMarket} from "../../src/interfaces/IMarket.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {TestAsset} from "../../src/TestAsset.sol";
import {Wallet} from "../mocks/Wallets.sol";
import {bound, vm} from "../Vm.sol";

/// @notice Plays payers, providers, the arbiter and strangers, and keeps books of its own.
/// @dev Each function is one call that a run may make. None reverts: what must fail is tried, and its failing asserted.
contract Handler {
    uint256 private constant PAYERS = 3;
    uint256 private constant PROVIDERS = 2;
    uint256 private constant SESSIONS = 1;
    uint96 private constant MOST = 1_000e6;

    IMarket private immutable MARKET;
    TestAsset private immutable ASSET;
    address private immutable ARBITER;
    address private immutable WALLET;
    bytes32 private immutable SEPARATOR;

    constructor(IMarket market, TestAsset asset, address arbiter) {
        (MARKET, ASSET, ARBITER) = (market, asset, arbiter);
        WALLET = address(new Wallet(vm.addr(payerKey(PAYERS - 1))));
        SEPARATOR = Hash.domainSeparator(block.chainid, address(market));
    }

    // ------------------------------------------------------------------------------------------------ who

    function payerKey(uint256 i) private pure returns (uint256) {
        return 0x1000 + i % PAYERS;
    }

    function providerKey(uint256 i) private pure returns (uint256) {
        return 0x2000 + i % PROVIDERS;
    }

    function sessionSecret(uint256 i) private pure returns (uint256) {
        return 0x3000 + i % SESSIONS;
    }

    /// @notice The last payer is a contract; its key is its owner's.
    function payerOf(uint256 i) public view returns (address) {
        return i % PAYERS == PAYERS - 1 ? WALLET : vm.addr(payerKey(i));
    }

    function providerOf(uint256 i) public pure returns (address) {
        return vm.addr(providerKey(i));
    }

    function payers() public view returns (address[] memory list) {
        list = new address[](PAYERS);
        for (uint256 i; i < PAYERS; ++i) {
            list[i] = payerOf(i);
        }
    }

    function providers() public pure returns (address[] memory list) {
        list = new address[](PROVIDERS);
        for (uint256 i; i < PROVIDERS; ++i) {
            list[i] = providerOf(i);
        }
    }

    struct Key {
        address payer;
        address provider;
        address sessionKey;
    }

    function keyOf(uint256 seed) private view returns (Key memory) {
        return Key(payerOf(seed), providerOf(seed / PAYERS), vm.addr(sessionSecret(seed / PAYERS / PROVIDERS)));
    }

    /// @dev The first channel from `seed` on that is open, if any: calls that do nothing find nothing.
    function openKeyOf(uint256 seed) private view returns (uint256) {
        for (uint256 i; i < PAYERS * PROVIDERS * SESSIONS; ++i) {
            (uint96 cap,,,) = channelOf(keyOf(seed % 1e18 + i));
            if (cap != 0) return seed % 1e18 + i;
        }
        return seed % 1e18;
    }

    /// @notice Every channel that there can be.
    function keys() public view returns (Key[] memory list) {
        list = new Key[](PAYERS * PROVIDERS * SESSIONS);
        for (uint256 i; i < list.length; ++i) {
            list[i] = keyOf(i);
        }
    }

    // ------------------------------------------------------------------------------------------------ ghosts

    /// @notice Given to the market without a deposit.
    uint256 public donated;
    /// @notice Paid for vouchers of closed epochs. INV-3 says never.
    uint256 public paidForClosedEpochs;
    mapping(address provider => uint256) public everStaked;
    mapping(address provider => uint256) public everUnstaked;
    mapping(address provider => uint256) public everSlashed;
    mapping(address provider => uint256) public everLost;
    mapping(address provider => uint256) public everWon;
    /// @notice Promises broken, by INV-4, or totals that fell, by INV-2.
    uint256 public broken;

    /// @dev The greatest amount of a voucher of the current epoch, by channel id.
    mapping(ChannelId => uint128) private inHand;

    struct Voucher {
        Key key;
        uint24 epoch;
        uint128 amount;
        uint256 session;
    }
    Voucher[] private vouchers;

    struct Seen {
        uint96 settled;
        uint40 closesAt;
        uint24 epoch;
        uint256 promised;
    }

    function idOf(Key memory key, uint24 epoch) private pure returns (ChannelId) {
        return Hash.channelId(key.payer, key.provider, key.sessionKey, epoch);
    }

    function look() private view returns (Seen[] memory seen) {
        Key[] memory all = keys();
        seen = new Seen[](all.length);
        for (uint256 i; i < all.length; ++i) {
            (uint96 cap, uint96 settled, uint40 closesAt, uint24 epoch) = channelOf(all[i]);
            uint256 amount = inHand[idOf(all[i], epoch)];
            seen[i] = Seen(settled, closesAt, epoch, amount < cap ? amount : cap);
        }
    }

    function channelOf(Key memory key) private view returns (uint96, uint96, uint40, uint24) {
        return MARKET.channelOf(key.payer, key.provider, key.sessionKey);
    }

    /// @dev INV-2 and INV-4, around every call. `byProvider`: the provider itself signed for what happens.
    modifier watched(bool byProvider) {
        Seen[] memory before = look();
        _;
        Seen[] memory after_ = look();
        for (uint256 i; i < before.length; ++i) {
            if (after_[i].epoch == before[i].epoch) {
                if (after_[i].settled < before[i].settled) ++broken;
                if (after_[i].promised < before[i].promised) ++broken;
            } else {
                bool noticeOver = before[i].closesAt != 0 && before[i].closesAt <= block.timestamp;
                if (after_[i].epoch != before[i].epoch + 1 || !(noticeOver || byProvider)) ++broken;
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ signing

    function digest(bytes32 structHash) private view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(SEPARATOR, structHash);
    }

    function sign(uint256 secret, bytes32 structHash) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest(structHash));
        return abi.encodePacked(r, s, v);
    }

    // ------------------------------------------------------------------------------------------------ accounts

    function fund(address owner, uint96 amount) private {
        ASSET.mint(owner, amount);
        vm.prank(owner);
        ASSET.approve(address(MARKET), amount);
    }

    function deposit(uint256 who, uint256 for_, uint96 amount) external watched(false) {
        amount = uint96(bound(amount, 1, MOST));
        address caller = payerOf(who);
        fund(caller, amount);
        vm.prank(caller);
        MARKET.deposit(payerOf(for_), amount);
    }

    function requestExit(uint256 who, uint96 amount) external watched(false) {
        (uint96 free,,) = MARKET.accountOf(payerOf(who));
        if (free == 0) return;
        vm.prank(payerOf(who));
        MARKET.requestExit(uint96(bound(amount, 1, free)));
    }

    function exit(uint256 who) external watched(false) {
        (, uint96 exiting, uint40 exitsAt) = MARKET.accountOf(payerOf(who));
        bool due = exiting != 0 && exitsAt <= block.timestamp;
        try MARKET.exit(payerOf(who)) {
            vm.assertTrue(due, "exit before its time");
        } catch {
            vm.assertFalse(due, "exit refused");
        }
    }

    // ------------------------------------------------------------------------------------------------ stakes

    function stake(uint256 who, uint96 amount) external watched(false) {
        amount = uint96(bound(amount, 1, MOST));
        address provider = providerOf(who);
        fund(provider, amount);
        vm.prank(provider);
        MARKET.stake(amount);
        everStaked[provider] += amount;
    }

    function requestUnstake(uint256 who, uint96 amount) external watched(false) {
        (uint96 staked,,,) = MARKET.stakeOf(providerOf(who));
        if (staked == 0) return;
        vm.prank(providerOf(who));
        MARKET.requestUnstake(uint96(bound(amount, 1, staked)));
    }

    function unstake(uint256 who) external watched(false) {
        address provider = providerOf(who);
        (, uint96 exiting, uint40 exitsAt,) = MARKET.stakeOf(provider);
        bool due = exiting != 0 && exitsAt <= block.timestamp;
        try MARKET.unstake(provider) {
            vm.assertTrue(due, "unstake before its time");
            everUnstaked[provider] += exiting;
        } catch {
            vm.assertFalse(due, "unstake refused");
        }
    }

    function slash(uint256 who, uint256 recipient, uint96 amount) external watched(false) {
        address provider = providerOf(who);
        amount = uint96(bound(amount, 0, 2 * MOST));
        uint256 before = stakeOf(provider);
        vm.prank(ARBITER);
        MARKET.slash(provider, amount, providerOf(recipient));
        everSlashed[provider] += before - stakeOf(provider);
    }

    /// @dev A verdict of the arbiter's; INV-10 after it.
    function award(uint256 who, uint256 to, uint96 amount) external watched(false) {
        (address loser, address winner) = (providerOf(who), providerOf(to));
        uint256 before = stakeOf(loser);
        uint256 held = ASSET.balanceOf(ARBITER);
        vm.prank(ARBITER);
        (uint96 toWinner, uint96 toArbiter) = MARKET.award(loser, winner, uint96(bound(amount, 0, 2 * MOST)));
        uint256 taken = uint256(toWinner) + toArbiter;
        if (taken > before / 4_000 || toArbiter != taken / 8) ++broken;
        if (ASSET.balanceOf(ARBITER) - held != toArbiter) ++broken;
        everLost[loser] += taken;
        everWon[winner] += toWinner;
    }

    function stakeOf(address provider) public view returns (uint256) {
        (uint96 staked, uint96 exiting,,) = MARKET.stakeOf(provider);
        return uint256(staked) + exiting;
    }

    // ------------------------------------------------------------------------------------------------ channels

    function open(uint256 seed, uint96 added) external watched(false) {
        Key memory key = keyOf(seed);
        (uint96 cap,, uint40 closesAt,) = channelOf(key);
        (uint96 free, uint96 exiting,) = MARKET.accountOf(key.payer);
        if (closesAt != 0) return;
        if (free + exiting == 0) {
            fund(key.payer, MOST);
            vm.prank(key.payer);
            MARKET.deposit(key.payer, MOST);
            free = MOST;
        }
        IMarket.Opening[] memory openings = new IMarket.Opening[](1);
        openings[0] = IMarket.Opening(key.provider, key.sessionKey, cap + uint96(bound(added, 1, free + exiting)));
        vm.prank(key.payer);
        MARKET.openChannels(openings);
    }

    /// @dev Any cap, any epoch near the current one, by the payer or not.
    function grant(uint256 seed, uint96 cap, uint24 epochsAhead, bool forged) external watched(false) {
        Key memory key = keyOf(seed);
        (,,, uint24 epoch) = channelOf(key);
        IMarket.Grant[] memory grants = new IMarket.Grant[](1);
        grants[0] = IMarket.Grant(
            key.payer,
            key.provider,
            key.sessionKey,
            epoch + epochsAhead % 2,
            uint96(bound(cap, 0, 2 * MOST)),
            uint64(block.timestamp + 1)
        );
        bytes32 structHash = keccak256(abi.encode(Hash.GRANT_TYPE, grants[0]));
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = sign(forged ? 0xBAD : payerKey(seed), structHash);
        uint96 free = freeOf(key.payer);
        MARKET.openChannelsFor(grants, signatures);
        if (forged) vm.assertEq(freeOf(key.payer), free, "a forged grant was met");
    }

    function freeOf(address payer) private view returns (uint96 free) {
        (free,,) = MARKET.accountOf(payer);
    }

    /// @dev A voucher that its provider keeps, for better times or for another epoch.
    function sell(uint256 seed, uint128 amount) external watched(false) {
        seed = openKeyOf(seed);
        Key memory key = keyOf(seed);
        (,,, uint24 epoch) = channelOf(key);
        amount = uint128(bound(amount, 1, 2 * MOST));
        vouchers.push(Voucher(key, epoch, amount, seed / PAYERS / PROVIDERS));
        ChannelId id = idOf(key, epoch);
        if (amount > inHand[id]) inHand[id] = amount;
    }

    function settle(uint256 first, uint256 second, bool forged) external watched(false) {
        if (vouchers.length == 0) return;
        Voucher memory voucher = vouchers[first % vouchers.length];
        address provider = voucher.key.provider;
        IMarket.Row[] memory rows = new IMarket.Row[](2);
        rows[0] = rowOf(voucher, forged);
        rows[1] = rowOf(vouchers[second % vouchers.length], false); // Perhaps another provider's: never paid to this one.

        uint128 before = MARKET.balanceOf(provider);
        uint128 paid = MARKET.settle(provider, rows);
        vm.assertEq(MARKET.balanceOf(provider), uint256(before) + paid, "credited to the provider");
    }

    /// @dev The first voucher after `start` whose epoch is over while its channel is open again: chance would be too slow.
    function replay(uint256 start) external watched(false) {
        for (uint256 i; i < vouchers.length; ++i) {
            Voucher memory voucher = vouchers[(start % vouchers.length + i) % vouchers.length];
            (uint96 cap,,, uint24 epoch) = channelOf(voucher.key);
            if (cap == 0 || voucher.epoch == epoch) continue;
            IMarket.Row[] memory rows = new IMarket.Row[](1);
            rows[0] = rowOf(voucher, false);
            paidForClosedEpochs += MARKET.settle(voucher.key.provider, rows);
            return;
        }
    }

    function rowOf(Voucher memory voucher, bool forged) private view returns (IMarket.Row memory) {
        bytes32 acknowledgement = keccak256(abi.encode(voucher));
        bytes32 structHash = Hash.voucher(idOf(voucher.key, voucher.epoch), voucher.amount, acknowledgement);
        uint256 secret = forged ? 0xBAD : sessionSecret(voucher.session);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest(structHash));
        return IMarket.Row(
            voucher.key.payer,
            voucher.key.sessionKey,
            voucher.epoch,
            voucher.amount,
            acknowledgement,
            r,
            v == 28 ? s | bytes32(uint256(1) << 255) : s
        );
    }

    function close(uint256 seed, uint128 amount, bool byPayer) external watched(true) {
        seed = openKeyOf(seed);
        Key memory key = keyOf(seed);
        (uint96 cap, uint96 settled,, uint24 epoch) = channelOf(key);
        if (cap == 0) return;
        amount = uint128(bound(amount, 0, byPayer ? 2 * MOST : settled));
        bytes memory signature = sign(providerKey(seed / PAYERS), Hash.close(idOf(key, epoch), amount));
        if (byPayer) vm.prank(key.payer);
        MARKET.close(key.payer, key.provider, key.sessionKey, amount, signature);
    }

    function requestClose(uint256 seed) external watched(false) {
        seed = openKeyOf(seed);
        Key memory key = keyOf(seed);
        (uint96 cap,, uint40 closesAt,) = channelOf(key);
        if (cap == 0 || closesAt != 0) return;
        vm.prank(key.payer);
        MARKET.requestClose(key.provider, key.sessionKey);
    }

    function finalizeClose(uint256 seed) external watched(false) {
        Key memory key = keyOf(seed);
        (,, uint40 closesAt,) = channelOf(key);
        bool due = closesAt != 0 && closesAt <= block.timestamp;
        try MARKET.finalizeClose(key.payer, key.provider, key.sessionKey) {
            vm.assertTrue(due, "closed before its time");
        } catch {
            vm.assertFalse(due, "close refused");
        }
    }

    function withdraw(uint256 who) external watched(false) {
        address provider = providerOf(who);
        uint128 balance = MARKET.balanceOf(provider);
        if (balance != 0) vm.assertEq(MARKET.withdraw(provider), balance);
    }

    // ------------------------------------------------------------------------------------------------ strangers

    function donate(uint96 amount) external watched(false) {
        amount = uint96(bound(amount, 0, MOST));
        ASSET.mint(address(MARKET), amount);
        donated += amount;
    }

    /// @dev What a stranger may not do: each of these must fail, whatever the state.
    function trespass(uint256 seed, uint96 amount) external watched(false) {
        Key memory key = keyOf(seed);
        (uint96 cap,,, uint24 epoch) = channelOf(key);
        bytes memory forged = sign(0xBAD, Hash.close(idOf(key, epoch), amount));
        try MARKET.close(key.payer, key.provider, key.sessionKey, amount, forged) {
            ++broken;
        } catch {}
        // Signed by the provider, but over more than is settled: only the payer may.
        bytes memory greedy = sign(providerKey(seed / PAYERS), Hash.close(idOf(key, epoch), type(uint128).max));
        (, uint96 settled,,) = channelOf(key);
        if (cap > settled) {
            try MARKET.close(key.payer, key.provider, key.sessionKey, type(uint128).max, greedy) {
                ++broken;
            } catch {}
        }
        try MARKET.slash(key.provider, amount, address(this)) {
            ++broken;
        } catch {}
        try MARKET.award(key.provider, address(this), amount) {
            ++broken;
        } catch {}
        try MARKET.requestClose(key.provider, key.sessionKey) {
            ++broken;
        } catch {}
    }

    function wait(uint40 time) external watched(false) {
        vm.warp(block.timestamp + bound(time, 1, 3 days));
    }
}
