"""Nodes that gossip for real (keys, signatures, envelopes, packed bodies) over wires that a test holds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from tallystick.ports import MarketTerms, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.errors import MarketError
from tallystick.protocol.gossip import Frame, Gossip, write_body
from tallystick.protocol.hearsay import Said, said_status
from tallystick.protocol.hearsay import key_of as hearsay_key
from tallystick.protocol.packed import pack
from tallystick.protocol.signed import Key, Verified, sign
from tallystick.protocol.speed import Speed
from tallystick.protocol.status import Rating, Status
from tallystick.protocol.units import (
    Address,
    Atoms,
    Tokens,
)
from tallystick.protocol.wire import write_envelope
from tallystick_node.gateway.errors import error_json, status_of
from tallystick_node.local.bench.samples import offer_at, rating_of
from tallystick_node.network.gossip import Gossiper, Self
from tallystick_node.network.posting import PeerRefused, PeerSilent

DOMAIN = Domain(chain_id=31337, contract=Address(b"\x11" * 20))
SPEED = Speed(
    fixed=10**9,
    sequence=10**7,
    weights=10**10,
    token=10**8,
    context=10**5,
    capacity=Tokens(100_000),
    chunk=Tokens(2048),
)


def key_of(number: int) -> Key:
    return Key(keccak(number.to_bytes(8, "big")))


def offer_of(key: Key, *, model: str = "m", sequence: int = 1, named: Sequence[Address] = ()) -> PostedOffer:
    """`named`: receipt keys, the last one today's."""
    endpoint = "http://127.0.0.1:1/" + key.address.hex()
    return offer_at(key, endpoint, model=model, sequence=sequence, receipt_key=(key.address, *named)[-1])


def status_of_node(key: Key, *, running: int = 0, sequence: int = 0, model: str = "m") -> Status:
    return Status(
        provider=key.address,
        offer_hash=offer_of(key, model=model).offer_hash,
        sequence=sequence,
        room=8,
        running=running,
        waiting=0,
        context=Tokens(0),
        queued=Tokens(0),
        parameters=0,
        quantization="bf16",
        speed=SPEED,
    )


def said_by(key: Key, *, running: int = 0, sequence: int = 1, signer: Key | None = None) -> Said:
    """A status; `signer`: somebody else who signs it."""
    return said_status(
        sign(status_of_node(key, running=running, sequence=sequence), DOMAIN, signer or key), "m"
    )


def rating_frame(
    payer: Key, provider: Key, *, sequence: int = 1, signer: Key | None = None, session: Key | None = None
) -> Frame:
    """Of a payer that was served; `signer` signs the receipt in the provider's place, `session` the rating in
    the payer's."""
    session = session or payer
    rating, receipt = rating_of(
        payer.address, provider.address, session.address, sequence=sequence, ratio=3_000_000, count=10
    )
    proof, paid = sign(rating, DOMAIN, session), sign(receipt, DOMAIN, signer or provider)
    return Frame(rating, pack(rating), proof.signature, paid.signed)


def said_rating(payer: Key, provider: Key, *, sequence: int = 1, session: Key | None = None) -> Said:
    """What `rating_frame` makes, as whoever proved it holds it."""
    frame = rating_frame(payer, provider, sequence=sequence, session=session)
    assert isinstance(frame.message, Rating)
    assert frame.receipt is not None
    proof = sign(frame.message, DOMAIN, session or payer)
    paid = Verified(frame.receipt.message, frame.receipt.signature, provider.address)
    return Said(hearsay_key(frame.message), sequence, proof, frame.packed, paid)


@dataclass
class Wires:
    """The poster of every node: it hands a message to the node that listens at its endpoint."""

    now: int = 0
    keys: list[Key] = field(default_factory=list)
    nodes: dict[Address, Gossiper] = field(default_factory=dict)
    running: dict[Address, int] = field(default_factory=dict)
    down: set[Address] = field(default_factory=set)
    payers: set[Address] = field(default_factory=set)
    sessions: dict[Address, set[Address]] = field(default_factory=dict)
    """Keys beside a payer's own that it let spend, at every provider."""
    looked_up: int = 0
    """Channels."""
    named: dict[Address, list[Address]] = field(default_factory=dict)
    """Receipt keys beside a provider's own, the last one today's."""

    async def add(self, *numbers: int) -> None:
        self.keys += [key_of(number) for number in numbers]
        for key in self.keys:
            if key.address not in self.nodes:
                self.start(key)
        for node in self.nodes.values():
            await node.look_up()

    def start(self, key: Key) -> Gossiper:
        """Anew, or again with nothing in memory."""
        self.running.setdefault(key.address, 0)
        node = Gossiper(
            Self(
                provider=key.address,
                key=key,
                domain=DOMAIN,
                local=True,
                offers=self.offers,
                statuses=lambda: [status_of_node(key, running=self.running[key.address])],
                is_payer=self.payers.__contains__,
                channels=lambda keys: [self.channel(key) for key in keys],
                is_receipt_key=lambda provider, key: key in (provider, *self.named.get(provider, ())),
            ),
            self,
            now=lambda: self.now,
        )
        self.nodes[key.address] = node
        return node

    def terms(self) -> MarketTerms:
        return MarketTerms(minimum_stake=Atoms(1), unit=Atoms(1_000_000))

    def offers(self) -> Sequence[PostedOffer]:
        return [offer_of(key, named=self.named.get(key.address, ())) for key in self.keys]

    def channel(self, key: ChannelKey) -> Channel:
        self.looked_up += 1
        is_open = key.session_key in (key.payer, *self.sessions.get(key.payer, ()))
        return Channel(key=replace(key, epoch=0), cap=Atoms(int(is_open)))

    def node(self, number: int) -> Gossiper:
        return self.nodes[key_of(number).address]

    async def round(self) -> None:
        """A second passes, and everybody that is up has a round."""
        for address, node in self.nodes.items():
            if address in self.down:
                continue
            for task in node.round():
                await task
        for node in self.nodes.values():
            await node.confirming.look()
        self.now += 1_000

    async def gossip(self, endpoint: str, envelope: str, body: bytes) -> tuple[str, bytes]:
        address = Address(bytes.fromhex(endpoint.rsplit("/", 1)[1]))
        if address in self.down:
            raise PeerSilent("down")
        try:
            return await self.nodes[address].answer(envelope, body)
        except MarketError as error:
            raise PeerRefused(status_of(error), orjson.dumps(error_json(error))) from error

    async def network(self, endpoint: str) -> bytes:
        address = Address(bytes.fromhex(endpoint.rsplit("/", 1)[1]))
        if address in self.down:
            raise PeerSilent("down")
        return self.nodes[address].telling.answer(None, ratings=True)


def message(
    signer: Key,
    recipient: Key,
    number: int,
    said: Sequence[Said] = (),
    *,
    body: bytes | None = None,
    sender: Key | None = None,
) -> tuple[str, bytes]:
    """An envelope and a body, as `signer` would send them; `sender`: whom it names in its own place."""
    body = write_body(b"", said) if body is None else body
    gossip = Gossip(
        sender=(sender or signer).address, recipient=recipient.address, number=number, body_hash=keccak(body)
    )
    return write_envelope(sign(gossip, DOMAIN, signer).signed), body
