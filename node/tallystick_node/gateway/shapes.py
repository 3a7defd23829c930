"""The pieces of an OpenAPI document: schemas and refusals. It knows no route."""

from collections.abc import Iterable
from typing import Any

from tallystick.protocol.errors import MarketError
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.wire import CHALLENGE
from tallystick_node.gateway.errors import status_of

Json = dict[str, Any]


def errors_of(kinds: Iterable[type[MarketError]]) -> Json:
    """By status, each with the codes that come with it."""
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(status_of(kind), []).append(kind.code)
    return {str(status): refusal(status, sorted(codes[status])) for status in sorted(codes)}


def refusal(status: int, codes: list[str]) -> Json:
    shape: Json = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    refusal = json_of({"allOf": [ref("Error"), shape]})
    refusal["description"] = f"{', '.join(codes)}."
    if status == 402:
        refusal["headers"] = {CHALLENGE: {"required": True, "schema": {"type": "string"}}}
    return refusal


def json_of(schema: Json) -> Json:
    return {"description": "As JSON.", "content": {"application/json": {"schema": schema}}}


def text_of(media_type: str, description: str) -> Json:
    return {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}


def kind_of(kind: str) -> Json:
    """An EIP-712 kind as JSON has it: numbers are decimal texts, bytes are hex."""
    if kind.startswith("uint"):
        return {"type": "string", "pattern": "^(0|[1-9][0-9]{0,77})$", "description": f"{kind}, decimal."}
    digits = {"address": "{40}", "bytes32": "{64}", "bytes": "*"}.get(kind)
    return {"type": "string"} if digits is None else {"type": "string", "pattern": f"^0x[0-9a-f]{digits}$"}


def object_of(properties: Json, *, required: list[str] | None = None, open_: bool = False) -> Json:
    names = list(properties) if required is None else required
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": open_,
    }


def list_of(name: str) -> Json:
    return {"type": "array", "items": ref(name)}


def nullable(kind: str) -> Json:
    return {"type": [kind, "null"]}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def message_of(kind: type[Message]) -> Json:
    """One of the protocol's, from its type string."""
    nested = kind.NESTED
    fields = fields_of(kind.TYPE)
    return object_of({name: ref(of) if of in nested else kind_of(of) for of, name in fields})


def signed_of(kind: type[Message]) -> Json:
    members = {kind.__name__.lower(): ref(kind.__name__), "signature": kind_of("bytes")}
    return object_of(members, open_=True)  # A receipt on the wire says a little more.
