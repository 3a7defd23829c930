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

/// @notice The same of a signed close, which no run of the prover has been seen to decide: `prove` leaves it out.
/// @dev In two halves, what the call is about and others, because both together are more still.
contract Close_Symbolic is Looking {
    function check_close_Itself(Place memory place, uint128 amount, address caller, uint40 time) external {
        (Money memory a,) = begin(place, place, time);
        bytes memory signature = SVM.createBytes(65, "signature");

        vm.prank(caller);
        market.close(place.payer, place.provider, place.sessionKey, amount, signature);

        Money memory b = look(place);
        assert(sum(b) + a.held == sum(a) + b.held);
        assert(b.cap == 0 && b.settled == 0 && b.balance >= a.balance && b.held == a.held);
        assert(b.balance == a.balance || b.balance + a.settled <= a.balance + amount);
    }

    function check_close_Others(Place memory place, uint128 amount, address caller, Place memory other, uint40 time)
        external
    {
        (, Money memory o) = begin(place, other, time);
        bytes memory signature = SVM.createBytes(65, "signature");

        vm.prank(caller);
        market.close(place.payer, place.provider, place.sessionKey, amount, signature);

        unmoved(place, other, o);
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
