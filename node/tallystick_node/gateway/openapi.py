"""What the gateway's HTTP interface is, as an OpenAPI document: made of the type strings, the table of
statuses and the errors themselves, so that it cannot say anything else than they do.

Of OpenAI's own objects it names what money depends on; the rest is the engine's business.
"""

from collections.abc import Iterable
from typing import Any, Final

from tallystick.protocol import errors as protocol
from tallystick.protocol.documents import CHANNEL
from tallystick.protocol.errors import MarketError
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher
from tallystick.protocol.wire import (
    CHALLENGE,
    CLOSE_PATH,
    EXPECT,
    OFFERS_PATH,
    QUOTE,
    QUOTES_PATH,
    RECEIPT,
    RECEIPTS_PATH,
    RESTORE_PATH,
    RESYNC_PATH,
    VOUCHERS_PATH,
)
from tallystick_node.gateway import errors as gateway
from tallystick_node.gateway.errors import status_of
from tallystick_node.network import errors as users

Json = dict[str, Any]

OPENAPI_PATH: Final = "/openapi.json"
PAID_PATHS: Final = ("/v1/chat/completions", "/v1/completions")
_SIGNED: Final = (Offer, Receipt, Voucher, Close, Quote)

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
        OFFERS_PATH: {"get": _get("The offers that hold now", _list("SignedOffer"))},
        "/v1/models": {"get": _get("OpenAI's list of models, with what each costs", _ref("Models"))},
        "/healthz": {
            "get": _get("Whether it can sell now, and why not", _ref("Health"), also=503),
        },
        "/metrics": {
            "get": {
                "summary": "For Prometheus",
                "security": [],
                "responses": {"200": _text("text/plain", "Counters and gauges.")},
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
    responses = {"200": answer, **_errors(errors), "default": refused}
    expect = {"name": EXPECT, "in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "summary": summary,
        "security": [{"Payment": []}, {"ApiKey": []}],
        "parameters": [expect],
        "requestBody": _body(body),
        "responses": responses,
    }


def _post(summary: str, answer: str, errors: Iterable[type[MarketError]], *, body: str | None) -> Json:
    operation: Json = {"summary": summary, "responses": {"200": _json(_ref(answer)), **_errors(errors)}}
    if body is not None:
        operation["requestBody"] = _body(body)
    return operation


def _get(summary: str, schema: Json, *, also: int | None = None) -> Json:
    responses = {str(status): _json(schema) for status in (200, also) if status}
    return {"summary": summary, "security": [], "responses": responses}


def _reading() -> Json:
    errors = (*_CREDENTIAL, protocol.CredentialExpired)
    parameters = [
        {"name": "channel", "in": "path", "required": True, "schema": _kind("bytes32")},
        {"name": "from", "in": "query", "required": False, "schema": _kind("uint64")},
        {"name": "until", "in": "query", "required": True, "schema": _kind("uint64")},
    ]
    return {
        "summary": "What was issued on a channel, for its session key or its payer, from a receipt on",
        "parameters": parameters,
        "responses": {"200": _json(_ref("ChannelDocument")), **_errors(errors)},
    }


def _errors(kinds: Iterable[type[MarketError]]) -> Json:
    """By status, each with the codes that come with it."""
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(status_of(kind), []).append(kind.code)
    return {str(status): _refusal(status, sorted(codes[status])) for status in sorted(codes)}


def _refusal(status: int, codes: list[str]) -> Json:
    shape: Json = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    refusal = _json({"allOf": [_ref("Error"), shape]})
    refusal["description"] = f"{', '.join(codes)}."
    if status == 402:
        refusal["headers"] = {CHALLENGE: {"required": True, "schema": {"type": "string"}}}
    return refusal


def _json(schema: Json) -> Json:
    return {"description": "As JSON.", "content": {"application/json": {"schema": schema}}}


def _text(media_type: str, description: str) -> Json:
    return {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def _payment() -> Json:
    return {
        "type": "http",
        "scheme": "Payment",
        "description": "A credential of this scheme, method tallystick: a voucher for this very request.",
    }


# ------------------------------------------------------------------------------------------------- schemas


def _schemas() -> Json:
    messages = {kind.__name__: _message(kind) for kind in (Acknowledgement, *_SIGNED)}
    signed = {f"Signed{kind.__name__}": _signed(kind) for kind in _SIGNED}
    return {**messages, **signed, **_requests(), **_answers()}


def _requests() -> Json:
    limits = ("max_tokens", "n", "best_of")
    options = {name: _nullable("boolean") for name in ("include_usage", "continuous_usage_stats")}
    common: Json = {
        "model": {"type": "string"},
        "stream": _nullable("boolean"),
        "stream_options": {"type": ["object", "null"], "properties": options},
        "return_token_ids": _nullable("boolean"),
        **{name: {"type": ["integer", "null"], "minimum": 0} for name in limits},
    }
    messages = {"type": "array", "items": {"type": "object"}, "minItems": 1}
    chat = {**common, "messages": messages, "max_completion_tokens": common["max_tokens"]}
    prompt = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return {
        "ChatRequest": _object(chat, required=["model", "messages"], open_=True),
        "CompletionRequest": _object({**common, "prompt": prompt}, required=["model", "prompt"], open_=True),
        "ResyncRequest": _object({"fromSequence": _kind("uint64")}, open_=True),
        "RestoreRequest": _object({"voucher": _ref("SignedVoucher"), "receipts": _list("SignedReceipt")}),
        "CloseRequest": _object({}),
        "Inquiry": _object(
            {"offerHash": _kind("bytes32")} | dict.fromkeys(("inputTokens", "outputTokens"), _kind("uint64")),
            open_=True,
        ),
    }


def _answers() -> Json:
    amounts = dict.fromkeys(("credit", "owed", "reserved", "required", "cap"), _kind("uint128"))
    terms = {"offerHash": _kind("bytes32"), "receiptCount": _kind("uint64"), **amounts}
    error = {
        "message": {"type": "string"},
        "type": {"const": "tallystick_error"},
        "code": {"type": "string"},
        "param": {"type": "null"},
        "required": _nullable("string"),
        "actual": _nullable("string"),
        "retryable": {"type": "boolean"},
    }
    offered = {"offerHash": _kind("bytes32"), "offer": _ref("Offer"), "signature": _kind("bytes")}
    model = {"id": {"type": "string"}, "object": {"const": "model"}, "tallystick": _object(offered)}
    voucher = {"anyOf": [_ref("SignedVoucher"), {"type": "null"}]}
    close = {"anyOf": [_ref("SignedClose"), {"type": "null"}]}
    return {
        "ChannelDocument": _channel_document(),
        "Error": _object(
            {
                "error": _object(
                    {**error, "terms": _ref("Terms"), "quote": _ref("SignedQuote")}, required=list(error)
                )
            }
        ),
        "Terms": _object(terms),
        "Held": _object({"cumulativeAmount": _kind("uint128"), "receiptCount": _kind("uint64")}),
        "Restored": _object({"receiptCount": _kind("uint64"), "close": close}),
        "Resync": _object({"voucher": voucher, "receipts": _list("SignedReceipt")}),
        "Models": _object(
            {"object": {"const": "list"}, "data": {"type": "array", "items": _object(model, open_=True)}}
        ),
        "Health": _object({"status": {"enum": ["ok", "unavailable"]}}, open_=True),
    }


def _channel_document() -> Json:
    ends = dict.fromkeys(("payer", "provider", "sessionKey"), _kind("address"))
    members = {
        "tallystick": {"const": CHANNEL},
        "chainId": _kind("uint256"),
        "market": _kind("address"),
        "channel": _object(ends | {"epoch": _kind("uint24")}),
        "receipts": _list("SignedReceipt"),
        "acknowledgements": _list("Acknowledgement"),
    }
    optional = {"voucher": _ref("SignedVoucher"), "following": _kind("uint64")}
    return _object(members | optional, required=list(members))


def _message(kind: type[Message]) -> Json:
    nested = kind.NESTED
    fields = fields_of(kind.TYPE)
    return _object({name: _ref(of) if of in nested else _kind(of) for of, name in fields})


def _signed(kind: type[Message]) -> Json:
    members = {kind.__name__.lower(): _ref(kind.__name__), "signature": _kind("bytes")}
    return _object(members, open_=True)  # A receipt on the wire says a little more.


def _kind(kind: str) -> Json:
    """An EIP-712 kind as JSON has it: numbers are decimal texts, bytes are hex."""
    if kind.startswith("uint"):
        return {"type": "string", "pattern": "^(0|[1-9][0-9]{0,77})$", "description": f"{kind}, decimal."}
    digits = {"address": "{40}", "bytes32": "{64}", "bytes": "*"}.get(kind)
    return {"type": "string"} if digits is None else {"type": "string", "pattern": f"^0x[0-9a-f]{digits}$"}


def _object(properties: Json, *, required: list[str] | None = None, open_: bool = False) -> Json:
    names = list(properties) if required is None else required
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": open_,
    }


def _list(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


def _nullable(kind: str) -> Json:
    return {"type": [kind, "null"]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
