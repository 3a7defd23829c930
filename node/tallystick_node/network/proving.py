"""Whether what came is its speaker's own. Pure, but for the work of checking signatures."""

from collections.abc import Callable

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.gossip import Frame
from tallystick.protocol.hearsay import Key, Said, key_of
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import Address
from tallystick_node.network.roster import Roster

HIGHEST: int = 1 << 63
"""No sequence reaches it: whoever signs one has nothing left to say."""


def key_in(roster: Roster, message: Status | Suspicion | Rating) -> Key | None:
    """None where the chain, as known here, says nothing of the offer or of whom it is about: it may be known
    elsewhere already, or no more."""
    peer = roster.peers.get(message.provider)
    if peer is None or message.sequence >= HIGHEST:
        return None
    match message:
        case Status():
            model = peer.models.get(message.offer_hash)
            return None if model is None else key_of(message, model)
        case Suspicion():
            known = message.accuser in roster.peers and message.accuser != message.provider
            return key_of(message) if known else None
        case Rating():
            return key_of(message)


def proven(
    frame: Frame, key: Key, roster: Roster, domain: Domain, is_payer: Callable[[Address], bool]
) -> Said | None:
    """None: its payer has no deposit.

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
            signer = roster.peers[message.provider].receipt_key
            status = verify(Signed(message, frame.signature), domain, signer=signer)
            return Said(key, message.sequence, status, frame.packed)
        case Suspicion():
            signer = roster.peers[message.accuser].receipt_key
            suspicion = verify(Signed(message, frame.signature), domain, signer=signer)
            return Said(key, message.sequence, suspicion, frame.packed)
        case Rating():
            return _rating(frame, message, key, roster, domain, is_payer)


def _rating(
    frame: Frame,
    rating: Rating,
    key: Key,
    roster: Roster,
    domain: Domain,
    is_payer: Callable[[Address], bool],
) -> Said | None:
    if not is_payer(rating.payer):
        return None
    receipt = frame.receipt
    channel = ChannelKey(
        payer=rating.payer,
        provider=rating.provider,
        session_key=rating.session_key,
        epoch=rating.epoch,
    )
    if receipt is None or receipt.message.channel_id != channel.id:
        raise MalformedMessage("A rating goes with a receipt of its channel.")
    if receipt.message.struct_hash() != rating.receipt_hash:
        raise MalformedMessage("A rating goes with the receipt that it names.")
    verified = verify(Signed(rating, frame.signature), domain, signer=rating.session_key)
    paid = verify(receipt, domain, signer=roster.peers[rating.provider].receipt_key)
    return Said(key, rating.sequence, verified, frame.packed, paid)
