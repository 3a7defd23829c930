// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {AccusationId, IAudits} from "../src/interfaces/IAudits.sol";
import {DuelId, IDuels} from "../src/interfaces/IDuels.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {AuditFixture} from "./AuditFixture.sol";
import {DuelFixture} from "./DuelFixture.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice What whole transactions cost: base, calldata and execution on cold storage, less refunds. Every top-level
/// call here is a transaction of its own (`isolate`), so that nothing is warm but what the transaction warmed.
/// @dev The brownie suite asks a real chain for the same figures.
contract Gas_Test is Fixture {
    address private immutable relayer = vm.addr(0x4E1A);

    /// @dev Of the transaction before, over `units`.
    function within(string memory name, uint256 ceiling, uint256 units) private {
        uint256 each = vm.lastCallGas().gasTotalUsed / units;
        vm.snapshotValue("transactions", name, each);
        vm.assertLe(each, ceiling, name);
    }

    /// @dev As in the steady state: the provider has a balance, and each channel has paid before.
    function settles(uint256 count) private {
        stake(provider, MINIMUM_STAKE);
        IMarket.Row[] memory first = new IMarket.Row[](count);
        IMarket.Row[] memory second = new IMarket.Row[](count);
        for (uint256 i; i < count; ++i) {
            address payer_ = vm.addr(1_000 + i);
            deposit(payer_, 100e6);
            vm.prank(payer_);
            market.openChannels(one(IMarket.Opening(provider, vm.addr(2_000 + i), 10e6)));
            first[i] = rowOf(payer_, 2_000 + i, 0, 1_234_567);
            second[i] = rowOf(payer_, 2_000 + i, 0, 2_345_678);
        }
        market.settle(provider, first);
        vm.prank(relayer);
        market.settle(provider, second);
    }

    /// forge-config: default.isolate = true
    function test_Settle1() external {
        settles(1);
        within("settle 1 row", 44_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_Settle10() external {
        settles(10);
        within("settle 10 rows, each", 18_500, 10);
    }

    /// forge-config: default.isolate = true
    function test_Settle100() external {
        settles(100);
        within("settle 100 rows, each", 15_500, 100);
    }

    function opens(uint256 count) private {
        deposit(payer, 1_000e6);
        IMarket.Opening[] memory openings = new IMarket.Opening[](count);
        for (uint256 i; i < count; ++i) {
            openings[i] = IMarket.Opening(vm.addr(3_000 + i), vm.addr(2_000 + i), 10e6);
        }
        vm.prank(payer);
        market.openChannels(openings);
    }

    /// forge-config: default.isolate = true
    function test_Open1() external {
        opens(1);
        within("open 1 channel", 55_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_Open10() external {
        opens(10);
        within("open 10 channels, each", 30_000, 10);
    }

    function grants(uint256 count) private {
        IMarket.Grant[] memory list = new IMarket.Grant[](count);
        bytes[] memory signatures = new bytes[](count);
        for (uint256 i; i < count; ++i) {
            address payer_ = vm.addr(1_000 + i);
            deposit(payer_, 100e6);
            list[i] = IMarket.Grant(payer_, provider, vm.addr(2_000 + i), 0, 10e6, START + 1 hours);
            signatures[i] = shortened(sign(1_000 + i, list[i]));
        }
        vm.prank(relayer);
        market.openChannelsFor(list, signatures);
    }

    /// forge-config: default.isolate = true
    function test_Grant1() external {
        grants(1);
        within("open 1 channel by grant", 61_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_Grant100() external {
        grants(100);
        within("open 100 channels by grants, each", 38_500, 100);
    }

    /// @dev The provider has a balance, the payer has free atoms, and the close pays the last voucher.
    /// forge-config: default.isolate = true
    function test_Close() external {
        stake(provider, MINIMUM_STAKE);
        deposit(payer, 20e6);
        open(10e6);
        market.settle(provider, one(row(1_234_567)));
        bytes memory signature = shortened(closeSignature(PROVIDER_KEY, 2_345_678));
        vm.prank(payer);
        market.close(payer, provider, sessionKey, 2_345_678, signature);
        within("close, signed by the provider", 48_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_Deposit() external {
        deposit(payer, 10e6);
        fund(payer, 20e6);
        vm.prank(payer);
        market.deposit(payer, 10e6);
        within("deposit more", 60_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_PostOffer() external {
        stake(provider, MINIMUM_STAKE);
        IMarket.Offer memory offer = offerOf(1);
        bytes memory signature = sign(PROVIDER_KEY, offer);
        market.postOffer(offer, signature);
        within("post an offer", 80_000, 1);
    }

    /// @dev The provider is staked, the reporter has earned nothing before.
    /// forge-config: default.isolate = true
    function test_ReportOvercharge() external {
        stake(provider, MINIMUM_STAKE);
        IMarket.Receipt memory receipt = receiptOf(0);
        receipt.cost += 1;
        bytes memory signature = sign(PROVIDER_KEY, receipt);
        market.slashOvercharge(offerOf(1), receipt, signature);
        within("report an overcharge", 135_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_ReportReceiptEquivocation() external {
        stake(provider, MINIMUM_STAKE);
        (IMarket.Receipt memory first, IMarket.Receipt memory second) = (receiptOf(0), receiptOf(0));
        second.responseHash = 0;
        (bytes memory one, bytes memory other) = (sign(PROVIDER_KEY, first), sign(PROVIDER_KEY, second));
        market.slashReceiptEquivocation(payer, provider, sessionKey, 0, first, one, second, other);
        within("report a receipt equivocation", 135_000, 1);
    }

    function test_CodeSize() external {
        vm.snapshotValue("bytes", "Market", address(market).code.length);
        vm.assertLe(address(market).code.length, 24_576);
    }
}

/// @notice As above, of duels among a dozen judges whose weights have not changed since. In the steady state judges and
/// the challenger have earned before.
contract DuelGas_Test is DuelFixture {
    function setUp() public override {
        super.setUp();
        for (uint64 i = 100; i < 106; ++i) {
            (DuelId id, address[] memory judges) = decided(caseOf(i), choicesOf("FFFST"));
            vm.warp(now_() + PERIOD);
            duels.settle(one(rulingOf(id, judges, choicesOf("FFFST"))));
        }
    }

    function within(string memory name, uint256 ceiling, uint256 units) private {
        uint256 each = vm.lastCallGas().gasTotalUsed / units;
        vm.snapshotValue("duels", name, each);
        vm.assertLe(each, ceiling, name);
    }

    /// forge-config: default.isolate = true
    function test_Open() external {
        bytes32 commitment = commitmentOf(caseOf(0));
        vm.prank(payer);
        duels.open(commitment, 5, 10 * FEE);
        within("open a duel", 125_000, 1);
    }

    function decides(string memory letters, string memory name, uint256 ceiling) private {
        IDuels.Case memory shown = caseOf(0);
        uint256 seats = bytes(letters).length;
        DuelId id = openDuel(shown, uint8(seats), uint96(SHARE * seats));
        IDuels.Vote[] memory votes = votesOf(id, shown, panel(id), choicesOf(letters));
        decide(id, shown, votes);
        within(name, ceiling, 1);
    }

    /// forge-config: default.isolate = true
    function test_DecideByFiveThatAgree() external {
        decides("FFFFF", "decide by five judges that agree", 620_000);
    }

    /// forge-config: default.isolate = true
    function test_DecideByThreeThatAgree() external {
        decides("FFF", "decide by three judges that agree", 500_000);
    }

    /// forge-config: default.isolate = true
    function test_DecideByFiveThatDoNot() external {
        decides("FFFSS", "decide by five judges that do not agree", 520_000);
    }

    /// @dev One of five pays a penalty: each is a transfer of its own.
    /// forge-config: default.isolate = true
    function test_Settle10() external {
        IDuels.Ruling[] memory rulings = new IDuels.Ruling[](10);
        for (uint64 i; i < 10; ++i) {
            (DuelId id, address[] memory judges) = decided(caseOf(i), choicesOf("FFFFS"));
            rulings[i] = rulingOf(id, judges, choicesOf("FFFFS"));
        }
        vm.warp(now_() + PERIOD);
        duels.settle(rulings);
        within("settle 10 split verdicts, each", 160_000, 10);
    }

    /// forge-config: default.isolate = true
    function test_Summon() external {
        IDuels.Case memory shown = caseOf(0);
        DuelId id = openDuel(shown);
        IDuels.Commitment[] memory list = commitmentsOf(id, shown, panel(id), choicesOf("FFFF."));
        duels.summon(id, shown, list);
        within("summon five judges, four committed", 700_000, 1);
    }

    /// forge-config: default.isolate = true
    function test_Enlist() external {
        stake(stranger, STAKED);
        vm.prank(stranger);
        duels.enlist(stranger);
        within("enlist the thirteenth judge", 330_000, 1);
    }

    function test_CodeSize() external {
        vm.snapshotValue("bytes", "Duels", address(duels).code.length);
        vm.assertLe(address(duels).code.length, 24_576);
    }
}

/// @notice As above, of audits among three dozen judges: whoever is drawn for them is asked for once more by each.
contract AuditGas_Test is AuditFixture {
    function within(string memory name, uint256 ceiling) private {
        uint256 gas = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("audits", name, gas);
        vm.assertLe(gas, ceiling, name);
    }

    /// forge-config: default.isolate = true
    function test_Strike() external {
        IAudits.Exhibit memory exhibit = found();
        audits.strike(exhibit);
        within("strike", 400_000);
    }

    /// forge-config: default.isolate = true
    function test_Answer() external {
        struck(3);
        vm.prank(provider);
        audits.answer(provider, AUDIT_FEE);
        within("answer", 150_000);
    }

    /// forge-config: default.isolate = true
    function test_Summon() external {
        struck(3);
        answer(AUDIT_FEE);
        audits.summon(provider);
        within("summon eleven", 900_000);
    }

    /// forge-config: default.isolate = true
    function test_Commit() external {
        (, address[] memory auditors, AccusationId id) = answered();
        IAudits.Commitment[] memory list = new IAudits.Commitment[](1);
        list[0] = commitmentOf(id, auditors[0], 0, opinionsOf("CCC"));
        audits.commit(provider, list);
        within("commit one", 90_000);
    }

    /// forge-config: default.isolate = true
    function test_Conclude() external {
        (, address[] memory auditors, AccusationId id) = answered();
        voted(id, auditors, said("UUUUUUUUU.."));
        audits.conclude(provider);
        within("conclude a case that is upheld", 900_000);
    }

    function test_CodeSize() external {
        vm.snapshotValue("bytes", "Audits", address(audits).code.length);
        vm.assertLe(address(audits).code.length, 24_576);
    }
}
