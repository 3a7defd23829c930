// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {Fixture} from "../Fixture.sol";
import {BurningWallet, DirtyWallet, RevertingWallet, SilentWallet, VerboseWallet, Wallet} from "../mocks/Wallets.sol";
import {bound, vm} from "../Vm.sol";

contract OpenChannelsFor_Test is Fixture {
    function setUp() public override {
        super.setUp();
        deposit(payer, 100e6);
    }

    function submit(IMarket.Grant memory grant, bytes memory signature) private {
        vm.prank(stranger);
        market.openChannelsFor(one(grant), one(signature));
    }

    function submit(IMarket.Grant memory grant) private {
        submit(grant, sign(PAYER_KEY, grant));
    }

    function expectSkip(IMarket.Grant memory grant, IMarket.Skip reason) private {
        vm.expectEmit(address(market));
        emit IMarket.GrantSkipped(grant.payer, grant.provider, grant.sessionKey, reason);
    }

    function skips(IMarket.Grant memory grant, bytes memory signature, IMarket.Skip reason) private {
        (uint96 cap,,,) = market.channelOf(grant.payer, grant.provider, grant.sessionKey);
        uint96 free = freeOf(grant.payer);
        expectSkip(grant, reason);
        submit(grant, signature);
        (uint96 after_,,,) = market.channelOf(grant.payer, grant.provider, grant.sessionKey);
        vm.assertEq(after_, cap);
        vm.assertEq(freeOf(grant.payer), free);
    }

    function skips(IMarket.Grant memory grant, IMarket.Skip reason) private {
        skips(grant, sign(PAYER_KEY, grant), reason);
    }

    function test_RevertWhen_ThereAreNotAsManySignatures() external {
        IMarket.Grant[] memory grants = one(grantOf(1));
        vm.expectRevert(abi.encodeWithSelector(IMarket.LengthMismatch.selector, 1, 0));
        market.openChannelsFor(grants, new bytes[](0));
    }

    function test_SkipsAnExpiredGrant() external {
        IMarket.Grant memory grant = grantOf(10e6);
        vm.warp(grant.deadline);
        skips(grant, IMarket.Skip.EXPIRED);
        vm.warp(grant.deadline - 1);
        submit(grant);
        assertChannel(10e6, 0, 0, 0);
    }

    function testFuzz_SkipsAnotherEpoch(uint24 epoch) external {
        vm.assume(epoch != 0);
        IMarket.Grant memory grant = grantOf(10e6);
        grant.epoch = epoch;
        skips(grant, IMarket.Skip.STALE_EPOCH);
    }

    /// @dev Closing a channel voids the grants for it that were not submitted.
    function test_SkipsAGrantOfAClosedEpoch() external {
        IMarket.Grant memory grant = grantOf(50e6);
        open(10e6);
        market.close(payer, provider, sessionKey, 0, closeSignature(PROVIDER_KEY, 0));
        skips(grant, IMarket.Skip.STALE_EPOCH);
    }

    function test_SkipsAClosingChannel() external {
        open(10e6);
        vm.prank(payer);
        market.requestClose(provider, sessionKey);
        skips(grantOf(20e6), IMarket.Skip.CHANNEL_CLOSING);
    }

    function testFuzz_SkipsALowerOrEqualCap(uint96 cap) external {
        open(10e6);
        skips(grantOf(uint96(bound(cap, 0, 10e6))), IMarket.Skip.NOT_GREATER);
    }

    function testFuzz_SkipsWhatThePayerDidNotSign(bytes calldata signature) external {
        skips(grantOf(10e6), signature, IMarket.Skip.BAD_SIGNATURE);
    }

    function test_SkipsASignatureThatIsMalleatedOrForAnotherMessage() external {
        IMarket.Grant memory grant = grantOf(10e6);
        skips(grant, malleated(sign(PAYER_KEY, grant)), IMarket.Skip.BAD_SIGNATURE);
        skips(grant, sign(STRANGER_KEY, grant), IMarket.Skip.BAD_SIGNATURE);
        skips(grant, sign(PAYER_KEY, grantOf(10e6 - 1)), IMarket.Skip.BAD_SIGNATURE);
    }

    function test_SkipsASignatureForAnotherMarketOrChain() external {
        IMarket.Grant memory grant = grantOf(10e6);
        bytes32 own = separator;
        separator = Hash.domainSeparator(block.chainid, address(newMarket(address(asset))));
        skips(grant, IMarket.Skip.BAD_SIGNATURE);
        separator = Hash.domainSeparator(block.chainid + 1, address(market));
        skips(grant, IMarket.Skip.BAD_SIGNATURE);

        // After the chain has split, the half with the new number takes what was signed for it, and nothing else.
        vm.chainId(block.chainid + 1);
        submit(grant);
        assertChannel(10e6, 0, 0, 0);
        separator = own;
        skips(grantOf(20e6), IMarket.Skip.BAD_SIGNATURE);
    }

    function test_SkipsTheZeroPayer() external {
        IMarket.Grant memory grant = grantOf(10e6);
        grant.payer = address(0);
        skips(grant, new bytes(65), IMarket.Skip.BAD_SIGNATURE);
    }

    function test_SkipsWhatTheAccountDoesNotHold() external {
        skips(grantOf(100e6 + 1), IMarket.Skip.INSUFFICIENT_FREE);
    }

    function test_MeetsTheOthersOfABatch() external {
        IMarket.Grant[] memory grants = new IMarket.Grant[](3);
        bytes[] memory signatures = new bytes[](3);
        grants[0] = grantOf(10e6);
        grants[1] = grantOf(20e6);
        grants[2] = grantOf(30e6);
        signatures[0] = sign(PAYER_KEY, grants[0]);
        signatures[1] = sign(STRANGER_KEY, grants[1]);
        signatures[2] = shortened(sign(PAYER_KEY, grants[2]));

        vm.expectEmit(address(market));
        emit IMarket.ChannelOpened(channelId(0), payer, provider, sessionKey, 0, 10e6);
        expectSkip(grants[1], IMarket.Skip.BAD_SIGNATURE);
        vm.expectEmit(address(market));
        emit IMarket.CapRaised(channelId(0), 30e6);
        market.openChannelsFor(grants, signatures);
        assertChannel(30e6, 0, 0, 0);
        assertAccount(70e6, 0, 0);
    }

    /// @dev Caps are totals: whatever the order and however often, the greatest counts, once.
    function testFuzz_OrderAndRepetitionDoNotMatter(uint96[5] calldata caps) external {
        uint96 greatest;
        for (uint256 i; i < 5; ++i) {
            uint96 cap = uint96(bound(caps[i], 1, 100e6));
            submit(grantOf(cap));
            submit(grantOf(cap));
            if (cap > greatest) greatest = cap;
        }
        assertChannel(greatest, 0, 0, 0);
        assertAccount(100e6 - greatest, 0, 0);
    }

    /// @dev A payer cannot void a grant, on which a provider may already serve, by asking for its deposit back.
    function test_AnExitRequestDoesNotVoidAGrant() external {
        IMarket.Grant memory grant = grantOf(80e6);
        vm.prank(payer);
        market.requestExit(100e6);
        vm.warp(START + 1 hours - 1);
        submit(grant);
        assertChannel(80e6, 0, 0, 0);
        assertAccount(0, 20e6, START + EXIT_NOTICE);
    }

    // ------------------------------------------------------------------------------------------------ contracts

    function grantBy(address wallet) private returns (IMarket.Grant memory grant) {
        if (freeOf(wallet) == 0) {
            fund(stranger, 100e6);
            vm.prank(stranger);
            market.deposit(wallet, 100e6);
        }
        grant = grantOf(10e6);
        grant.payer = wallet;
    }

    function test_MeetsAContractsGrant() external {
        address wallet = address(new Wallet(payer));
        IMarket.Grant memory grant = grantBy(wallet);
        submit(grant, sign(PAYER_KEY, grant));
        vm.assertEq(freeOf(wallet), 90e6);

        bytes32 hash = MessageHashUtils.toTypedDataHash(separator, lens.hashGrant(grant));
        vm.assertTrue(market.hasSigned(wallet, hash, sign(PAYER_KEY, grant)));
        vm.assertFalse(market.hasSigned(wallet, hash, sign(STRANGER_KEY, grant)));
        vm.assertFalse(market.hasSigned(address(0), hash, new bytes(65)));
    }

    /// @dev EIP-7702: a key of one's own stays good, whatever code stands behind the address.
    function test_MeetsTheGrantOfAnEoaWithCode() external {
        vm.etch(payer, address(new RevertingWallet()).code);
        submit(grantOf(10e6));
        assertChannel(10e6, 0, 0, 0);
    }

    function test_SkipsWhatAContractDoesNotSign() external {
        address wallet = address(new Wallet(payer));
        IMarket.Grant memory grant = grantBy(wallet);
        skips(grant, sign(STRANGER_KEY, grant), IMarket.Skip.BAD_SIGNATURE);
        address[5] memory bad = [
            address(new RevertingWallet()),
            address(new SilentWallet()),
            address(new DirtyWallet()),
            address(new VerboseWallet()),
            address(asset)
        ];
        for (uint256 i; i < bad.length; ++i) {
            grant = grantBy(bad[i]);
            skips(grant, sign(PAYER_KEY, grant), IMarket.Skip.BAD_SIGNATURE);
        }
    }

    function test_AContractThatBurnsItsGasDoesNotStopTheOthers() external {
        IMarket.Grant[] memory grants = new IMarket.Grant[](4);
        bytes[] memory signatures = new bytes[](4);
        for (uint256 i; i < 3; ++i) {
            grants[i] = grantBy(address(new BurningWallet()));
            signatures[i] = sign(PAYER_KEY, grants[i]);
        }
        grants[3] = grantOf(10e6);
        signatures[3] = sign(PAYER_KEY, grants[3]);
        market.openChannelsFor{gas: 2_000_000}(grants, signatures);
        assertChannel(10e6, 0, 0, 0);
    }
}
