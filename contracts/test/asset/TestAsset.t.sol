// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract TestAsset_Test is Fixture {
    string private constant FIELDS =
        "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
    bytes32 private constant NONCE = keccak256("nonce");

    function test_MintsForAnyone() external {
        vm.prank(stranger);
        asset.mint(payer, 7e6);
        vm.assertEq(asset.balanceOf(payer), 7e6);
        vm.assertEq(asset.totalSupply(), 7e6);
    }

    function signed(uint256 key, bytes32 structHash) private view returns (uint8 v, bytes32 r, bytes32 s) {
        return vm.sign(key, keccak256(abi.encodePacked("\x19\x01", asset.DOMAIN_SEPARATOR(), structHash)));
    }

    // ------------------------------------------------------------------------------------------------ EIP-2612

    function permit(uint256 key) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        return signed(key, keccak256(abi.encode(kind, payer, provider, 7e6, asset.nonces(payer), START)));
    }

    function test_PermitsOnce() external {
        (uint8 v, bytes32 r, bytes32 s) = permit(PAYER_KEY);
        vm.prank(stranger);
        asset.permit(payer, provider, 7e6, START, v, r, s);
        vm.assertEq(asset.allowance(payer, provider), 7e6);
        vm.assertEq(asset.nonces(payer), 1);

        vm.expectRevert();
        asset.permit(payer, provider, 7e6, START, v, r, s);
    }

    function test_RevertWhen_AnotherSignedThePermit() external {
        (uint8 v, bytes32 r, bytes32 s) = permit(STRANGER_KEY);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, stranger, payer));
        asset.permit(payer, provider, 7e6, START, v, r, s);
    }

    // ------------------------------------------------------------------------------------------------ EIP-3009

    /// @dev Of 7e6 atoms from the payer to the provider, valid in the second of START alone.
    function authorised(uint256 key, string memory name) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 kind = keccak256(abi.encodePacked(name, FIELDS));
        return signed(key, keccak256(abi.encode(kind, payer, provider, 7e6, START - 1, START + 1, NONCE)));
    }

    function transfer(uint8 v, bytes32 r, bytes32 s) private {
        asset.transferWithAuthorization(payer, provider, 7e6, START - 1, START + 1, NONCE, v, r, s);
    }

    function receive_(uint8 v, bytes32 r, bytes32 s) private {
        asset.receiveWithAuthorization(payer, provider, 7e6, START - 1, START + 1, NONCE, v, r, s);
    }

    function test_TransfersAsAuthorisedOnce() external {
        asset.mint(payer, 20e6);
        (uint8 v, bytes32 r, bytes32 s) = authorised(PAYER_KEY, "TransferWithAuthorization");
        vm.prank(stranger);
        transfer(v, r, s);
        vm.assertEq(asset.balanceOf(payer), 13e6);
        vm.assertEq(asset.balanceOf(provider), 7e6);
        vm.assertTrue(asset.authorizationState(payer, NONCE));

        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, payer, NONCE));
        transfer(v, r, s);
    }

    function test_RevertWhen_TheAuthorisationIsNotValidNow() external {
        asset.mint(payer, 20e6);
        (uint8 v, bytes32 r, bytes32 s) = authorised(PAYER_KEY, "TransferWithAuthorization");
        bytes memory refusal =
            abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, START - 1, START + 1);
        vm.warp(START - 1);
        vm.expectRevert(refusal);
        transfer(v, r, s);
        vm.warp(START + 1);
        vm.expectRevert(refusal);
        transfer(v, r, s);
    }

    function test_RevertWhen_AnotherSignedTheAuthorisation() external {
        asset.mint(payer, 20e6);
        (uint8 v, bytes32 r, bytes32 s) = authorised(STRANGER_KEY, "TransferWithAuthorization");
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        transfer(v, r, s);
    }

    function test_TheReceiverReceivesAsAuthorised() external {
        asset.mint(payer, 20e6);
        (uint8 v, bytes32 r, bytes32 s) = authorised(PAYER_KEY, "ReceiveWithAuthorization");
        vm.prank(provider);
        receive_(v, r, s);
        vm.assertEq(asset.balanceOf(provider), 7e6);
    }

    function test_RevertWhen_SomebodyElseReceivesAsAuthorised() external {
        asset.mint(payer, 20e6);
        (uint8 v, bytes32 r, bytes32 s) = authorised(PAYER_KEY, "ReceiveWithAuthorization");
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, provider));
        receive_(v, r, s);
    }
}
