"""What the gateway's HTTP interface is, as an OpenAPI document: made of the type strings, the table of
statuses and the errors themselves, so that it cannot say anything else than they do.

Of OpenAI's own objects it names what money depends on; the rest is the engine's business.
"""

from collections.abc import Iterable
from typing import Final

from tallystick.protocol import errors as protocol
from tallystick.protocol.documents import CHANNEL
from tallystick.protocol.errors import MarketError
from tallystick.protocol.message import Message
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.speed import Speed
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher
from tallystick.protocol.wire import (
    AUDIT_PATH,
    CLOSE_PATH,
    EXPECT,
    GOSSIP,
    GOSSIP_PATH,
    JUDGE_PATH,
    NETWORK_PATH,
    OFFERS_PATH,
    QUOTE,
    QUOTES_PATH,
    RATINGS_PATH,
    RECEIPT,
    RECEIPTS_PATH,
    RESTORE_PATH,
    RESYNC_PATH,
    VOUCHERS_PATH,
)
from tallystick_node.gateway import errors as gateway
from tallystick_node.gateway import openapi_bench as bench
from tallystick_node.gateway.shapes import (
    Json,
    errors_of,
    json_of,
    kind_of,
    list_of,
    message_of,
    nullable,
    object_of,
    ref,
    signed_of,
    text_of,
)
from tallystick_node.network import errors as users

OPENAPI_PATH: Final = "/openapi.json"
PAID_PATHS: Final = ("/v1/chat/completions", "/v1/completions")
_SIGNED: Final = (Offer, Receipt, Voucher, Close, Quote, Status, Suspicion, Rating)

_CREDENTIAL: Final = (
    gateway.PaymentRequired,
    gateway.RateLimited,
    gateway.InternalFailure,
    protocol.MalformedCredential,
    protocol.CredentialTooLarge,
    protocol.MalformedMessage,
    protocol.MalformedSignature,
    protocol.WrongSigner,
    protocol.ChannelUnknown,
    protocol.RequestHashMismatch,
)
_VOUCHER: Final = (
    protocol.ChannelNotOpen,
    protocol.ChannelLost,
    protocol.WrongEpoch,
    protocol.VoucherExceedsCap,
    protocol.AcknowledgementMismatch,
    protocol.GrantExpired,
    protocol.GrantNotCovered,
    gateway.ChainStale,
)
_BODY: Final = (gateway.BodyTooLarge, gateway.BodyTooSlow, gateway.Busy)
_OFFER: Final = (protocol.OfferUnknown, protocol.OfferExpired, protocol.OfferWithdrawn)
_READY: Final = (gateway.Draining, gateway.Declined, gateway.Unready)
_NEWS: Final = (
    gateway.RateLimited,
    gateway.InternalFailure,
    protocol.MalformedMessage,
    protocol.MalformedSignature,
    protocol.WrongSigner,
    *_BODY,
)
"""Why hearsay is not taken, whoever brings it."""
_PEER: Final = (
    protocol.MalformedCredential,
    protocol.CredentialTooLarge,
    protocol.PeerUnknown,
    protocol.NumberNotGreater,
    protocol.TurnSpent,
)
_OWN: Final = (users.UserUnknown, users.ModelUnknown, users.UserBusy, users.Crowded, users.Unserved)
"""What only users of the node are told."""
_WORK: Final = (
    protocol.AnswerUnknown,
    protocol.NonceReused,
    protocol.AnswerDropped,
    *_OFFER,
    protocol.ModelNotOffered,
    protocol.ContextTooLong,
    protocol.CreditExceeded,
    protocol.CapExceeded,
    protocol.WorstCaseExceedsCredit,
    *_READY,
    gateway.EngineUnreachable,
)
_PROMISE: Final = (
    gateway.Bounced,
    protocol.QuoteUnknown,
    protocol.QuoteExpired,
    protocol.QuoteMismatch,
)


_API_KEY: Final = {"type": "http", "scheme": "bearer", "description": "Of a user of the node's own."}


def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick gateway",
            "version": "1",
            "description": "Inference paid by request. docs/spec.md of the project is normative.",
        },
        "security": [{"Payment": []}],
        "paths": _paths(),
        "components": {"schemas": _schemas(), "securitySchemes": {"Payment": _payment(), "ApiKey": _API_KEY}},
    }


def _paths() -> Json:
    vouchers = (*_CREDENTIAL, *_VOUCHER, protocol.VoucherNotGreater)
    owned = (*_CREDENTIAL, *_BODY)
    restoring = (*owned, *_VOUCHER, protocol.VoucherNotGreater)
    quoting = (*owned, *_VOUCHER, *_OFFER, protocol.ContextTooLong, gateway.Declined, *_READY)
    closing = (*owned, protocol.AcknowledgementMismatch, protocol.VoucherExceedsCap, gateway.RequestsRunning)
    return {
        PAID_PATHS[0]: {"post": _paid("OpenAI's chat completion", "ChatRequest")},
        PAID_PATHS[1]: {"post": _paid("OpenAI's text completion", "CompletionRequest")},
        **_opining(),
        VOUCHERS_PATH: {
            "post": _post("Takes a bare voucher; what is held afterwards", "Held", vouchers, body=None)
        },
        QUOTES_PATH: {
            "post": _post("How long a request would take now", "SignedQuote", quoting, body="Inquiry")
        },
        RESYNC_PATH: {
            "post": _post(
                "Both sides' signed state, from a receipt on", "Resync", owned, body="ResyncRequest"
            )
        },
        RESTORE_PATH: {
            "post": _post("The payer's half of a lost channel", "Restored", restoring, body="RestoreRequest")
        },
        CLOSE_PATH: {
            "post": _post("Signs the end of a channel", "SignedClose", closing, body="CloseRequest")
        },
        f"{RECEIPTS_PATH}/{{channel}}": {"get": _reading()},
        **_network(),
        OFFERS_PATH: {"get": _get("The offers that hold now", list_of("SignedOffer"))},
        "/v1/models": {"get": _get("OpenAI's list of models, with what each costs", ref("Models"))},
        "/healthz": {
            "get": _get("Whether it can sell now, and why not", ref("Health"), also=503),
        },
        "/metrics": {
            "get": {
                "summary": "For Prometheus",
                "security": [],
                "responses": {"200": text_of("text/plain", "Counters and gauges.")},
            }
        },
        OPENAPI_PATH: {"get": _get("This document", {"type": "object"})},
    }


# ------------------------------------------------------------------------------------------------- operations


def _paid(summary: str, body: str) -> Json:
    """An answer has the engine's own status where the engine refuses: such an answer costs nothing."""
    answer = {
        "description": "The engine's answer, whole or as a stream whose comments carry the receipts.",
        "headers": {
            RECEIPT: {"description": "Of an answer in one piece.", "schema": {"type": "string"}},
            QUOTE: {"description": "The promise that it was taken under.", "schema": {"type": "string"}},
        },
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "object", "properties": {"data": {"type": "string"}}}},
        },
    }
    errors = (*_CREDENTIAL, *_VOUCHER, *_BODY, *_WORK, *_PROMISE, *_OWN)
    refused = {"description": "The engine's own error.", "content": {"application/json": {"schema": {}}}}
    responses = {"200": answer, **errors_of(errors), "default": refused}
    expect = {"name": EXPECT, "in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "summary": summary,
        "security": [{"Payment": []}, {"ApiKey": []}],
        "parameters": [expect],
        "requestBody": _body(body),
        "responses": responses,
    }


def _opining() -> Json:
    """Where the provider judges duels, or audits; else there are no such routes."""
    judge = _paid("Which of two answers is better, as a commitment", "CaseRequest")
    judge |= {"security": [{"Payment": []}], "responses": judge["responses"] | errors_of(bench.REFUSALS)}
    audit = _paid("Whether answers are the promised model's, as a signed finding", "DossierRequest")
    audit |= {"security": [{"Payment": []}], "responses": audit["responses"] | errors_of(bench.UNAUDITED)}
    usual = (gateway.RateLimited, gateway.InternalFailure, *_BODY)
    shown = {
        path: {"post": _post(summary, answer, (*usual, *errors), body=body) | {"security": []}}
        for path, summary, answer, body, errors in bench.SHOWN
    }
    return {JUDGE_PATH: {"post": judge}, AUDIT_PATH: {"post": audit}, **shown}


def _post(summary: str, answer: str, errors: Iterable[type[MarketError]], *, body: str | None) -> Json:
    operation: Json = {"summary": summary, "responses": {"200": json_of(ref(answer)), **errors_of(errors)}}
    if body is not None:
        operation["requestBody"] = _body(body)
    return operation


def _get(summary: str, schema: Json, *, also: int | None = None) -> Json:
    responses = {str(status): json_of(schema) for status in (200, also) if status}
    return {"summary": summary, "security": [], "responses": responses}


def _network() -> Json:
    body: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    envelope: Json = {"name": GOSSIP, "in": "header", "required": True, "schema": {"type": "string"}}
    answer: Json = {
        "description": "What this node says, as section 8 of the specification has it.",
        "headers": {GOSSIP: {"required": True, "schema": {"type": "string"}}},
        "content": body,
    }
    gossip: Json = {
        "summary": "What another node says",
        "security": [],
        "parameters": [envelope],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, **errors_of((*_NEWS, *_PEER))},
    }
    rating = _post("What a payer says of a provider", "News", _NEWS, body="RatedBy")
    network = _get("What is heard of those who offer a model, or any", ref("Network"))
    network["parameters"] = [
        {"name": "model", "in": "query", "schema": {"type": "string"}},
        {"name": "ratings", "in": "query", "schema": {"type": "string", "enum": ["1"]}},
    ]
    return {
        GOSSIP_PATH: {"post": gossip},
        RATINGS_PATH: {"post": rating | {"security": []}},
        NETWORK_PATH: {"get": network},
    }


def _heard(kind: type[Message], *, evidence: bool = False) -> Json:
    said = ref("RatedBy" if evidence else f"Signed{kind.__name__}")
    return {"type": "array", "items": object_of({"ageMs": kind_of("uint64"), "said": said})}


def _reading() -> Json:
    errors = (*_CREDENTIAL, protocol.CredentialExpired)
    parameters = [
        {"name": "channel", "in": "path", "required": True, "schema": kind_of("bytes32")},
        {"name": "from", "in": "query", "required": False, "schema": kind_of("uint64")},
        {"name": "until", "in": "query", "required": True, "schema": kind_of("uint64")},
    ]
    return {
        "summary": "What was issued on a channel, for its session key or its payer, from a receipt on",
        "parameters": parameters,
        "responses": {"200": json_of(ref("ChannelDocument")), **errors_of(errors)},
    }


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": ref(name)}}}


def _payment() -> Json:
    return {
        "type": "http",
        "scheme": "Payment",
        "description": "A credential of this scheme, method tallystick: a voucher for this very request.",
    }


# ------------------------------------------------------------------------------------------------- schemas


def _schemas() -> Json:
    messages = {
        kind.__name__: message_of(kind) for kind in (Acknowledgement, Speed, *_SIGNED, *bench.MESSAGES)
    }
    signed = {f"Signed{kind.__name__}": signed_of(kind) for kind in (*_SIGNED, *bench.MESSAGES)}
    return {**messages, **signed, **_requests(), **_answers(), **bench.schemas()}


def _requests() -> Json:
    limits = ("max_tokens", "n", "best_of")
    options = {name: nullable("boolean") for name in ("include_usage", "continuous_usage_stats")}
    common: Json = {
        "model": {"type": "string"},
        "stream": nullable("boolean"),
        "stream_options": {"type": ["object", "null"], "properties": options},
        "return_token_ids": nullable("boolean"),
        **{name: {"type": ["integer", "null"], "minimum": 0} for name in limits},
    }
    messages = {"type": "array", "items": {"type": "object"}, "minItems": 1}
    chat = {**common, "messages": messages, "max_completion_tokens": common["max_tokens"]}
    prompt = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return {
        "ChatRequest": object_of(chat, required=["model", "messages"], open_=True),
        "CompletionRequest": object_of(
            {**common, "prompt": prompt}, required=["model", "prompt"], open_=True
        ),
        "ResyncRequest": object_of({"fromSequence": kind_of("uint64")}, open_=True),
        "RestoreRequest": object_of({"voucher": ref("SignedVoucher"), "receipts": list_of("SignedReceipt")}),
        "CloseRequest": object_of({}),
        "RatedBy": object_of(
            {"rating": ref("Rating"), "signature": kind_of("bytes"), "evidence": ref("SignedReceipt")}
        ),
        "Inquiry": object_of(
            {"offerHash": kind_of("bytes32")}
            | dict.fromkeys(("inputTokens", "outputTokens"), kind_of("uint64")),
            open_=True,
        ),
    }


def _answers() -> Json:
    amounts = dict.fromkeys(("credit", "owed", "reserved", "required", "cap"), kind_of("uint128"))
    terms = {"offerHash": kind_of("bytes32"), "receiptCount": kind_of("uint64"), **amounts}
    error = {
        "message": {"type": "string"},
        "type": {"const": "tallystick_error"},
        "code": {"type": "string"},
        "param": {"type": "null"},
        "required": nullable("string"),
        "actual": nullable("string"),
        "retryable": {"type": "boolean"},
    }
    offered = {"offerHash": kind_of("bytes32"), "offer": ref("Offer"), "signature": kind_of("bytes")}
    model = {"id": {"type": "string"}, "object": {"const": "model"}, "tallystick": object_of(offered)}
    voucher = {"anyOf": [ref("SignedVoucher"), {"type": "null"}]}
    close = {"anyOf": [ref("SignedClose"), {"type": "null"}]}
    return {
        "ChannelDocument": _channel_document(),
        "News": object_of({"news": {"type": "boolean"}}),
        "Network": object_of(
            {
                "known": kind_of("uint32"),
                "statuses": _heard(Status),
                "suspicions": _heard(Suspicion),
                "ratings": _heard(Rating, evidence=True),
            }
        ),
        "Error": object_of(
            {
                "error": object_of(
                    {**error, "terms": ref("Terms"), "quote": ref("SignedQuote")}, required=list(error)
                )
            }
        ),
        "Terms": object_of(terms),
        "Held": object_of({"cumulativeAmount": kind_of("uint128"), "receiptCount": kind_of("uint64")}),
        "Restored": object_of({"receiptCount": kind_of("uint64"), "close": close}),
        "Resync": object_of({"voucher": voucher, "receipts": list_of("SignedReceipt")}),
        "Models": object_of(
            {"object": {"const": "list"}, "data": {"type": "array", "items": object_of(model, open_=True)}}
        ),
        "Health": object_of({"status": {"enum": ["ok", "unavailable"]}}, open_=True),
    }


def _channel_document() -> Json:
    ends = dict.fromkeys(("payer", "provider", "sessionKey"), kind_of("address"))
    members = {
        "tallystick": {"const": CHANNEL},
        "chainId": kind_of("uint256"),
        "market": kind_of("address"),
        "channel": object_of(ends | {"epoch": kind_of("uint24")}),
        "receipts": list_of("SignedReceipt"),
        "acknowledgements": list_of("Acknowledgement"),
    }
    optional = {"voucher": ref("SignedVoucher"), "following": kind_of("uint64")}
    return object_of(members | optional, required=list(members))
