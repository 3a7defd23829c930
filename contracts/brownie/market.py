"""The market as brownie sees it: deployed from the artifacts that ship, and its messages signed as a wallet would.

It shares no code with the Python package: what both get right, they get right twice.
"""

import json
from pathlib import Path
from types import SimpleNamespace

from brownie import Contract, chain
from brownie.exceptions import VirtualMachineError
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from web3 import Web3

ARTIFACTS = Path(__file__).parents[2] / "ledger" / "tallystick" / "chain" / "artifacts"
HOUR, DAY = 3_600, 86_400
MINIMUM_STAKE = 1_000_000_000
MINIMUM_FEE = 1_000
EXIT_NOTICE, CLOSE_NOTICE, UNSTAKE_NOTICE, WINDOW = 1 * DAY, 2 * DAY, 14 * DAY, 4 * DAY

TYPES = {
    "Offer": "address provider,uint64 sequence,string endpoint,bytes32 endpointKey,string model,bytes32 modelHash,"
    "uint64 inputPrice,uint64 cachedInputPrice,uint64 outputPrice,uint32 contextLength,uint128 credit,uint64 validUntil",
    "Grant": "address payer,address provider,address sessionKey,uint24 epoch,uint96 cap,uint64 deadline",
    "Acknowledgement": "uint64 receiptCount,bytes32 receiptsRoot,bytes32 requestHash,uint64 requestNonce",
    "Voucher": "bytes32 channelId,uint128 cumulativeAmount,Acknowledgement acknowledgement",
    "Receipt": "bytes32 channelId,uint64 sequence,bytes32 offerHash,bytes32 requestHash,bytes32 responseHash,"
    "bytes32 tokensHash,uint32 inputTokens,uint32 cachedInputTokens,uint32 outputTokens,uint8 finish,"
    "uint64 receivedAt,uint64 firstTokenAt,uint64 finishedAt,uint128 cost,uint128 cumulativeCost",
    "Close": "bytes32 channelId,uint128 cumulativeAmount",
}
FIELDS = {
    name: [dict(zip(("type", "name"), field.split(" "))) for field in text.split(",")] for name, text in TYPES.items()
}


def artifact(name):
    return json.loads((ARTIFACTS / f"{name}.json").read_text())


def deploy(owner, name, *arguments):
    """A contract of the artifacts, deployed by `owner`."""
    built = artifact(name)
    constructor = next((entry for entry in built["abi"] if entry["type"] == "constructor"), {"inputs": []})
    tail = encode([field["type"] for field in constructor["inputs"]], arguments)
    made = owner.transfer(data=built["bytecode"] + tail.hex(), silent=True)
    return Contract.from_abi(name, made.contract_address, built["abi"])


def deploy_all(owner, arbiter):
    """A test asset, a market that settles in it, and a lens."""
    asset = deploy(owner, "TestAsset")
    market = deploy(
        owner, "Market", asset.address, arbiter.address, MINIMUM_STAKE, EXIT_NOTICE, CLOSE_NOTICE, UNSTAKE_NOTICE
    )
    return SimpleNamespace(asset=asset, market=market, lens=deploy(owner, "Lens"))


def deploy_duels(owner):
    """The same, with the duels that are the market's arbiter, and the audits that slash through them: each names the
    next before that exists."""
    asset, nonce = deploy(owner, "TestAsset"), owner.nonce
    duels_at, audits_at = (owner.get_deployment_address(nonce + after) for after in (1, 2))
    market = deploy(owner, "Market", asset.address, duels_at, MINIMUM_STAKE, EXIT_NOTICE, CLOSE_NOTICE, UNSTAKE_NOTICE)
    duels = deploy(owner, "Duels", market.address, audits_at, MINIMUM_FEE, DAY)
    audits = deploy(owner, "Audits", duels.address, WINDOW)
    return SimpleNamespace(asset=asset, market=market, duels=duels, audits=audits, lens=deploy(owner, "Lens"))


def key(name):
    """A key of one's own, the same in every run."""
    return Account.from_key(Web3.keccak(text=name))


def sign(market, signer, kind, message):
    """The signature of `signer`, 65 bytes, on an EIP-712 message of the market."""
    kinds = {kind: FIELDS[kind]}
    if kind == "Voucher":
        kinds["Acknowledgement"] = FIELDS["Acknowledgement"]
    domain = {
        "name": "Tallystick",
        "version": "1",
        "chainId": chain.id,
        "verifyingContract": market.address,
    }
    typed = {
        "domain": domain,
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            **kinds,
        },
        "primaryType": kind,
        "message": message,
    }
    return signer.sign_message(encode_typed_data(full_message=typed)).signature


def compact(signature):
    """The same signature in the 64 bytes of EIP-2098."""
    r, s, v = signature[:32], signature[32:64], signature[64]
    return bytes(r) + (int.from_bytes(s, "big") | (v - 27) << 255).to_bytes(32, "big")


def as_tuple(kind, message):
    return tuple(message[field["name"]] for field in FIELDS[kind])


def channel_id(payer, provider, session, epoch):
    words = encode(["address", "address", "address", "uint24"], [payer, provider, session.address, epoch])
    return bytes(Web3.keccak(words))


def row(market, payer, provider, session, amount, *, epoch=0, receipts=1):
    """A voucher of the session key over `amount`, as a row to settle."""
    acknowledgement = {
        "receiptCount": receipts,
        "receiptsRoot": bytes(Web3.keccak(text=f"{receipts} receipts")),
        "requestHash": bytes(32),
        "requestNonce": 0,
    }
    voucher = {
        "channelId": channel_id(payer, provider, session, epoch),
        "cumulativeAmount": amount,
        "acknowledgement": acknowledgement,
    }
    signature = compact(sign(market, session, "Voucher", voucher))
    struct_hash = Web3.keccak(
        encode(
            ["bytes32", "uint64", "bytes32", "bytes32", "uint64"],
            [Web3.keccak(text=f"Acknowledgement({TYPES['Acknowledgement']})"), *acknowledgement.values()],
        )
    )
    return (payer, session.address, epoch, amount, bytes(struct_hash), signature[:32], signature[32:])


def refusal(call, *arguments):
    """The name of the error with which the contract refuses, or None where it does not."""
    try:
        call(*arguments)
    except VirtualMachineError as error:
        return str(error).removeprefix("revert: ").split(":")[0]
    return None
