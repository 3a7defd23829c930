// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {IDuels} from "./interfaces/IDuels.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {SumTree} from "./libraries/SumTree.sol";

/// @title Judges
/// @notice The providers that judge, by their stake, and the drawing of some of them. It knows nothing of duels.
abstract contract Judges is IDuels {
    using SumTree for SumTree.State;

    /// @notice Draws for each seat until it stays empty. Draws of those who may not judge, or sit already, are wasted.
    uint256 private constant DRAWS = 4;
    /// @notice What a judge weighs without having it staked is one part in so many at most: the fine of a vote is a 4,000th,
    /// and a change of the tree costs more than that is worth.
    uint96 private constant SLACK_PARTS = 100;

    /// @param owner Whose judge it is: for good, so that it cannot be another's in one draw and its own in the next.
    /// @param weight Atoms that draws go by.
    /// @param since The block that it enlisted in.
    /// @param slot In the tree, from 1; zero: it never enlisted.
    struct Judge {
        // slot 0
        address owner;
        uint96 weight;
        // slot 1
        uint48 since;
        uint32 slot;
        bool retired;
    }

    mapping(address owner => mapping(address provider => bool)) private _consents;
    mapping(address provider => Judge) private _judges;
    mapping(uint32 slot => address provider) private _slots;
    SumTree.State private _tree;

    /// @inheritdoc IDuels
    function consent(address provider) external {
        _consents[msg.sender][provider] = true;

        emit Consented(msg.sender, provider);
    }

    /// @inheritdoc IDuels
    function enlist(address owner) external {
        Judge storage its = _judges[msg.sender];
        if (its.slot == 0) {
            if (owner != msg.sender && !_consents[owner][msg.sender]) revert NotConsented(owner, msg.sender);
            (its.owner, its.since, its.slot) = (owner, _block(), _tree.append(_block()));
            _slots[its.slot] = msg.sender;

            emit Enlisted(msg.sender, owner, its.slot);
        }
        if (owner != its.owner) revert AlreadyEnlisted(its.owner);
        (uint96 staked,,,) = _market().stakeOf(msg.sender);
        if (staked < _market().minimumStake()) revert NotEnoughStaked(_market().minimumStake(), staked);

        its.retired = false;
        _weigh(msg.sender, its, staked);
    }

    /// @inheritdoc IDuels
    function retire() external {
        Judge storage its = _requireJudge(msg.sender);

        its.retired = true;
        _weigh(msg.sender, its, 0);
    }

    /// @inheritdoc IDuels
    function refresh(address judge) external {
        Judge storage its = _requireJudge(judge);
        (uint96 staked,,,) = _market().stakeOf(judge);

        _refresh(judge, its, staked);
    }

    /// @inheritdoc IDuels
    function judgeOf(address provider) external view returns (address owner, uint96 weight, uint32 slot) {
        Judge storage its = _judges[provider];
        return (its.owner, its.weight, its.slot);
    }

    /// @inheritdoc IDuels
    function judgeAt(uint32 slot) external view returns (address) {
        return _slots[slot];
    }

    /// @inheritdoc IDuels
    function weightsAt(uint48 blockNumber) external view returns (uint256 total, uint32 slots) {
        return _tree.wholeAt(blockNumber);
    }

    /// @inheritdoc IDuels
    function draw(bytes32 seed, uint48 blockNumber, uint256 seats, address[] calldata parties)
        external
        view
        returns (address[] memory)
    {
        return _draw(seed, blockNumber, seats, parties);
    }

    // ------------------------------------------------------------------------------------------------ inside

    function _market() internal view virtual returns (IMarket);

    /// @notice Up to `seats` judges by `seed`, as the judges were at the end of block `at_`: one of an owner, and none of
    /// the parties or of their owners. Zero for a seat that stays empty.
    function _draw(bytes32 seed, uint48 at_, uint256 seats, address[] memory parties)
        internal
        view
        returns (address[] memory judges)
    {
        (uint256 sum, uint32 slots) = _tree.wholeAt(at_);
        judges = new address[](seats);
        if (sum == 0) return judges;

        address[] memory excluded = new address[](2 * parties.length + seats);
        for (uint256 i; i < parties.length; ++i) {
            (excluded[2 * i], excluded[2 * i + 1]) = (parties[i], _ownerAt(at_, parties[i]));
        }
        uint256 filled;
        for (uint256 i; i < DRAWS * seats && filled < seats; ++i) {
            uint256 number = uint256(keccak256(abi.encode(seed, i))) % sum;
            address judge = _slots[_tree.find(at_, slots, number)];
            address owner = _judges[judge].owner;
            if (_isAmong(excluded, judge) || _isAmong(excluded, owner)) continue;
            judges[filled] = judge;
            excluded[2 * parties.length + filled] = owner;
            ++filled;
        }
    }

    /// @dev Who enlisted since cannot choose by its owner whom it excludes.
    function _ownerAt(uint48 blockNumber, address provider) private view returns (address) {
        Judge storage its = _judges[provider];
        return its.slot != 0 && its.since <= blockNumber ? its.owner : provider;
    }

    function _isAmong(address[] memory list, address one) private pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == one) return true;
        }
        return false;
    }

    function _requireJudge(address judge) private view returns (Judge storage its) {
        its = _judges[judge];
        if (its.slot == 0) revert NotEnlisted(judge);
    }

    function _refresh(address judge, Judge storage its, uint96 staked) private {
        _weigh(judge, its, its.retired || staked < _market().minimumStake() ? 0 : staked);
    }

    /// @dev After whatever this contract took of a stake: the market tells of all else.
    function _lighten(address provider) internal {
        Judge storage its = _judges[provider];
        uint96 weight = its.weight;
        if (weight == 0) return;
        (uint96 staked,,,) = _market().stakeOf(provider);
        if (weight - weight / SLACK_PARTS > staked) _refresh(provider, its, staked);
    }

    function _weigh(address judge, Judge storage its, uint96 weight) private {
        if (weight == its.weight) return; // The tree remembers every change for good.
        uint256 total = _tree.set(_block(), its.slot, its.weight, weight);
        its.weight = weight;

        emit Weighed(judge, weight, total);
    }

    function _block() internal view returns (uint48) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint48(block.number); // Lasts for 8,900 years of a thousand blocks a second.
    }
}
