"""Every function that reads what a stranger sent or a file holds: what it takes, and what it may raise.

The one list of them. `test_decoders` tries each for a moment, `run` for as long as it is told, and a decoder
that is on no list fails a test.
"""

import asyncio
import json
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import httpx2
import orjson

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.audit_events import read_audit_event
from tallystick.chain.blocks import read_block, read_logs
from tallystick.chain.deployment import Deployment
from tallystick.chain.duel_calls import duel_call
from tallystick.chain.duel_events import read_duel_event
from tallystick.chain.errors import ChainUnavailable, KeystoreError, NoContract, RpcError, WrongPassword
from tallystick.chain.events import read_event
from tallystick.chain.keys import open_keystore
from tallystick.chain.market import Asset
from tallystick.chain.rpc import Rpc
from tallystick.client.ask import read_ask
from tallystick.client.errors import MalformedRequest
from tallystick.client.events import Lines
from tallystick.client.flow import Exchange, read_all
from tallystick.client.refusals import read_refusal
from tallystick.protocol.audit import checked
from tallystick.protocol.case import Case
from tallystick.protocol.case import checked as judged
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.documents import (
    ChannelDocument,
    ReceiptDocument,
    document_to_json,
    documents_from_json,
)
from tallystick.protocol.dossier import Dossier, drawn, signers
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import (
    DuelError,
    FormatError,
    MalformedMessage,
    ReceiptError,
    SignatureError,
)
from tallystick.protocol.evidence import Scales
from tallystick.protocol.expect import Inquiry, read_expect
from tallystick.protocol.expense import Expense
from tallystick.protocol.facts import Facts, Posted, Settlement, facts_from_json, facts_to_json
from tallystick.protocol.finding import Finding
from tallystick.protocol.gossip import Gossip, read_body, write_body
from tallystick.protocol.grant import Grant
from tallystick.protocol.hearsay import said_suspicion
from tallystick.protocol.judging import letter_of, requests
from tallystick.protocol.length import InputLength
from tallystick.protocol.lottery import Block
from tallystick.protocol.message import read_value
from tallystick.protocol.offer import Offer
from tallystick.protocol.prefill import rank_distances, read_prefill, read_replay, replay_body
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.sample import Sample, sample_from_json, sample_to_json
from tallystick.protocol.signed import Signed, Verified
from tallystick.protocol.status import Suspicion
from tallystick.protocol.told import read_told, said_to_json
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Milliseconds, Timestamp, Tokens
from tallystick.protocol.viewing import Shown
from tallystick.protocol.vote import Ballot, Choice, VoteCommitment
from tallystick.protocol.voucher import Close, Tally, Voucher
from tallystick.protocol.wire import (
    Credential,
    Terms,
    authorization,
    quote_text,
    read_authorization,
    read_envelope,
    read_quote_text,
    read_receipt_text,
    receipt_text,
    signed_from_json,
    signed_to_json,
    write_envelope,
)
from tallystick.wallet.errors import OfferFileError
from tallystick.wallet.money import AmountError, read_amount
from tallystick.wallet.offer_file import read_offer_file
from tallystick.wallet.proving import read_proof
from tallystick.wallet.vouchers import read_vouchers
from tallystick_node.config import Config, ConfigInvalid
from tallystick_node.engine.upstream import EngineGone, Reply
from tallystick_node.gateway.ask import Ask
from tallystick_node.network.asked import Asked
from tallystick_node.network.origin import read_wishes
from tallystick_node.sim.gossip import status_said
from tallystick_node.striking import read_finding
from tests.quality.making import DOMAIN as DUEL_DOMAIN
from tests.quality.making import case


@dataclass(frozen=True, slots=True)
class Decoder:
    read: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    """Nothing else, whatever comes."""
    seeds: tuple[bytes, ...]
    """What it takes."""
    covers: tuple[str, ...]
    """Functions, as `module.name` below the package."""


SILENCE = Suspicion(accuser=ZERO_ADDRESS, provider=ZERO_ADDRESS, sequence=1)
HEARD_OF_SILENCE = said_suspicion(Verified(SILENCE, bytes(65), ZERO_ADDRESS))
HEARD = status_said(1, sequence=1)
GOSSIP = Gossip(sender=ZERO_ADDRESS, recipient=ZERO_ADDRESS, number=1, body_hash=ZERO_HASH)
TOLD = {
    "known": "1",
    "statuses": [{"ageMs": "1", "said": said_to_json(HEARD)}],
    "suspicions": [{"ageMs": "1", "said": said_to_json(HEARD_OF_SILENCE)}],
    "ratings": [],
}
OFFER = Offer(
    provider=ZERO_ADDRESS,
    sequence=1,
    endpoint="https://example.org",
    endpoint_key=ZERO_HASH,
    model="m",
    model_hash=ZERO_HASH,
    input_price=1,
    cached_input_price=1,
    output_price=1,
    context_length=100,
    credit=100,
    valid_until=1 << 40,
)
RECEIPT = Receipt(
    **dict.fromkeys(("channel_id", "offer_hash", "request_hash", "response_hash", "tokens_hash"), ZERO_HASH),
    **dict.fromkeys(("sequence", "input_tokens", "cached_input_tokens", "output_tokens", "finish"), 0),
    **dict.fromkeys(("received_at", "first_token_at", "finished_at", "cost", "cumulative_cost"), 0),
)
SAMPLE = Sample(
    path="/v1/completions",
    body=b'{"model":"m","prompt":[1],"temperature":0,"n":1,"stop":["x"],"max_tokens":2}',
    ids=(5, 1),
    logprobs=(-0.5, -1.0),
    offer=OFFER,
    receipt=Signed(RECEIPT, bytes(65)),
)
DOSSIER = Dossier(receipts=(SAMPLE.receipt,), samples=(SAMPLE,), others=(OFFER,))
GRANT = Grant(
    payer=ZERO_ADDRESS, provider=ZERO_ADDRESS, session_key=ZERO_ADDRESS, epoch=0, cap=1, deadline=1 << 40
)
CHANNEL = ChannelKey(payer=ZERO_ADDRESS, provider=ZERO_ADDRESS, session_key=ZERO_ADDRESS)
VOUCHER = Tally().voucher(CHANNEL.id)
QUOTE = Quote(
    provider=ZERO_ADDRESS,
    **dict.fromkeys(("channel_id", "offer_hash", "request_hash"), ZERO_HASH),
    **dict.fromkeys(("input_tokens", "output_tokens", "first_token_us", "token_us", "valid_until"), 1),
)
CLOSE = Close(channel_id=ZERO_HASH, cumulative_amount=0)
DOMAIN = Domain(chain_id=1, contract=ZERO_ADDRESS)
RECEIPT_DOCUMENT = ReceiptDocument(
    signed=Signed(RECEIPT, bytes(65)),
    domain=DOMAIN,
    acknowledgement=VOUCHER.acknowledgement,
    proof=(ZERO_HASH,),
)
CHANNEL_DOCUMENT = ChannelDocument(
    domain=DOMAIN,
    channel=CHANNEL,
    receipts=[RECEIPT_DOCUMENT.signed],
    acknowledgements=[VOUCHER.acknowledgement],
    following=1,
)
FACTS = Facts(
    domain=DOMAIN,
    block=1,
    channel=CHANNEL,
    offers={OFFER.struct_hash(): Posted(offer=OFFER, posted_at=Timestamp(1), withdrawn_at=Timestamp(2))},
    receipt_keys={ZERO_ADDRESS: frozenset((ZERO_ADDRESS,))},
    settlements=(
        Settlement(
            settled=0,
            acknowledgement_hash=ZERO_HASH,
            block=1,
            log_index=1,
            transaction=ZERO_HASH,
            timestamp=Timestamp(1),
        ),
    ),
)
TERMS = Terms(offer_hash=ZERO_HASH, credit=0, owed=0, reserved=0, required=0, receipt_count=0, cap=0)
ASSET = Asset(symbol="TUSD", decimals=6)
ASKED = orjson.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "max_tokens": 3,
        "n": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
)
WISHED = orjson.dumps(
    {
        "model": "m",
        "models": ["n"],
        "prompt": "x",
        "provider": {
            "order": ["a.example"],
            "sort": "price",
            "max_price": {"prompt": 1, "completion": "2.5"},
        },
    }
)
CHUNK = orjson.dumps(
    {
        "choices": [{"index": 0, "delta": {"content": "x"}, "token_ids": [1], "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 1},
        },
    }
)
REFUSAL = orjson.dumps(
    {
        "error": {
            "message": "m",
            "type": "tallystick_error",
            "code": "cap-exceeded",
            "terms": TERMS.to_json(),
        }
    }
)


def signed(message: Any) -> Signed[Any]:
    return Signed(message, bytes(65))


def as_json(message: Any) -> bytes:
    return orjson.dumps(signed_to_json(signed(message)))


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def of_json(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    """Of what our JSON reader makes of the bytes."""

    def reading(raw: bytes) -> object:
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return None
        return read(data)

    return reading


def sample(data: Any) -> None:
    """As an auditor takes it."""
    shown = sample_from_json(data)
    replay_body(shown, "m")
    shown.miscounted(prompt_tokens=1, ends=(1,))
    assert shown.is_single in (True, False)
    assert shown.is_greedy <= shown.is_seeded
    with suppress(SignatureError, ReceiptError):
        shown.require_bound(DOMAIN, ZERO_ADDRESS)


def shown_to_an_engine(data: Any) -> None:
    """As a judge takes it."""
    found = judged(Case.from_json(data), DUEL_DOMAIN)
    one, other = requests("m", found.question, *found.answers)
    assert len(one) == len(other)


def dossier(data: Any) -> None:
    """As an auditor takes it."""
    shown = Dossier.from_json(data)
    assert Expense.of(shown.samples).each > 0
    with suppress(SignatureError, ReceiptError, DuelError):
        signers(shown, DOMAIN)
    with suppress(DuelError):
        drawn(shown, lambda _: Block(number=1, hash=ZERO_HASH))


def auditors_engine(raw: bytes) -> None:
    """Either answer may come in the other's place."""
    for read in (read_replay, lambda raw: rank_distances(read_prefill(raw, [2, 2]))):
        with suppress(MalformedMessage):
            read(raw)


def of_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reading(raw: bytes) -> object:
        with tempfile.NamedTemporaryFile(prefix="tallystick-fuzz-") as file:
            file.write(raw)
            file.flush()
            return read(Path(file.name))

    return reading


def lines(raw: bytes) -> None:
    """In one piece and in many, with the same events."""
    whole, split = Lines(), Lines()
    size = 5 + len(raw) // 1_000
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    assert whole.feed(raw) == [event for piece in pieces for event in split.feed(piece)]


def engine_stream(raw: bytes) -> None:
    """What a gateway reads of an engine, however its bytes are cut, and counts."""

    async def reading(pieces: list[bytes]) -> list[bytes]:
        async def readany() -> bytes:
            return pieces.pop(0) if pieces else b""

        content = SimpleNamespace(readany=readany)
        reply = Reply(SimpleNamespace(status=200, headers={}, content=content))  # type: ignore[arg-type]
        return [payload async for some in reply.payloads() for payload in some]

    size = 7 + len(raw) // 50
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    assert asyncio.run(reading([raw] if raw else [])) == asyncio.run(reading(pieces))
    transcript = Transcript(ZERO_HASH)
    of_json(transcript.add_counts)(raw)
    assert 0 <= transcript.cached_input_tokens <= transcript.input_tokens
    assert transcript.output_tokens >= 0


def whole_answer(raw: bytes) -> None:
    """A body that the SDK reads to its end, piece by piece."""
    flow = read_all(Exchange(httpx2.Response(200), None), 1 << 16, lambda: Milliseconds(0))
    next(flow)
    pieces = [raw[start : start + 64] for start in range(0, len(raw), 64)]
    with suppress(StopIteration):
        for piece in [*pieces, b""]:
            flow.send(piece)
        raise AssertionError("it reads on after the end")


class _Node(BaseHTTPRequestHandler):
    answer = b""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"]))
        answer = type(self).answer.replace(b"$ID", str(_first_id(asked)).encode())
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


def _first_id(asked: bytes) -> int:
    data = orjson.loads(asked)
    return int((data[0] if isinstance(data, list) else data)["id"])


@cache
def _node() -> Rpc:
    server = HTTPServer(("127.0.0.1", 0), _Node)
    Thread(target=server.serve_forever, daemon=True).start()
    return Rpc(f"http://127.0.0.1:{server.server_port}")


def node_answer(raw: bytes) -> None:
    """One answer of the chain's node, to one question and to a batch of one."""
    _Node.answer = raw
    for ask in (lambda: _node().call("m"), lambda: _node().batch([("m", ())])):
        with suppress(ChainUnavailable, RpcError):
            ask()


def chain_words(raw: bytes) -> None:
    """Results, events and reverts as the ABI has them."""
    interface = contracts.market().interface
    for name in ("accountOf", "channelOf", "stakeOf"):
        _quietly(lambda name=name: interface.result(name, raw), AbiError)
    for topic in interface.events:
        _quietly(lambda topic=topic: interface.log([topic, raw[:32]], raw[32:]), AbiError)
    contracts.contract_error(raw)


def _quietly(step: Callable[[], object], kind: type[Exception]) -> None:
    with suppress(kind):
        step()


def logged(contract: contracts.Contract, name: str, words: int) -> bytes:
    """An event with one indexed argument, and so many words of zeros."""
    events = contract.interface.events.items()
    (topic,) = (topic for topic, entry in events if entry.name == name)
    return orjson.dumps(
        {
            "topics": ["0x" + topic.hex(), "0x" + ZERO_HASH.hex()],
            "data": "0x" + "00" * 32 * words,
            "blockNumber": "0x1",
            "logIndex": "0x0",
            "transactionHash": "0x" + "00" * 32,
        }
    )


LOG = logged(contracts.market(), "Deposited", 2)
DUEL_LOG = logged(contracts.duels(), "Lapsed", 1)
AUDIT_LOG = logged(contracts.audits(), "Withdrawn", 1)
BALLOT = judged(case(), DUEL_DOMAIN).ballot(ZERO_ADDRESS, Choice.TIE, ZERO_HASH)
DUEL_CALL = (
    contracts.duels()
    .call(ZERO_ADDRESS, "commit", ZERO_HASH, [(ZERO_ADDRESS, BALLOT.struct_hash(), bytes(65))])
    .data
)
FINDING = Finding(
    auditor=ZERO_ADDRESS,
    provider=ZERO_ADDRESS,
    receipt_hash=ZERO_HASH,
    receipts_root=ZERO_HASH,
    receipt_count=1,
    scales_hash=ZERO_HASH,
    check=2,
    verdict=2,
    tokens=Tokens(1),
    evidence=1,
    found_at=Milliseconds(1),
)
BLOCK = orjson.dumps(
    {"number": "0x7", "timestamp": "0x65", "hash": "0x" + "ab" * 32, "parentHash": "0x" + "cd" * 32}
)
REVERTED = b'{"id": $ID, "error": {"code": 3, "message": "m", "data": {"data": "0x08c379a0"}}}'
DEPLOYMENT = json.dumps(
    {"chainId": 1, "block": 0, **dict.fromkeys(("market", "asset", "lens"), "0x" + "00" * 20)}
)
KEYSTORE = json.dumps(
    {
        "version": 3,
        "address": "00" * 20,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "00" * 16},
            "ciphertext": "00" * 32,
            "kdf": "pbkdf2",
            "kdfparams": {"c": 1, "dklen": 32, "prf": "hmac-sha256", "salt": "00" * 32},
            "mac": "00" * 32,
        },
    }
)
OFFER_FILE = b"""
model = "m"
endpoint = "https://example.org"
input_price = "0.1 TUSD"
output_price = "0.4 TUSD"
context_length = 4096
credit = "0.05 TUSD"
valid_for = "30 days"
"""
CONFIG = b"""
rpc = "http://127.0.0.1:8545"
deployment = "deployment.json"
database = "node.db"
[keys]
receipt = "receipt.json"
password_file = "password"
[engine]
url = "http://127.0.0.1:8000"
[[offers]]
model = "m"
input_price = 1
output_price = 1
context_length = 4096
credit = 1000
"""
ENTRY = orjson.dumps(
    [
        signed_to_json(signed(VOUCHER))
        | {
            "payer": "0x" + "00" * 20,
            "provider": "0x" + "00" * 20,
            "sessionKey": "0x" + "00" * 20,
            "epoch": "0",
        }
    ]
)
STREAM = b"data: " + CHUNK + b"\n\n: payment-receipt e30\n\ndata: [DONE]\n\n"
CREDENTIAL = authorization(Credential(voucher=signed(VOUCHER), grant=signed(GRANT)))
KINDS = ("uint24", "uint128", "bytes32", "address", "bytes", "string")


def values(raw: bytes) -> None:
    for kind in KINDS:
        _quietly(lambda kind=kind: read_value(kind, text(raw), "where"), MalformedMessage)


def messages(data: object) -> None:
    for kind in (Offer, Receipt, Voucher, Grant, Close, Quote):
        _quietly(lambda kind=kind: signed_from_json(kind, data), MalformedMessage)
        _quietly(lambda kind=kind: kind.from_json(data), MalformedMessage)


DECODERS = {
    "credential": Decoder(
        lambda raw: read_authorization(text(raw)),
        (FormatError,),
        (CREDENTIAL.encode(), b"Payment "),
        ("protocol.wire.read_authorization",),
    ),
    "credential's JSON": Decoder(
        lambda raw: read_authorization("Payment " + base64url(raw)),
        (FormatError,),
        (urlsafe_b64decode(CREDENTIAL.removeprefix("Payment ") + "==="),),
        ("protocol.wire.read_authorization",),
    ),
    "receipt": Decoder(
        lambda raw: read_receipt_text(text(raw)),
        (FormatError,),
        (receipt_text(signed(RECEIPT)).encode(),),
        ("protocol.wire.read_receipt_text",),
    ),
    "quote": Decoder(
        lambda raw: read_quote_text(text(raw)),
        (FormatError,),
        (quote_text(signed(QUOTE)).encode(),),
        ("protocol.wire.read_quote_text",),
    ),
    "expectation": Decoder(
        lambda raw: read_expect(text(raw)),
        (MalformedMessage,),
        (b"first-us=120000, token-us=3400, input=1155, output=211", b"quote=0x" + b"00" * 32),
        ("protocol.expect.read_expect",),
    ),
    "gossip": Decoder(
        lambda raw: list(read_body(raw)[1]),
        (MalformedMessage,),
        (write_body(b"\1", [HEARD, HEARD_OF_SILENCE]),),
        ("protocol.gossip.read_body", "protocol.packed.unpack"),
    ),
    "envelope of gossip": Decoder(
        lambda raw: read_envelope(text(raw), Gossip),
        (FormatError,),
        (write_envelope(signed(GOSSIP)).encode(),),
        ("protocol.wire.read_envelope",),
    ),
    "what a node tells": Decoder(
        of_json(lambda data: list(read_told(data)[1])),
        (MalformedMessage,),
        (orjson.dumps(TOLD),),
        ("protocol.told.read_told", "protocol.told.read_said"),
    ),
    "inquiry": Decoder(
        of_json(Inquiry.from_json),
        (MalformedMessage,),
        (orjson.dumps({"offerHash": "0x" + "00" * 32, "inputTokens": "1", "outputTokens": "2"}),),
        ("protocol.expect.from_json",),
    ),
    "signed messages": Decoder(
        of_json(messages),
        (),
        tuple(map(as_json, (OFFER, RECEIPT, VOUCHER, GRANT, CLOSE))),
        ("protocol.wire.signed_from_json", "protocol.message.from_json"),
    ),
    "values": Decoder(values, (), (b"12", b"0x" + b"00" * 32), ("protocol.message.read_value",)),
    "terms": Decoder(
        of_json(Terms.from_json),
        (MalformedMessage,),
        (orjson.dumps(TERMS.to_json()),),
        ("protocol.wire.from_json",),
    ),
    "request at the gateway": Decoder(
        lambda raw: Ask.read(raw).for_engine("m"),
        (MalformedMessage,),
        (ASKED, b'{"model": "m", "prompt": [[1, 2], [3]]}'),
        ("gateway.ask.read",),
    ),
    "own user's request": Decoder(
        lambda raw: Asked.read(
            "anna", "/v1/chat/completions", raw, {}, read_wishes=read_wishes, estimate=InputLength().tokens
        ).for_engine("m"),
        (MalformedMessage,),
        (ASKED, b'{"model": "m", "prompt": [[1, 2], [3]], "n": 2, "max_tokens": 7}'),
        ("network.asked.read", "network.origin.read_wishes"),
    ),
    "request at the payer": Decoder(
        lambda raw: read_ask("/v1/chat/completions", raw).body(stream=True),
        (MalformedRequest,),
        (ASKED, WISHED),
        (
            "client.ask.read_ask",
            "client.ask.read_manner",
            "client.steering.read_models",
            "client.steering.read_steering",
        ),
    ),
    "refusal": Decoder(
        lambda raw: read_refusal(402, raw).error(), (), (REFUSAL,), ("client.refusals.read_refusal",)
    ),
    "stream at the payer": Decoder(lines, (), (STREAM,), ("client.events.feed",)),
    "stream at the gateway": Decoder(
        engine_stream,
        (EngineGone,),
        (STREAM, CHUNK),
        ("engine.upstream.payloads", "protocol.transcript.add_counts"),
    ),
    "answer in one piece": Decoder(
        whole_answer, (httpx2.RemoteProtocolError,), (CHUNK,), ("client.flow.read_all",)
    ),
    "node's answer": Decoder(
        node_answer,
        (),
        (b'{"id": $ID, "result": "0x"}', b'[{"id": $ID, "result": []}]', REVERTED),
        ("chain.rpc.call", "chain.rpc.batch"),
    ),
    "block": Decoder(of_json(read_block), (ChainUnavailable,), (BLOCK,), ("chain.blocks.read_block",)),
    "logs": Decoder(
        of_json(read_logs), (ChainUnavailable,), (b"[" + LOG + b"]",), ("chain.blocks.read_logs",)
    ),
    "event": Decoder(
        of_json(read_event),
        (ChainUnavailable,),
        (LOG,),
        ("chain.events.read_event", "chain.events.read_log"),
    ),
    "event of the duels": Decoder(
        of_json(read_duel_event), (ChainUnavailable,), (DUEL_LOG,), ("chain.duel_events.read_duel_event",)
    ),
    "event of the audits": Decoder(
        of_json(read_audit_event),
        (ChainUnavailable,),
        (AUDIT_LOG,),
        ("chain.audit_events.read_audit_event",),
    ),
    "finding": Decoder(
        of_json(read_finding),
        (MalformedMessage,),
        (as_json(FINDING)[:-1] + b',"said":{"verdict":"strike"}}',),
        ("striking.read_finding",),
    ),
    "words of the chain": Decoder(
        chain_words, (), (bytes(96), bytes(31) + b"\x20" + bytes(64)), ("chain.abi.decode",)
    ),
    "deployment": Decoder(
        of_file(Deployment.load), (NoContract,), (DEPLOYMENT.encode(),), ("chain.deployment.load",)
    ),
    "keystore": Decoder(
        of_file(lambda path: open_keystore(path, "p")),
        (WrongPassword, KeystoreError),
        (KEYSTORE.encode(),),
        ("chain.keys.load",),
    ),
    "offer file": Decoder(
        of_file(lambda path: read_offer_file(path, ASSET, now=Timestamp(1_800_000_000))),
        (OfferFileError,),
        (OFFER_FILE,),
        ("wallet.offer_file.read_offer_file",),
    ),
    "amount": Decoder(
        lambda raw: read_amount(text(raw), ASSET),
        (AmountError,),
        (b"1.5 TUSD",),
        ("wallet.money.read_amount",),
    ),
    "vouchers file": Decoder(
        of_file(read_vouchers),
        (MalformedMessage,),
        (ENTRY,),
        ("wallet.vouchers.read_vouchers", "protocol.channel.from_json"),
    ),
    "document": Decoder(
        of_json(documents_from_json),
        (MalformedMessage,),
        (
            orjson.dumps(document_to_json(RECEIPT_DOCUMENT)),
            orjson.dumps([document_to_json(CHANNEL_DOCUMENT)]),
            as_json(RECEIPT),
        ),
        ("protocol.documents.document_from_json", "protocol.documents.documents_from_json"),
    ),
    "receipt to be audited": Decoder(
        of_json(lambda data: checked(data, FACTS)),
        (),
        (orjson.dumps(document_to_json(RECEIPT_DOCUMENT)),),
        ("protocol.audit.read",),
    ),
    "the chain's facts": Decoder(
        of_json(facts_from_json),
        (MalformedMessage,),
        (orjson.dumps(facts_to_json(FACTS)),),
        ("protocol.facts.facts_from_json",),
    ),
    "call of the duels' contract": Decoder(duel_call, (), (DUEL_CALL, DUEL_CALL[:4] + bytes(96)), ()),
    "ballot of a judge": Decoder(
        of_json(Ballot.from_json), (MalformedMessage,), (orjson.dumps(BALLOT.to_json()),), ()
    ),
    "commitment of a judge": Decoder(
        of_json(lambda data: signed_from_json(VoteCommitment, data)),
        (MalformedMessage,),
        (orjson.dumps(signed_to_json(Signed(BALLOT.commitment, bytes(65)))),),
        (),
    ),
    "finding of an auditor": Decoder(
        of_json(lambda data: signed_from_json(Finding, data)),
        (MalformedMessage,),
        (orjson.dumps(signed_to_json(Signed(FINDING, bytes(65)))),),
        (),
    ),
    "what a finding is of": Decoder(
        of_json(Shown.from_json),
        (MalformedMessage,),
        (orjson.dumps(Shown(finding=Signed(FINDING, bytes(65)), dossier=DOSSIER).to_json()),),
        ("protocol.viewing.from_json",),
    ),
    "case": Decoder(
        of_json(shown_to_an_engine),
        (FormatError, SignatureError, DuelError),
        (orjson.dumps(case().to_json()),),
        ("protocol.case.from_json", "protocol.case.read_body"),
    ),
    "verdict of an engine": Decoder(
        of_json(lambda data: letter_of(data) if isinstance(data, dict) else None),
        (),
        (
            b'{"choices":[{"message":{"content":"?"},"logprobs":'
            b'{"content":[{"top_logprobs":[{"token":"A","logprob":-1}]}]}}]}',
        ),
        (),
    ),
    "sample": Decoder(
        of_json(sample),
        (MalformedMessage,),
        (orjson.dumps(sample_to_json(SAMPLE)),),
        ("protocol.sample.sample_from_json",),
    ),
    "dossier": Decoder(
        of_json(dossier),
        (MalformedMessage,),
        (orjson.dumps(DOSSIER.to_json()),),
        ("protocol.dossier.from_json",),
    ),
    "scales": Decoder(
        Scales.read,
        (MalformedMessage,),
        (
            b'{"model":"m","precision":"p","sampler":"s","ends":[1],"likelihood":{"mean":-1,"deviation":1,"alarm":5},'
            b'"checks":{"rank":{"edges":[0,9],"weights":{"cut":[-1,2,3]},"strike":7}}}',
        ),
        ("protocol.evidence.read",),
    ),
    "answers of an auditor's engine": Decoder(
        auditors_engine,
        (MalformedMessage,),
        (
            b'{"prompt_token_ids":[1],"choices":[{"token_ids":[2]}]}',
            b'{"choices":[{"prompt_logprobs":[null,{"2":{"logprob":-1}},{"2":{"logprob":-2},"3":{"logprob":-1}}]}]}',
        ),
        ("protocol.prefill.read_replay", "protocol.prefill.read_prefill"),
    ),
    "proof of fraud": Decoder(
        of_file(read_proof), (MalformedMessage,), (as_json(RECEIPT),), ("wallet.proving.read_proof",)
    ),
    "configuration": Decoder(of_file(Config.load), (ConfigInvalid,), (CONFIG,), ("config.load",)),
}

ELSEWHERE = {
    "client.books.load_channel": "a row of one's own database",
    "client.books.read_request": "a row of one's own database",
    "client.receiver.read_stream": "lines and receipts, each on this list; whole answers in tests/client",
    "client.receiver.read_whole": "a receipt, on this list",
    "protocol.wire.read_text": "one's own text, as the store kept it: not checked again",
    "protocol.status.load": "no decoder",
    "client.choose.load": "no decoder",
    "store.starts.read": "one's own file",
    "wallet.json_file.read_json_file": "under the three files that are on this list",
    "client.flow.read": "bytes as they are",
    "client.judges.from_json": "sealed in one's own purse: tests/chain/test_trials.py",
    "engine.upstream.read": "bytes as they are",
    "chain.blocks.read": "blocks and logs, each on this list",
    "chain.codec.decoder_fn": "inside chain.abi.decode",
    "chain.transaction.read": "what web3 has read: tests/chain/test_bad_node.py feeds it nonsense",
    "gateway.load.load_of": "no decoder",
    "gateway.promises.load": "no decoder",
    "gateway.tls.load_or_make_key": "one's own key, read by cryptography",
    "network.loading.load_policy": "one's own configuration: tests/network/test_users.py",
    "network.participation.load": "no decoder",
    "client.interrupting.read": "bytes as they are",
    "sim.engine.load": "no decoder",
    "sim.fit.read": "one's own file of measured requests: tests/sim/test_fit.py",
    "sim.nodes.load": "no decoder",
    "sim.hardware.read_pool": "one's own file: tests/sim/test_hardware.py",
    "sim.recorded.read_rows": "one's own file: tests/sim/test_workload.py",
    "engine.echo.load": "no decoder",
    "engine.echo.read_manner": "one's own command line",
    "engine.embedded.load": "no decoder",
    "engine.embedded.load_engine": "a model of one's own",
    "engine.llama.decode": "no decoder",
    "engine.pace.read_speed": "one's own command line",
    "engine.openai_requests.parse": "the demo's own engine, behind a gateway that read the body",
    "engine.openai_server.load": "no decoder",
    "tokenizer.decode": "token ids of the demo's own engine",
    "client.tokenizers.load_tokenizers": "one's own folders",
    "explorer.answers.read": "what the explorer's node answers a visitor: tests/explorer/test_node.py",
    "explorer.index.reading.read": "blocks, logs and receipts: tests/explorer/test_trouble.py bends them",
    "explorer.index.tables.load": "a row of one's own database",
    "explorer.prices.read": "a row of one's own database",
}
"""What is named like a decoder and is not on the list, and why."""
