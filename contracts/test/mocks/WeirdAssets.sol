// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {TestAsset} from "../../src/TestAsset.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";

// One contract for each assumption of the market on its asset, which breaks it.

/// @notice Keeps a hundredth of every transfer.
contract FeeAsset is TestAsset {
    address private constant COLLECTOR = address(0xFEE);

    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0) || amount < 100) return super._update(from, to, amount);
        super._update(from, to, amount - amount / 100);
        super._update(from, COLLECTOR, amount / 100);
    }
}

/// @notice Sends one more than it was told to, when it has it.
contract BonusAsset is TestAsset {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0)) _mint(to, 1);
    }
}

/// @notice Changes balances by itself.
contract RebasingAsset is TestAsset {
    function lose(address from, uint256 amount) external {
        _burn(from, amount);
    }
}

/// @notice Returns false where others revert.
contract FalseAsset is TestAsset {
    bool public broken;

    function breakDown() external {
        broken = true;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return !broken && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return !broken && super.transferFrom(from, to, amount);
    }
}

/// @notice Returns nothing at all, as some old assets do.
contract MuteAsset is TestAsset {
    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount);
        assembly {
            return(0, 0)
        }
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        super.transferFrom(from, to, amount);
        assembly {
            return(0, 0)
        }
    }
}

/// @notice Calls whoever receives or sends, in the middle of a transfer.
contract HookedAsset is TestAsset {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (to.code.length != 0 && to != msg.sender) _call(to);
        if (from.code.length != 0 && from != msg.sender) _call(from);
    }

    function _call(address party) private {
        (bool ok, bytes memory why) = party.call(abi.encodeCall(Thief.hook, ()));
        if (!ok) {
            assembly {
                revert(add(why, 0x20), mload(why))
            }
        }
    }
}

/// @notice Re-enters the market once with a call of its choice, and remembers what came of it.
contract Thief {
    IMarket private immutable MARKET;
    bytes private again;
    bool public succeeded;

    constructor(IMarket market, TestAsset asset) {
        MARKET = market;
        asset.approve(address(market), type(uint256).max);
    }

    function act(bytes calldata first, bytes calldata then) external {
        again = then;
        _do(first);
    }

    function hook() external {
        if (again.length == 0) return;
        bytes memory call = again;
        delete again;
        // solhint-disable-next-line avoid-low-level-calls
        (succeeded,) = address(MARKET).call(call);
    }

    function _do(bytes memory call) private {
        (bool ok, bytes memory why) = address(MARKET).call(call);
        if (!ok) {
            assembly {
                revert(add(why, 0x20), mload(why))
            }
        }
    }
}
