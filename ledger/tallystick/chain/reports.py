"""Reports of fraud: what the contract is shown, what it would say, and what a report brought.

It finds no fraud and holds no evidence: `protocol.fraud` knows what a proof is.
"""

from typing import Any

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError, decode
from tallystick.chain.contracts import contract_error
from tallystick.chain.errors import ContractError, RpcError
from tallystick.chain.events import OfferPosted
from tallystick.chain.market import Market
from tallystick.chain.transaction import Mined
from tallystick.protocol.fraud import OfferEquivocation, Overcharge, Proof, ReceiptEquivocation
from tallystick.protocol.message import Message
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import to_hex


def report(market: Market, proof: Proof) -> Mined:
    """Shows the proof to the contract: a third of what it takes is the sender's to withdraw.

    Raises
    ------
    ContractError :
        It proves nothing, did so before, or nothing is at stake.
    """
    return market.sender.send(contracts.market().call(market.deployment.market, *_call(proof)))


def refusal(market: Market, proof: Proof) -> ContractError | None:
    """Why the contract would not take the proof now; None: it would slash.

    Raises
    ------
    ChainUnavailable, RpcError :
        The node does not say.
    """
    data = contracts.market().call(market.deployment.market, *_call(proof)).data
    try:
        market.rpc.call("eth_call", {"to": to_hex(market.deployment.market), "data": to_hex(data)}, "latest")
    except RpcError as error:
        if not error.data:
            raise
        return contract_error(error.data)
    return None


def posted_signature(market: Market, posted: OfferPosted) -> Signed[Offer] | None:
    """The offer with the signature under which it was posted; None where another contract posted it."""
    found = market.rpc.call("eth_getTransactionByHash", to_hex(posted.transaction))
    selector, entry = contracts.market().interface.functions["postOffer"]
    data = bytes.fromhex(found["input"][2:]) if found else b""
    if data[:4] != selector:
        return None
    try:
        _, signature = decode(entry.types, data[4:])
    except AbiError:
        return None
    return Signed(posted.offer, signature)


def _call(proof: Proof) -> tuple[Any, ...]:
    """A function's name and arguments."""
    match proof:
        case Overcharge(offer=offer, receipt=receipt):
            return "slashOvercharge", offer.values(), receipt.message.values(), receipt.signature
        case ReceiptEquivocation(channel=key, first=first, second=second):
            ends = key.payer, key.provider, key.session_key, key.epoch
            return "slashReceiptEquivocation", *ends, *_pair(first, second)
        case OfferEquivocation(first=first_offer, second=second_offer):
            return "slashOfferEquivocation", *_pair(first_offer, second_offer)


def _pair(first: Signed[Message], second: Signed[Message]) -> tuple[Any, ...]:
    return first.message.values(), first.signature, second.message.values(), second.signature
