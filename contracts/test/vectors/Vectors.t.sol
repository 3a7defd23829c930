// SPDX-License-Identifier: MIT
pragma solidity ^0.8.37;

import {ChannelId, IMarket} from "../../src/interfaces/IMarket.sol";
import {DuelId, IDuels} from "../../src/interfaces/IDuels.sol";
import {Hash} from "../../src/libraries/Hash.sol";
import {Signature} from "../../src/libraries/Signature.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {Lens} from "../../src/periphery/Lens.sol";
import {vm} from "../Vm.sol";

/// @notice Python and Solidity to the same bytes: `tests/vectors` holds what Python made, and this what it means here.
contract Vectors_Test {
    string private constant FOLDER = "../tests/vectors/";
    Lens private lens = new Lens();

    /// @dev A place in a file.
    struct Node {
        string json;
        string path;
    }

    // ------------------------------------------------------------------------------------------------ reading

    function open(string memory name) private view returns (Node memory) {
        return Node(vm.readFile(string.concat(FOLDER, name)), "");
    }

    function within(Node memory node, string memory field) private pure returns (Node memory) {
        return Node(node.json, string.concat(node.path, ".", field));
    }

    function within(Node memory node, string memory list, uint256 i) private pure returns (Node memory) {
        return Node(node.json, string.concat(node.path, ".", list, "[", vm.toString(i), "]"));
    }

    function has(Node memory node, string memory list, uint256 i) private view returns (bool) {
        return vm.keyExistsJson(node.json, within(node, list, i).path);
    }

    function number(Node memory node, string memory field) private pure returns (uint256) {
        return vm.parseJsonUint(node.json, within(node, field).path);
    }

    function word(Node memory node, string memory field) private pure returns (bytes32) {
        return vm.parseJsonBytes32(node.json, within(node, field).path);
    }

    function account(Node memory node, string memory field) private pure returns (address) {
        return vm.parseJsonAddress(node.json, within(node, field).path);
    }

    function text(Node memory node, string memory field) private pure returns (string memory) {
        return vm.parseJsonString(node.json, within(node, field).path);
    }

    function same(string memory left, string memory right) private pure returns (bool) {
        return keccak256(bytes(left)) == keccak256(bytes(right));
    }

    // ------------------------------------------------------------------------------------------------ messages

    // forge-lint: disable-start(unsafe-typecast)
    // A vector that does not fit its type would not hash to what it says.

    function hashOffer(Node memory m) private view returns (bytes32) {
        return lens.hashOffer(
            IMarket.Offer({
                provider: account(m, "provider"),
                sequence: uint64(number(m, "sequence")),
                endpoint: text(m, "endpoint"),
                endpointKey: word(m, "endpointKey"),
                model: text(m, "model"),
                modelHash: word(m, "modelHash"),
                inputPrice: uint64(number(m, "inputPrice")),
                cachedInputPrice: uint64(number(m, "cachedInputPrice")),
                outputPrice: uint64(number(m, "outputPrice")),
                contextLength: uint32(number(m, "contextLength")),
                credit: uint128(number(m, "credit")),
                validUntil: uint64(number(m, "validUntil"))
            })
        );
    }

    function hashGrant(Node memory m) private view returns (bytes32) {
        return lens.hashGrant(
            IMarket.Grant({
                payer: account(m, "payer"),
                provider: account(m, "provider"),
                sessionKey: account(m, "sessionKey"),
                epoch: uint24(number(m, "epoch")),
                cap: uint96(number(m, "cap")),
                deadline: uint64(number(m, "deadline"))
            })
        );
    }

    function hashReceipt(Node memory m) private view returns (bytes32) {
        return lens.hashReceipt(
            IMarket.Receipt({
                channelId: ChannelId.wrap(word(m, "channelId")),
                sequence: uint64(number(m, "sequence")),
                offerHash: word(m, "offerHash"),
                requestHash: word(m, "requestHash"),
                responseHash: word(m, "responseHash"),
                tokensHash: word(m, "tokensHash"),
                inputTokens: uint32(number(m, "inputTokens")),
                cachedInputTokens: uint32(number(m, "cachedInputTokens")),
                outputTokens: uint32(number(m, "outputTokens")),
                finish: uint8(number(m, "finish")),
                receivedAt: uint64(number(m, "receivedAt")),
                firstTokenAt: uint64(number(m, "firstTokenAt")),
                finishedAt: uint64(number(m, "finishedAt")),
                cost: uint128(number(m, "cost")),
                cumulativeCost: uint128(number(m, "cumulativeCost"))
            })
        );
    }

    function acknowledgement(Node memory m) private pure returns (Hash.Acknowledgement memory) {
        return Hash.Acknowledgement({
            receiptCount: uint64(number(m, "receiptCount")),
            receiptsRoot: word(m, "receiptsRoot"),
            requestHash: word(m, "requestHash"),
            requestNonce: uint64(number(m, "requestNonce"))
        });
    }

    function hash(string memory kind, Node memory m) private view returns (bytes32) {
        if (same(kind, "Offer")) return hashOffer(m);
        if (same(kind, "Grant")) return hashGrant(m);
        if (same(kind, "Receipt")) return hashReceipt(m);
        if (same(kind, "Acknowledgement")) return lens.hashAcknowledgement(acknowledgement(m));
        ChannelId id = ChannelId.wrap(word(m, "channelId"));
        uint128 amount = uint128(number(m, "cumulativeAmount"));
        if (same(kind, "Close")) return lens.hashClose(id, amount);
        vm.assertEq(kind, "Voucher");
        return lens.hashVoucher(id, amount, acknowledgement(within(m, "acknowledgement")));
    }

    /// @dev What the contract takes for no choice has a hash all the same.
    function hashNoChoice(Node memory m) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                Votes.BALLOT_TYPE,
                word(m, "duel"),
                account(m, "judge"),
                word(m, "bodyHash"),
                word(m, "firstResponseHash"),
                word(m, "secondResponseHash"),
                number(m, "choice"),
                word(m, "salt")
            )
        );
    }

    function hashVote(string memory kind, Node memory m) private pure returns (bytes32) {
        DuelId id = DuelId.wrap(word(m, "duel"));
        address judge = account(m, "judge");
        if (same(kind, "VoteCommitment")) {
            return Votes.commitment(IDuels.VoteCommitment(id, judge, word(m, "ballotHash")));
        }
        vm.assertEq(kind, "Ballot");
        if (number(m, "choice") > uint256(type(IDuels.Choice).max)) return hashNoChoice(m);
        return Votes.ballot(
            IDuels.Ballot({
                duel: id,
                judge: judge,
                bodyHash: word(m, "bodyHash"),
                firstResponseHash: word(m, "firstResponseHash"),
                secondResponseHash: word(m, "secondResponseHash"),
                choice: IDuels.Choice(number(m, "choice")),
                salt: word(m, "salt")
            })
        );
    }

    // forge-lint: disable-end(unsafe-typecast)

    // ------------------------------------------------------------------------------------------------ tests

    // Each case in a call of its own: the file is handed to every cheatcode, and memory is given back at a call's end.

    function check(function(uint256) external view returns (bool) one) private view {
        uint256 count;
        while (one(count)) ++count;
        vm.assertTrue(count != 0);
    }

    function test_EveryMessageHashesToItsVector() external view {
        check(this.message);
    }

    function message(uint256 i) external view returns (bool) {
        Node memory file = open("eip712.json");
        if (!has(file, "messages", i)) return false;
        bytes32 separator = separatorOf(file);
        vm.assertEq(separator, word(file, "separator"), "separator");

        Node memory m = within(file, "messages", i);
        checkHashes(m, separator, hash(text(m, "type"), within(m, "message")));
        return true;
    }

    function separatorOf(Node memory file) private view returns (bytes32) {
        Node memory domain = within(file, "domain");
        return lens.domainSeparator(number(domain, "chainId"), account(domain, "verifyingContract"));
    }

    function checkHashes(Node memory m, bytes32 separator, bytes32 structHash) private view {
        vm.assertEq(structHash, word(m, "structHash"), m.path);
        vm.assertEq(lens.digest(separator, structHash), word(m, "digest"), m.path);
    }

    function test_EveryChannelIsNamedAsInItsVector() external view {
        check(this.channel);
    }

    function channel(uint256 i) external view returns (bool) {
        Node memory file = open("eip712.json");
        if (!has(file, "channels", i)) return false;
        Node memory c = within(file, "channels", i);
        ChannelId id = lens.channelId(
            account(c, "payer"),
            account(c, "provider"),
            account(c, "sessionKey"),
            // forge-lint: disable-next-line(unsafe-typecast)
            uint24(number(c, "epoch")) // One that does not fit would not hash to what it says.
        );
        vm.assertEq(ChannelId.unwrap(id), word(c, "channelId"), c.path);
        return true;
    }

    function test_EveryVoteHashesToItsVector() external view {
        check(this.vote);
    }

    function vote(uint256 i) external view returns (bool) {
        Node memory file = open("quality.json");
        if (!has(file, "messages", i)) return false;
        Node memory m = within(file, "messages", i);
        checkHashes(m, separatorOf(file), hashVote(text(m, "type"), within(m, "message")));
        return true;
    }

    function test_EveryDuelIsNamedAsInItsVector() external view {
        check(this.duel);
    }

    function duel(uint256 i) external view returns (bool) {
        Node memory file = open("quality.json");
        if (!has(file, "duels", i)) return false;
        Node memory d = within(file, "duels", i);
        bytes32 hidden = Votes.hidden(IDuels.Choice(number(d, "known")), word(d, "salt"));
        vm.assertEq(hidden, word(d, "hidden"), d.path);
        bytes32 commitment = Votes.duelCommitment(word(d, "firstReceiptHash"), word(d, "secondReceiptHash"), hidden);
        vm.assertEq(commitment, word(d, "commitment"), d.path);
        DuelId id = Votes.duelId(account(d, "challenger"), commitment);
        vm.assertEq(DuelId.unwrap(id), word(d, "duel"), d.path);
        vm.assertEq(DuelId.unwrap(Votes.appealId(id)), word(d, "appeal"), d.path);
        return true;
    }

    function test_EveryReceiptIsProvenUnderItsRootAndNoOther() external view {
        check(this.tree);
    }

    function tree(uint256 i) external view returns (bool) {
        Node memory file = open("merkle.json");
        if (!has(file, "cases", i)) return false;
        Node memory c = within(file, "cases", i);
        bytes32 root = word(c, "root");
        for (uint256 j; has(c, "proofs", j); ++j) {
            Node memory p = within(c, "proofs", j);
            bytes32 leaf = word(p, "leaf");
            bytes32[] memory proof = vm.parseJsonBytes32Array(p.json, within(p, "proof").path);
            vm.assertTrue(lens.isAcknowledged(root, leaf, proof), p.path);
            vm.assertFalse(lens.isAcknowledged(root, ~leaf, proof), p.path);
            vm.assertFalse(lens.isAcknowledged(~root, leaf, proof), p.path);
        }
        return true;
    }

    function test_EveryGoodSignatureIsItsSigners() external view {
        check(this.good);
    }

    function good(uint256 i) external view returns (bool) {
        Node memory file = open("signatures.json");
        if (!has(file, "valid", i)) return false;
        Node memory s = within(file, "valid", i);
        (address signer, bytes32 digest) = (account(s, "address"), word(s, "digest"));
        vm.assertEq(this.recover(digest, vm.parseJsonBytes(s.json, within(s, "signature").path)), signer);
        vm.assertEq(this.recover(digest, vm.parseJsonBytes(s.json, within(s, "compact").path)), signer);
        return true;
    }

    function test_NoBadSignatureIsAnyones() external view {
        check(this.bad);
    }

    function bad(uint256 i) external view returns (bool) {
        Node memory file = open("signatures.json");
        if (!has(file, "invalid", i)) return false;
        Node memory s = within(file, "invalid", i);
        bytes memory signature = vm.parseJsonBytes(s.json, within(s, "signature").path);
        vm.assertEq(this.recover(word(s, "digest"), signature), address(0));
        return true;
    }

    function recover(bytes32 digest, bytes calldata signature) external pure returns (address) {
        return Signature.recover(digest, signature);
    }
}
