"""Whether hearsay is its speaker's own: nodes and payers ask it alike."""

from collections.abc import Callable, Mapping
from typing import Final

from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage, WrongSigner
from tallystick.protocol.gossip import Frame
from tallystick.protocol.hearsay import Key, Said, key_of
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address, Hash32

HIGHEST: Final = 1 << 63
"""No sequence reaches it: whoever signs one has nothing left to say."""
Offered = Callable[[Address], Mapping[Hash32, str] | None]
"""The models of a provider's offers by their hashes; None: it offers nothing."""


def known_key(message: Status | Suspicion | Rating, offered: Offered) -> Key | None:
    """None where the chain, as known here, says nothing of the offer or of whom it is about: it may be known
    elsewhere already, or no more."""
    models = offered(message.provider)
    if models is None or message.sequence >= HIGHEST:
        return None
    match message:
        case Status():
            model = models.get(message.offer_hash)
            return None if model is None else key_of(message, model)
        case Suspicion():
            is_other = message.accuser != message.provider and offered(message.accuser) is not None
            return key_of(message) if is_other else None
        case Rating():
            return key_of(message)


def proven(frame: Frame, key: Key, receipt_key: Callable[[Address], Address], domain: Domain) -> Said:
    """`receipt_key`: of a provider, as the chain says.

    Raises
    ------
    SignatureError :
        It is not its speaker's.
    MalformedMessage :
        Its evidence is about something else.
    """
    message = frame.message
    match message:
        case Status():
            status = verify(Signed(message, frame.signature), domain, signer=receipt_key(message.provider))
            return Said(key, message.sequence, status, frame.packed)
        case Suspicion():
            suspicion = verify(Signed(message, frame.signature), domain, signer=receipt_key(message.accuser))
            return Said(key, message.sequence, suspicion, frame.packed)
        case Rating():
            return _rating(frame, message, key, receipt_key, domain)


def _rating(
    frame: Frame, rating: Rating, key: Key, receipt_key: Callable[[Address], Address], domain: Domain
) -> Said:
    receipt = frame.receipt
    if receipt is None or receipt.message.channel_id != channel_of(rating).id:
        raise MalformedMessage("A rating goes with a receipt of its channel.")
    if receipt.message.struct_hash() != rating.receipt_hash:
        raise MalformedMessage("A rating goes with the receipt that it names.")
    verified = verify(Signed(rating, frame.signature), domain, signer=rating.session_key)
    paid = verify(receipt, domain, signer=receipt_key(rating.provider))
    return Said(key, rating.sequence, verified, frame.packed, paid)


def channel_of(rating: Rating) -> ChannelKey:
    return ChannelKey(
        payer=rating.payer, provider=rating.provider, session_key=rating.session_key, epoch=rating.epoch
    )


def is_served(rating: Rating, channel: Channel) -> bool:
    """Whether the rater's channel is on chain, or was in an epoch that is over: who speaks in the name of a
    payer that opened none would have to fund it. `channel`: as the chain has it, in its epoch of now."""
    return channel.cap > 0 or channel.key.epoch > rating.epoch


def named_by(message: Status | Suspicion | Rating, error: WrongSigner) -> tuple[Address, Address]:
    """Of a message that is not its speaker's by today's key: the provider, and the key that signed in its
    place. Where the provider ever named that key, whoever passes the message on has only read the chain at
    another moment, and forged nothing."""
    speaker = message.accuser if isinstance(message, Suspicion) else message.provider
    return speaker, Address(bytes.fromhex(str(error.actual).removeprefix("0x")))
