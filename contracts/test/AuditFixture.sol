// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";

import {DuelId, IDuels} from "../src/interfaces/IDuels.sol";
import {AccusationId, IAudits} from "../src/interfaces/IAudits.sol";
import {Findings} from "../src/libraries/Findings.sol";
import {Hash} from "../src/libraries/Hash.sol";
import {Lottery} from "../src/libraries/Lottery.sol";
import {Votes} from "../src/libraries/Votes.sol";
import {DuelFixture} from "./DuelFixture.sol";
import {vm} from "./Vm.sol";

/// @notice A market with its duels and audits, and so many judges of equal stake that no seat of a re-audit is empty.
abstract contract AuditFixture is DuelFixture {
    uint256 internal constant MORE_JUDGES = 24;
    uint256 internal constant SEATS = 11;
    /// @notice For eleven re-auditors.
    uint96 internal constant AUDIT_FEE = 11 * 200_000;

    using RLP for RLP.Encoder;

    /// @dev Channels so far: each has a session key of its own.
    uint256 internal channels;

    function setUp() public virtual override {
        super.setUp();
        for (uint256 i = JUDGES; i < JUDGES + MORE_JUDGES; ++i) {
            enlist(JUDGE_KEYS + i, STAKED);
        }
        fundAudits(provider);
        mine(1);
        vm.label(address(audits), "audits");
    }

    function fundAudits(address who) internal {
        asset.mint(who, 1_000e6);
        vm.prank(who);
        asset.approve(address(audits), type(uint256).max);
    }

    // ------------------------------------------------------------------------------------------------ blocks

    /// @notice What tests need of a block: more of a header is in none of them.
    function headerOf(uint256 number, bytes32 parentHash, uint256 timestamp) internal pure returns (bytes memory) {
        RLP.Encoder memory fields = RLP.encoder().push(parentHash).push(bytes32(0)).push(address(0));
        fields.push(bytes32(0)).push(bytes32(0)).push(bytes32(0)).push(new bytes(256)).push(uint256(0));
        fields.push(number).push(uint256(30_000_000)).push(uint256(0)).push(timestamp).push(new bytes(0))
            .push(bytes32(0));
        return fields.push(new bytes(8)).push(uint256(7)).encode();
    }

    /// @notice Two blocks, of which the second is the first one that is at or after `moment`. The chain's own time goes
    /// on from there.
    function mineDraw(uint256 moment) internal returns (bytes memory header, bytes memory parent) {
        uint256 number = this.blockNumber() + 1;
        parent = headerOf(number - 1, keccak256("before"), moment - 1);
        header = headerOf(number, keccak256(parent), moment);
        vm.roll(number + 2);
        vm.warp(moment + 12);
        vm.setBlockhash(number, keccak256(header));
    }

    // ------------------------------------------------------------------------------------------------ strikes

    /// @notice What a strike for one receipt rests on, but for its block and who strikes.
    function exhibitOf(uint256 key, uint256 finishedAt) internal view returns (IAudits.Exhibit memory exhibit) {
        address session = vm.addr(key);
        exhibit.channel = IAudits.Channel(payer, provider, session, 0);
        exhibit.receipt = receiptOf(0);
        exhibit.receipt.channelId = Hash.channelId(payer, provider, session, 0);
        // forge-lint: disable-next-line(unsafe-typecast)
        exhibit.receipt.finishedAt = uint64(finishedAt);
        exhibit.receiptSignature = sign(PROVIDER_KEY, exhibit.receipt);
        exhibit.finding = IAudits.Finding({
            auditor: address(0),
            provider: provider,
            receiptHash: lens.hashReceipt(exhibit.receipt),
            receiptsRoot: keccak256("looked at"),
            receiptCount: 3,
            scalesHash: keccak256("scales"),
            check: 2,
            verdict: 2,
            tokens: 300,
            evidence: 17_000_000,
            foundAt: 1_800_000_001_000
        });
    }

    /// @notice One that the lottery drew, or passed over: of channels' first receipts it draws one in five.
    function drawn(bool wanted) internal returns (IAudits.Exhibit memory exhibit) {
        uint256 finishedAt = 1_000 * now_() - 500;
        (bytes memory header, bytes memory parent) = mineDraw(now_() + 30);
        while (true) {
            exhibit = exhibitOf(0xC4A22E1 + ++channels, finishedAt);
            (exhibit.header, exhibit.parent) = (header, parent);
            if (Lottery.isDrawn(keccak256(header), exhibit.finding.receiptHash, 0) == wanted) return exhibit;
        }
    }

    function drawBlockOf(IAudits.Exhibit memory exhibit) internal pure returns (uint48) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint48(BlockHeader.getNumber(exhibit.header));
    }

    function auditorsOf(IAudits.Exhibit memory exhibit) internal view returns (address[] memory) {
        return audits.auditorsOf(exhibit.finding.receiptHash, provider, drawBlockOf(exhibit));
    }

    function sealFinding(IAudits.Exhibit memory exhibit, address auditor) internal view {
        exhibit.finding.auditor = auditor;
        exhibit.findingSignature = sign(keyOf[auditor], Findings.finding(exhibit.finding));
    }

    /// @notice The first auditor that is none of `others`; zero where there is none.
    function otherAuditor(IAudits.Exhibit memory exhibit, address[] memory others) internal view returns (address) {
        address[] memory auditors = auditorsOf(exhibit);
        for (uint256 i; i < auditors.length; ++i) {
            if (auditors[i] != address(0) && !isAmong(others, auditors[i])) return auditors[i];
        }
        return address(0);
    }

    /// @notice One that the lottery drew, by the first of its auditors that none of `others` is.
    function found(address[] memory others) internal returns (IAudits.Exhibit memory exhibit) {
        exhibit = drawn(true);
        address auditor = otherAuditor(exhibit, others);
        require(auditor != address(0), "no other auditor");
        sealFinding(exhibit, auditor);
    }

    function found() internal returns (IAudits.Exhibit memory) {
        return found(new address[](0));
    }

    /// @notice Files `count` strikes of as many owners, whose strikes do not count yet.
    function struck(uint256 count) internal returns (address[] memory auditors) {
        auditors = new address[](count);
        for (uint256 i; i < count; ++i) {
            (address[] memory others,) = audits.strikesOf(provider);
            IAudits.Exhibit memory exhibit = found(others);
            auditors[i] = exhibit.finding.auditor;
            audits.strike(exhibit);
        }
    }

    // ------------------------------------------------------------------------------------------------ re-audits

    function answer(uint96 fee) internal returns (AccusationId id) {
        vm.prank(provider);
        id = audits.answer(provider, fee);
        mine(3);
    }

    /// @notice Three strikes, answered, and whoever is to re-audit them.
    function answered() internal returns (address[] memory strikers, address[] memory auditors, AccusationId id) {
        strikers = struck(3);
        id = answer(AUDIT_FEE);
        audits.summon(provider);
        auditors = audits.reauditorsOf(provider);
    }

    /// @notice A re-auditor's opinions by their letters, one for each strike: `U`phold, `C`lear, others for none.
    function opinionsOf(string memory letters) internal pure returns (IAudits.Opinion[] memory opinions) {
        bytes memory list = bytes(letters);
        opinions = new IAudits.Opinion[](list.length);
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == "U") opinions[i] = IAudits.Opinion.UPHOLD;
            if (list[i] == "C") opinions[i] = IAudits.Opinion.CLEAR;
        }
    }

    /// @notice What is said from each seat, by a letter for each: the same of three strikes. A dash where it says nothing, as
    /// a point; it is silent where there is nothing but points.
    function said(string memory letters) internal pure returns (IAudits.Opinion[][] memory) {
        return said(letters, letters, letters);
    }

    /// @notice The same with a text for each of three strikes.
    function said(string memory first, string memory second, string memory third)
        internal
        pure
        returns (IAudits.Opinion[][] memory)
    {
        string[] memory texts = new string[](3);
        (texts[0], texts[1], texts[2]) = (first, second, third);
        return said(texts);
    }

    function said(string[] memory texts) internal pure returns (IAudits.Opinion[][] memory seats) {
        seats = new IAudits.Opinion[][](texts.length == 0 ? 0 : bytes(texts[0]).length);
        for (uint256 i; i < seats.length; ++i) {
            bytes memory letters = new bytes(texts.length);
            bool silent = true;
            for (uint256 j; j < texts.length; ++j) {
                letters[j] = bytes(texts[j])[i];
                if (letters[j] != ".") silent = false;
            }
            if (!silent) seats[i] = opinionsOf(string(letters));
        }
    }

    function commitmentOf(AccusationId id, address auditor, uint8 seat, IAudits.Opinion[] memory opinions)
        internal
        view
        returns (IAudits.Commitment memory)
    {
        bytes32 hash = Findings.ballot(id, auditor, opinions, saltOf(auditor));
        DuelId signedFor = DuelId.wrap(AccusationId.unwrap(id));
        bytes32 structHash = Votes.commitment(IDuels.VoteCommitment(signedFor, auditor, hash));
        return IAudits.Commitment(seat, hash, sign(keyOf[auditor], structHash));
    }

    function commits(AccusationId id, address[] memory auditors, IAudits.Opinion[][] memory seats)
        internal
        view
        returns (IAudits.Commitment[] memory list)
    {
        list = new IAudits.Commitment[](spoken(auditors, seats));
        uint256 at_;
        for (uint8 i; i < auditors.length; ++i) {
            if (auditors[i] == address(0) || seats[i].length == 0) continue;
            list[at_++] = commitmentOf(id, auditors[i], i, seats[i]);
        }
    }

    function reveals(address[] memory auditors, IAudits.Opinion[][] memory seats)
        internal
        pure
        returns (IAudits.Reveal[] memory list)
    {
        list = new IAudits.Reveal[](spoken(auditors, seats));
        uint256 at_;
        for (uint8 i; i < auditors.length; ++i) {
            if (auditors[i] == address(0) || seats[i].length == 0) continue;
            list[at_++] = IAudits.Reveal(i, seats[i], saltOf(auditors[i]));
        }
    }

    function spoken(address[] memory auditors, IAudits.Opinion[][] memory seats) private pure returns (uint256 count) {
        for (uint256 i; i < auditors.length; ++i) {
            if (auditors[i] != address(0) && seats[i].length != 0) ++count;
        }
    }

    /// @notice Summoned re-auditors commit and reveal, and the accusation is due.
    function voted(AccusationId id, address[] memory auditors, IAudits.Opinion[][] memory seats) internal {
        audits.commit(provider, commits(id, auditors, seats));
        vm.warp(now_() + 2 * PERIOD);
        audits.reveal(provider, reveals(auditors, seats));
        vm.warp(now_() + PERIOD);
    }

    /// @notice From the answer to the end.
    function reaudited(IAudits.Opinion[][] memory seats) internal returns (address[] memory auditors) {
        AccusationId id = answer(AUDIT_FEE);
        audits.summon(provider);
        auditors = audits.reauditorsOf(provider);
        voted(id, auditors, seats);
        audits.conclude(provider);
    }

    // ------------------------------------------------------------------------------------------------ reading

    function accusationStatus() internal view returns (IAudits.Status status) {
        (, status,,,,,) = audits.accusationOf(provider);
    }

    function assertAccusation(IAudits.Status expected) internal view {
        vm.assertEq(uint256(accusationStatus()), uint256(expected), "status");
    }

    /// @notice So many accuse, and so many others wait.
    function assertAccusing(uint256 expected, uint256 waiting) internal view {
        (,,,,,, uint8 accusing) = audits.accusationOf(provider);
        vm.assertEq(accusing, expected, "accusing");
        assertStrikes(expected + waiting);
    }

    function assertStrikes(uint256 expected) internal view {
        (address[] memory auditors,) = audits.strikesOf(provider);
        vm.assertEq(auditors.length, expected, "strikes");
    }

    /// @notice Atoms in every form that they can have.
    function allOf(address whose) internal view returns (uint256) {
        return wealthOf(whose) + audits.balanceOf(whose);
    }

    function isAmong(address[] memory list, address one_) internal pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == one_) return true;
        }
        return false;
    }
}
