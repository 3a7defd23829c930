// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Market} from "../../src/Market.sol";
import {TestAsset} from "../../src/TestAsset.sol";
import {vm} from "../Vm.sol";

/// @notice halmos's own cheatcodes.
interface Svm {
    function enableSymbolicStorage(address target) external;
    function createBytes(uint256 length, string calldata name) external returns (bytes memory);
}

/// @notice A market in any state.
abstract contract Anything {
    Svm internal constant SVM = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

    Market internal market;
    TestAsset internal asset;

    function setUp() public {
        asset = new TestAsset();
        market = new Market(address(asset), address(0xA), 1, 10 minutes, 1 hours, 1 days);
        asset.mint(address(market), 1 << 100);
        SVM.enableSymbolicStorage(address(market));
    }
}

/// @notice What INV-1 and INV-2 speak of, before a call and after it.
abstract contract Looking is Anything {
    /// @dev One channel, the account behind it and the balance in front of it.
    struct Money {
        uint256 free;
        uint256 exiting;
        uint256 cap;
        uint256 settled;
        uint256 balance;
        uint256 epoch;
        uint256 held;
    }

    /// @dev Some channel that a call may not be about.
    struct Place {
        address payer;
        address provider;
        address sessionKey;
    }

    function look(Place memory place) internal view returns (Money memory it) {
        (it.free, it.exiting,) = market.accountOf(place.payer);
        (it.cap, it.settled,, it.epoch) = market.channelOf(place.payer, place.provider, place.sessionKey);
        it.balance = market.balanceOf(place.provider);
        it.held = asset.balanceOf(address(market));
    }

    /// @dev Two channels and what is beside them, before a call: INV-2 holds for both.
    function begin(Place memory place, Place memory other, uint40 time) internal returns (Money memory, Money memory) {
        vm.warp(time);
        Money memory a = look(place);
        Money memory o = look(other);
        vm.assume(a.settled <= a.cap && o.settled <= o.cap);
        return (a, o);
    }

    /// @dev INV-1 and INV-2 after a call about `at`.
    function end(Place memory place, Money memory a, Place memory other, Money memory o) internal view {
        Money memory b = look(place);
        assert(b.settled <= b.cap);
        assert(b.epoch != a.epoch || b.settled >= a.settled || b.cap == 0);
        assert(sum(b) + a.held == sum(a) + b.held);
        unmoved(place, other, o);
    }

    function unmoved(Place memory place, Place memory other, Money memory o) internal view {
        Money memory p = look(other);
        if (other.payer != place.payer) assert(p.free == o.free && p.exiting == o.exiting);
        if (other.provider != place.provider) assert(p.balance == o.balance);
        if (other.payer != place.payer || other.provider != place.provider || other.sessionKey != place.sessionKey) {
            assert(p.cap == o.cap && p.settled == o.settled && p.epoch == o.epoch);
        }
    }

    function sum(Money memory it) internal pure returns (uint256) {
        return it.free + it.exiting + (it.cap - it.settled) + it.balance;
    }
}

/// @notice INV-1 and INV-2 over every call that moves a channel's money, by induction: from any state in which they
/// hold, any call with any arguments by anybody leaves a state in which they hold, whatever else is stored.
/// @dev `scripts/contracts prove` runs these with halmos; forge does not. INV-1 is a sum over all entries of mappings, so
/// each check shows that the entries touched keep their sum, and that one other entry, any one, stays as it was.
contract Money_Symbolic is Looking {
    // ------------------------------------------------------------------------------------------------ settle

    function check_settle_OneRow(address provider, IMarket.Row memory row, Place memory other, uint40 time) external {
        Place memory place = Place(row.payer, provider, row.sessionKey);
        (Money memory a, Money memory o) = begin(place, other, time);
        IMarket.Row[] memory rows = new IMarket.Row[](1);
        rows[0] = row;

        uint256 amount = market.settle(provider, rows);

        end(place, a, other, o);
        Money memory b = look(place);
        assert(b.settled == a.settled + amount && b.cap == a.cap && b.epoch == a.epoch && b.held == a.held);
        assert(amount == 0 || (row.epoch == a.epoch && b.settled <= row.cumulativeAmount));
    }

    // ------------------------------------------------------------------------------------------------ close

    function check_finalizeClose(Place memory place, address caller, Place memory other, uint40 time) external {
        (Money memory a, Money memory o) = begin(place, other, time);

        vm.prank(caller);
        market.finalizeClose(place.payer, place.provider, place.sessionKey);

        end(place, a, other, o);
        Money memory b = look(place);
        assert(b.free == a.free + a.cap - a.settled && b.balance == a.balance);
    }

    function check_requestClose(Place memory place, Place memory other, uint40 time) external {
        (Money memory a, Money memory o) = begin(place, other, time);

        vm.prank(place.payer);
        market.requestClose(place.provider, place.sessionKey);

        end(place, a, other, o);
        Money memory b = look(place);
        assert(b.cap == a.cap && b.settled == a.settled && b.epoch == a.epoch);
    }

    // ------------------------------------------------------------------------------------------------ grants and caps

    function check_openChannelsFor(IMarket.Grant memory grant, Place memory other, uint40 time) external {
        Place memory place = Place(grant.payer, grant.provider, grant.sessionKey);
        (Money memory a, Money memory o) = begin(place, other, time);
        vm.assume(grant.payer.code.length == 0);
        IMarket.Grant[] memory grants = new IMarket.Grant[](1);
        bytes[] memory signatures = new bytes[](1);
        (grants[0], signatures[0]) = (grant, SVM.createBytes(65, "signature"));

        market.openChannelsFor(grants, signatures);

        end(place, a, other, o);
        Money memory b = look(place);
        assert(
            b.cap == a.cap || (b.cap == grant.cap && b.cap > a.cap && grant.epoch == a.epoch && time < grant.deadline)
        );
        assert(b.settled == a.settled && b.epoch == a.epoch && b.balance == a.balance && b.held == a.held);
    }

    function check_openChannels(Place memory place, uint96 cap, Place memory other, uint40 time) external {
        (Money memory a, Money memory o) = begin(place, other, time);
        IMarket.Opening[] memory openings = new IMarket.Opening[](1);
        openings[0] = IMarket.Opening(place.provider, place.sessionKey, cap);

        vm.prank(place.payer);
        market.openChannels(openings);

        end(place, a, other, o);
        assert(look(place).cap == cap && cap > a.cap);
    }

    function check_raiseCap(Place memory place, uint96 cap, Place memory other, uint40 time) external {
        (Money memory a, Money memory o) = begin(place, other, time);

        vm.prank(place.payer);
        market.raiseCap(place.provider, place.sessionKey, cap);

        end(place, a, other, o);
        assert(look(place).cap == cap && cap > a.cap);
    }
}

/// @notice The same of a signed close, in parts: what becomes of each field, by how much is signed for, and what the
/// fields then come to; and others, by what they do not share. In one piece no run of the prover decided it.
contract Close_Symbolic is Looking {
    // ------------------------------------------------------------------------------------------------ itself

    function check_close_ForNothingNew(Place memory place, uint128 amount, address caller, uint40 time) external {
        Money memory a = start(place, time);
        vm.assume(amount <= a.settled);
        closed(place, amount, caller, a, a.settled);
    }

    function check_close_WithinTheCap(Place memory place, uint128 amount, address caller, uint40 time) external {
        Money memory a = start(place, time);
        vm.assume(amount > a.settled && amount <= a.cap);
        closed(place, amount, caller, a, amount);
    }

    function check_close_AboveTheCap(Place memory place, uint128 amount, address caller, uint40 time) external {
        Money memory a = start(place, time);
        vm.assume(amount > a.cap);
        closed(place, amount, caller, a, a.cap);
    }

    /// @dev INV-1 of what `closed` says: `end` is what the channel paid in all.
    function check_close_Sum(Money memory a, uint96 cap, uint96 settled, uint96 end) external pure {
        vm.assume(settled <= end && end <= cap);
        (a.cap, a.settled) = (cap, settled);
        unchecked {
            uint256 before = a.free + a.exiting + (a.cap - a.settled) + a.balance;
            assert(before == (a.free + (a.cap - end)) + a.exiting + (a.balance + (end - a.settled)));
        }
    }

    function start(Place memory place, uint40 time) private returns (Money memory a) {
        vm.warp(time);
        a = look(place);
        vm.assume(a.settled <= a.cap);
    }

    function closed(Place memory place, uint128 amount, address caller, Money memory a, uint256 end) private {
        close(place, amount, caller);

        Money memory b = look(place);
        unchecked {
            assert(b.cap == 0 && b.settled == 0 && b.held == a.held);
            assert(b.free == a.free + (a.cap - end));
            assert(b.exiting == a.exiting);
            assert(b.balance == a.balance + (end - a.settled));
        }
    }

    // ------------------------------------------------------------------------------------------------ others

    function check_close_OtherPayers(Place memory place, uint128 amount, address caller, Place memory other) external {
        vm.assume(other.payer != place.payer);
        (uint256 free, uint256 exiting,) = market.accountOf(other.payer);

        close(place, amount, caller);

        (uint256 freeAfter, uint256 exitingAfter,) = market.accountOf(other.payer);
        assert(freeAfter == free && exitingAfter == exiting);
    }

    function check_close_OtherProviders(Place memory place, uint128 amount, address caller, address other) external {
        vm.assume(other != place.provider);
        uint256 balance = market.balanceOf(other);

        close(place, amount, caller);

        assert(market.balanceOf(other) == balance);
    }

    function check_close_OtherChannels(Place memory place, uint128 amount, address caller, Place memory other)
        external
    {
        vm.assume(
            other.payer != place.payer || other.provider != place.provider || other.sessionKey != place.sessionKey
        );
        (uint256 cap, uint256 settled,, uint256 epoch) = market.channelOf(other.payer, other.provider, other.sessionKey);

        close(place, amount, caller);

        (uint256 capAfter, uint256 settledAfter,, uint256 epochAfter) =
            market.channelOf(other.payer, other.provider, other.sessionKey);
        assert(capAfter == cap && settledAfter == settled && epochAfter == epoch);
    }

    function close(Place memory place, uint128 amount, address caller) private {
        bytes memory signature = SVM.createBytes(65, "signature");
        vm.prank(caller);
        market.close(place.payer, place.provider, place.sessionKey, amount, signature);
    }
}

/// @notice A settlement of two rows of one channel, which pays for no atom twice: each field apart, as in {Close_Symbolic}.
contract Rows_Symbolic is Looking {
    function check_settle_OneChannelTwice(address provider, IMarket.Row[2] memory rows) external {
        vm.assume(rows[0].payer == rows[1].payer && rows[0].sessionKey == rows[1].sessionKey);
        Place memory place = Place(rows[0].payer, provider, rows[0].sessionKey);
        Money memory a = look(place);
        vm.assume(a.settled <= a.cap);

        IMarket.Row[] memory two = new IMarket.Row[](2);
        (two[0], two[1]) = (rows[0], rows[1]);
        market.settle(provider, two);

        Money memory b = look(place);
        assert(b.free == a.free && b.exiting == a.exiting && b.held == a.held);
        assert(b.cap == a.cap && b.epoch == a.epoch);
        assert(a.settled <= b.settled && b.settled <= b.cap);
        unchecked {
            assert(b.balance == a.balance + (b.settled - a.settled));
        }
    }
}

/// @notice False on purpose: a prover that proves this proves nothing.
contract Liar_Symbolic is Anything {
    function check_settleNeverPays(address provider, IMarket.Row memory row) external {
        IMarket.Row[] memory rows = new IMarket.Row[](1);
        rows[0] = row;
        assert(market.settle(provider, rows) == 0);
    }
}
