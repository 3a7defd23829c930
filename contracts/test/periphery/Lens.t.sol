// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ChannelId} from "../../src/interfaces/IMarket.sol";
import {Channel} from "../../src/libraries/Channel.sol";
import {Words} from "../../src/libraries/Words.sol";
import {Lens} from "../../src/periphery/Lens.sol";
import {Fixture} from "../Fixture.sol";
import {vm} from "../Vm.sol";

contract Lens_Test is Fixture {
    function status() private view returns (Channel.Status) {
        return channel().status;
    }

    function channel() private view returns (Lens.ChannelView memory) {
        Lens.ChannelKey[] memory keys = new Lens.ChannelKey[](1);
        keys[0] = Lens.ChannelKey(payer, provider, sessionKey);
        return lens.channels(market, keys)[0];
    }

    function test_TellsAChannelsStatusByTheClock() external {
        vm.assertTrue(status() == Channel.Status.NONE);
        openSettled(10e6, 4e6);
        vm.assertTrue(status() == Channel.Status.OPEN);
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        vm.assertTrue(status() == Channel.Status.CLOSING);
        vm.warp(START + CLOSE_NOTICE - 1);
        vm.assertTrue(status() == Channel.Status.CLOSING);
        vm.warp(START + CLOSE_NOTICE);
        vm.assertTrue(status() == Channel.Status.CLOSABLE);
        market.finalizeClose(payer, provider, sessionKey);
        vm.assertTrue(status() == Channel.Status.NONE);
        vm.assertEq(ChannelId.unwrap(channel().channelId), ChannelId.unwrap(channelId(1)));
    }

    function test_ReadsInBatches() external {
        stake(provider, MINIMUM_STAKE + 5);
        vm.prank(provider);
        market.requestUnstake(5);
        vm.prank(provider);
        market.setReceiptKey(receiptKey);
        market.postOffer(offerOf(3), sign(RECEIPT_KEY, offerOf(3)));
        openSettled(10e6, 4e6);
        deposit(payer, 7e6);
        vm.prank(payer);
        market.requestExit(2e6);

        address[] memory parties = new address[](2);
        (parties[0], parties[1]) = (payer, provider);
        Lens.AccountView memory account = lens.accounts(market, parties)[0];
        vm.assertEq(account.free, 5e6);
        vm.assertEq(account.exiting, 2e6);
        vm.assertEq(account.exitsAt, START + EXIT_NOTICE);
        vm.assertEq(lens.accounts(market, parties)[1].free, 0);

        Lens.ProviderView memory its = lens.providers(market, parties)[1];
        vm.assertEq(its.staked, MINIMUM_STAKE);
        vm.assertEq(its.exiting, 5);
        vm.assertEq(its.exitsAt, START + UNSTAKE_NOTICE);
        vm.assertEq(its.receiptKey, receiptKey);
        vm.assertEq(its.latestSequence, 3);
        vm.assertEq(its.minimumSequence, 0);
        vm.assertEq(its.balance, 4e6);

        Lens.ChannelView memory open_ = channel();
        vm.assertEq(open_.cap, 10e6);
        vm.assertEq(open_.settled, 4e6);
        vm.assertEq(open_.epoch, 0);
    }
}

contract Words_Test {
    function testFuzz_HashesAsAbiEncodeDoes(uint256[7] calldata w) external pure {
        bytes memory before = abi.encode(w);
        vm.assertEq(Words.keccak(w[0], w[1], w[2]), keccak256(abi.encode(w[0], w[1], w[2])));
        vm.assertEq(Words.keccak(w[0], w[1], w[2], w[3]), keccak256(abi.encode(w[0], w[1], w[2], w[3])));

        vm.assertEq(keccak256(before), keccak256(abi.encode(w)));
    }
}
