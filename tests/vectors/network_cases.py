"""What nodes and payers say to one another beside the chain: messages, gossip's bytes, paces, expectations.

`scripts/vectors` writes them into network.json. docs/spec.md, sections 8 and 9, says how each is made;
`tests/unit/test_network_vectors.py` makes it anew from there, by nothing of ours.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain, digest, keccak
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.expect import Expected, Redeemed, Size, expect_text, microseconds_up, read_expect
from tallystick.protocol.gossip import Gossip, bits, read_body, write_body
from tallystick.protocol.hearsay import Said, key_of
from tallystick.protocol.message import Message
from tallystick.protocol.packed import pack
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.status import PARAMETERS, Rating, Status, Suspicion
from tallystick.protocol.told import said_to_json
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, to_hex
from tallystick.protocol.wire import write_envelope


def hash_of(label: str) -> Any:
    return keccak(b"tallystick network " + label.encode())


def top(bits: int) -> Any:
    return (1 << bits) - 1


PROVIDER, OTHER, SESSION = (Key(hash_of(name)) for name in ("provider", "other", "session"))
DOMAIN = Domain(chain_id=31337, contract=hash_of("market")[:20])
CHANNEL = ChannelKey(payer=hash_of("payer")[:20], provider=PROVIDER.address, session_key=SESSION.address)
FULL_HASH: Any = b"\xff" * 32
FULL_ADDRESS: Any = b"\xff" * 20

UNKNOWN = Speed(fixed=0, sequence=0, weights=0, token=0, context=0, capacity=0, chunk=0)
L40S = Speed(
    fixed=1_000_000_000,
    sequence=55_000_000,
    weights=23_687_000_000,
    token=59_074_000,
    context=284_440,
    capacity=193_304,
    chunk=2_048,
)
A10G = replace(L40S, weights=34_110_000_000, token=305_495_000, context=409_600, capacity=36_023)
FOUND_OUT = replace(L40S, fixed=0, context=0, capacity=0, chunk=0)
"""As a gateway has it that saw its engine at work, and was told nothing."""
ALIKE = replace(UNKNOWN, fixed=2_000_000_000)
WHOLE = Speed(
    **dict.fromkeys(("fixed", "sequence", "weights", "token", "context", "capacity"), top(64)), chunk=top(32)
)


def _status(**changes: Any) -> Status:
    usual = Status(
        provider=PROVIDER.address,
        offer_hash=hash_of("offer"),
        sequence=1_790_000_000_123,
        room=12,
        running=4,
        waiting=1,
        context=9_200,
        queued=1_155,
        parameters=sum(1 << PARAMETERS.index(name) for name in ("max_tokens", "temperature", "stop")),
        quantization="bf16",
        speed=L40S,
    )
    return replace(usual, **changes)


def _receipt() -> Receipt:
    return Receipt(
        channel_id=CHANNEL.id,
        sequence=3,
        offer_hash=hash_of("offer"),
        request_hash=hash_of("request"),
        response_hash=hash_of("response"),
        tokens_hash=hash_of("tokens"),
        input_tokens=1_155,
        cached_input_tokens=0,
        output_tokens=211,
        finish=Finish.STOP,
        received_at=1_790_000_000_000,
        first_token_at=1_790_000_000_180,
        finished_at=1_790_000_003_412,
        cost=300,
        cumulative_cost=1_204,
    )


def _rating(**changes: Any) -> Rating:
    usual = Rating(
        payer=CHANNEL.payer,
        provider=CHANNEL.provider,
        session_key=CHANNEL.session_key,
        epoch=CHANNEL.epoch,
        sequence=1_790_000_004_000,
        ratio=1_250_000,
        count=14,
        receipt_hash=_receipt().struct_hash(),
    )
    return replace(usual, **changes)


def _quote(**changes: Any) -> Quote:
    usual = Quote(
        provider=PROVIDER.address,
        channel_id=CHANNEL.id,
        offer_hash=hash_of("offer"),
        request_hash=ZERO_HASH,
        input_tokens=1_155,
        output_tokens=211,
        first_token_us=143_027,
        token_us=26_411,
        valid_until=1_790_000_002_000,
    )
    return replace(usual, **changes)


def _suspicion() -> Suspicion:
    return Suspicion(accuser=OTHER.address, provider=PROVIDER.address, sequence=1_790_000_000_123)


def messages() -> Iterator[Message]:
    yield from (L40S, UNKNOWN, WHOLE)
    yield _status()
    yield _status(room=0, quantization="", speed=UNKNOWN)
    yield _status(quantization="int4·модель🧾")
    yield Status(
        provider=FULL_ADDRESS,
        offer_hash=FULL_HASH,
        sequence=top(64),
        room=top(32),
        running=top(32),
        waiting=top(32),
        context=top(64),
        queued=top(64),
        parameters=top(64),
        quantization="q" * 255,
        speed=WHOLE,
    )
    yield _suspicion()
    yield Suspicion(accuser=ZERO_ADDRESS, provider=FULL_ADDRESS, sequence=0)
    yield _rating()
    yield Rating(
        payer=FULL_ADDRESS,
        provider=ZERO_ADDRESS,
        session_key=FULL_ADDRESS,
        epoch=top(24),
        sequence=top(64),
        ratio=top(64),
        count=top(64),
        receipt_hash=FULL_HASH,
    )
    yield _receipt()
    yield _quote()
    yield _quote(request_hash=hash_of("request"), valid_until=0)
    yield Quote(
        provider=FULL_ADDRESS,
        channel_id=FULL_HASH,
        offer_hash=FULL_HASH,
        request_hash=FULL_HASH,
        input_tokens=top(64),
        output_tokens=top(64),
        first_token_us=top(64),
        token_us=top(64),
        valid_until=top(64),
    )
    yield Gossip(sender=OTHER.address, recipient=PROVIDER.address, number=7, body_hash=keccak(b"\0"))
    yield Gossip(sender=FULL_ADDRESS, recipient=ZERO_ADDRESS, number=top(64), body_hash=FULL_HASH)


def _entry(message: Message) -> dict[str, Any]:
    struct_hash = message.struct_hash()
    return {
        "type": type(message).__name__,
        "message": message.to_json(),
        "structHash": to_hex(struct_hash),
        "digest": to_hex(digest(DOMAIN, struct_hash)),
        "packed": to_hex(pack(message)),
    }


def said() -> list[Said]:
    """One of each kind, and a second status."""
    status, other = _status(), _status(provider=OTHER.address, sequence=5, quantization="")
    paid = sign(_receipt(), DOMAIN, PROVIDER)
    return [
        Said(key_of(status, "qwen3-8b"), status.sequence, sign(status, DOMAIN, PROVIDER), pack(status)),
        Said(
            key_of(_suspicion()), _suspicion().sequence, sign(_suspicion(), DOMAIN, OTHER), pack(_suspicion())
        ),
        Said(key_of(_rating()), _rating().sequence, sign(_rating(), DOMAIN, SESSION), pack(_rating()), paid),
        Said(key_of(other, "qwen3-8b"), other.sequence, sign(other, DOMAIN, OTHER), pack(other)),
    ]


def bodies() -> Iterator[dict[str, Any]]:
    """Each as `OTHER` sends it to `PROVIDER`."""
    every = said()
    cases: list[tuple[list[bool], list[Said]]] = [
        ([], []),
        ([], every),
        ([True], every[:1]),
        ([False, True, True, False, False, False, False, False, True], []),
        ([True] * 40, every[1:3]),
    ]
    for number, (known, frames) in enumerate(cases, 1):
        body = write_body(bits(known), frames)
        gossip = Gossip(
            sender=OTHER.address, recipient=PROVIDER.address, number=number, body_hash=keccak(body)
        )
        yield {
            "known": known,
            "frames": [
                {"kind": item.key[0], "model": item.key[2].decode()} | {"said": said_to_json(item)}
                if item.key[0] == "status"
                else {"kind": item.key[0], "said": said_to_json(item)}
                for item in frames
            ],
            "body": to_hex(body),
            "header": write_envelope(sign(gossip, DOMAIN, OTHER).signed),
        }


def malformed() -> Iterator[dict[str, str]]:
    """Bodies that are none: how many frames can be read before that is found."""
    status, suspicion, rating, _ = said()
    good = write_body(b"", [status])
    cut = write_body(b"", [rating])
    longer = write_body(b"", [suspicion])
    cases = {
        "empty": b"",
        "fewer bits than its count says": b"\x02\xff",
        "of no kind": b"\0\x04" + good[2:],
        "of kind zero": b"\0\0" + good[2:],
        "a frame without its length": b"\0\x01",
        "a frame that ends too early": good[:-1],
        "a status that ends before its signature": b"\0\x01"
        + (len(status.packed)).to_bytes(2, "big")
        + status.packed,
        "a byte behind the signature": longer[:2]
        + (int.from_bytes(longer[2:4], "big") + 1).to_bytes(2, "big")
        + longer[4:]
        + b"\0",
        "a rating without its receipt": b"\0\x03"
        + (len(rating.packed) + 65).to_bytes(2, "big")
        + rating.packed
        + rating.proof.signature,
        "a text that is not UTF-8": good.replace(b"\x04bf16", b"\x04bf\xff6"),
        "bad behind good": good + b"\x09",
        "a rating's receipt cut by a byte": b"\0\x03"
        + (int.from_bytes(cut[2:4], "big") - 1).to_bytes(2, "big")
        + cut[4:-1],
    }
    for name, body in cases.items():
        yield {"name": name, "body": to_hex(body), "read": str(_read(body))}


def _read(body: bytes) -> int:
    count = 0
    try:
        _, frames = read_body(body)
        for _ in frames:
            count += 1
    except MalformedMessage:
        return count
    raise AssertionError("this is a body")


def paces() -> Iterator[dict[str, Any]]:
    idle = Load(running=0, waiting=0, context=0, queued=0)
    some = Load(running=4, waiting=1, context=9_200, queued=1_155)
    busy = Load(running=48, waiting=9, context=61_000, queued=22_000)
    full = Load(running=60, waiting=3, context=36_000, queued=4_100)
    cases = [
        *((speed, load) for speed in (L40S, A10G, FOUND_OUT, ALIKE) for load in (idle, some, busy, full)),
        (UNKNOWN, some),
        (replace(L40S, chunk=16), busy),
    ]
    for speed, load in cases:
        for inputs, outputs in ((1_155, 211), (12, 2), (30_000, 1), (0, 0)):
            yield _pace(speed, load, inputs, outputs)
    # Speeds and loads are a stranger's word: whatever they are, there is an answer.
    yield _pace(
        WHOLE, Load(running=top(32), waiting=top(32), context=top(64), queued=top(64)), top(32), top(32)
    )


def _pace(speed: Speed, load: Load, inputs: int, outputs: int) -> dict[str, Any]:
    found = pace(speed, load, input_tokens=inputs, output_tokens=outputs)
    return {
        "speed": speed.to_json(),
        "load": {name: str(getattr(load, name)) for name in ("running", "waiting", "context", "queued")},
        "inputTokens": str(inputs),
        "outputTokens": str(outputs),
        "firstTokenUs": str(microseconds_up(found.first_s)),
        "tokenUs": str(microseconds_up(found.token_s)),
    }


def expectations() -> dict[str, Any]:
    texts = [
        expect_text(Expected(size=Size(input_tokens=1_155, output_tokens=211), pace=Pace(0.12, 0.0034))),
        expect_text(Redeemed(_quote().struct_hash())),
        "first-us=0,token-us=0,input=0,output=0",
        f"first-us={top(50)}, token-us={top(50)}, input={top(32)}, output={top(32)}",
        "quote=0x" + "aB" * 32,
    ]
    refused = [
        "",
        "first-us=1, token-us=1, input=1",
        f"first-us={1 << 50}, token-us=1, input=1, output=1",
        f"first-us=1, token-us=1, input={1 << 32}, output=1",
        "first-us=-1, token-us=1, input=1, output=1",
        "first-us=1.5, token-us=1, input=1, output=1",
        "first-us=01, token-us=1, input=1, output=1",
        "first-us=1,  token-us=1, input=1, output=1",
        "token-us=1, first-us=1, input=1, output=1",
        "first-us=1, token-us=1, input=1, output=1, more=1",
        "quote=0x" + "ab" * 31,
        "quote=" + "ab" * 32,
        "quote=0x" + "ab" * 32 + " " * 100,
    ]
    return {"read": [_expectation(text) for text in texts], "refused": [_refused(text) for text in refused]}


def _expectation(text: str) -> dict[str, str]:
    said = read_expect(text)
    if isinstance(said, Redeemed):
        return {"text": text, "quote": to_hex(said.quote)}
    return {
        "text": text,
        "firstTokenUs": str(microseconds_up(said.pace.first_s)),
        "tokenUs": str(microseconds_up(said.pace.token_s)),
        "inputTokens": str(said.size.input_tokens),
        "outputTokens": str(said.size.output_tokens),
    }


def _refused(text: str) -> str:
    try:
        read_expect(text)
    except MalformedMessage:
        return text
    raise AssertionError(f"{text} is taken")


def tolerated() -> Iterator[dict[str, Any]]:
    """Whether a provider that finds this pace takes a request with that expectation."""
    for output, expected, fresh in (
        (211, (120_000, 3_400), (1_000_000, 3_400)),
        (211, (120_000, 3_400), (1_600_000, 3_400)),
        (211, (120_000, 3_400), (120_000, 6_800)),
        (1, (100_000, 50_000), (450_000, 10_000_000)),
        (1, (100_000, 0), (450_001, 0)),
        (0, (0, 0), (300_000, 99_000_000)),
        (0, (0, 0), (300_001, 0)),
    ):
        size = Size(input_tokens=1_155, output_tokens=output)
        takes = Expected(size=size, pace=_us(expected)).tolerates(_us(fresh))
        yield {
            "outputTokens": str(output),
            "expected": {"firstTokenUs": str(expected[0]), "tokenUs": str(expected[1])},
            "found": {"firstTokenUs": str(fresh[0]), "tokenUs": str(fresh[1])},
            "taken": takes,
        }


def _us(value: tuple[int, int]) -> Pace:
    return Pace(value[0] / 1e6, value[1] / 1e6)


def network_cases() -> dict[str, Any]:
    return {
        "domain": {"chainId": str(DOMAIN.chain_id), "verifyingContract": to_hex(DOMAIN.contract)},
        "keys": {"provider": to_hex(PROVIDER.address), "sender": to_hex(OTHER.address)},
        "channel": to_hex(CHANNEL.id),
        "messages": [_entry(message) for message in messages()],
        "bodies": list(bodies()),
        "malformed": list(malformed()),
        "paces": list(paces()),
        "expectations": expectations(),
        "tolerated": list(tolerated()),
    }
